"""A kind of attention against PyTorch's own in float32, block after block.

`rows` wants an NVIDIA GPU. The rest runs anywhere: the tests ask the same of a stand-in for
FlashInfer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cbflash.config import T3Config
from cuda_backend.attention import SDPA, Attention, BlockAttention, BlockShape
from cuda_backend.cache import SINKS, Buffers, KVCache
from cuda_backend.flashinfer_probe import choose_flashinfer
from cuda_backend.graph import CUDARecorder, Recorder
from tests.gpu.rows import Row, at_most, figure

GARBAGE = 3.0  # in slots that nobody may see; keys like that would win every softmax
STEPS = 2  # passes of a block after the first
ALLOWED = {torch.bfloat16: 1e-2, torch.float16: 2e-3}


@dataclass(frozen=True)
class Case:
    """A batch and its blocks.

    prefixes: slots of each prompt; blocks: tokens that the first pass settles, and length;
    kept: prompts that go on after the first block; size: prompts the batch is padded to.
    """

    prefixes: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...] = ((1, 16), (16, 16), (16, 16))
    guided: bool = True
    kept: tuple[int, ...] | None = None
    size: int | None = None

    @property
    def groups(self) -> int:
        """Rows for each prompt."""
        return 2 if self.guided else 1


CASES = {
    "one text": Case((70,)),
    "a short last block": Case((53, 40), ((1, 16), (16, 16), (16, 5)), guided=False),
    "texts of different lengths": Case((35, 101, 64)),
    "rows that are not together": Case((35, 101, 64, 50), kept=(3, 1)),
    "empty rows": Case((90, 47, 61), kept=(2, 0), size=4),
    "zero scores up to the edge of a page": Case((1, 2, 15, 16, 17, 31, 32, 33, 47, 48)),
}
LARGE = {"a large batch": Case(tuple(range(60, 1020, 30)), ((1, 16), (16, 16)))}


class Again:
    """`Recorder` for any device: does the work again."""

    def record(self, work: Callable[[], Any]) -> Callable[[], None]:
        work()
        return work


@dataclass(frozen=True)
class Bench:
    """Where cases are run. dtype: of all that attention is given."""

    config: T3Config
    device: torch.device
    dtype: torch.dtype
    recorder: Recorder = field(default_factory=Again)

    def error(self, attention: Attention, case: Case) -> float:
        """The largest difference of any pass from SDPA in float32, over the largest value."""
        plain = Bench(self.config, self.device, self.dtype)
        pairs = zip(
            self.results(attention, case, self.dtype),
            plain.results(SDPA(), case, torch.float32),
            strict=True,
        )
        return max(_difference(found, expected) for found, expected in pairs)

    def results(self, attention: Attention, case: Case, computed: torch.dtype) -> list[Tensor]:
        """Positions and mixed values of every pass and layer, computed in another dtype than
        they are given in."""
        draw = _Draw(self.dtype, computed, self.device)
        cache = self._prefixes(case, draw)
        empty = cache.buffers.rows - 1
        blocks: dict[Hashable, _Block] = {}
        results = []
        for number, (before, length) in enumerate(case.blocks):
            if number == 1 and case.kept is not None:
                prompts = len(case.prefixes)
                groups = range(case.groups)
                cache = cache.take([row + prompts * group for group in groups for row in case.kept])
            shown = cache if case.size is None else cache.padded(case.groups, case.size, empty)
            used = max(shown.lengths) + before + length
            reach = attention.reach(used, cache.buffers.slots)
            shape = BlockShape(len(shown.rows), before, length, reach)
            key = (shape, shown.rows == tuple(range(shape.rows)))
            if key not in blocks:
                blocks[key] = _Block(attention.block(shape, shown), shape, cache.buffers)
            real = [place for place, row in enumerate(shown.rows) if row != empty]
            results += blocks[key].run(shown, real, draw, self.recorder)
            cache = cache.advance(before)
        return results

    def _prefixes(self, case: Case, draw: _Draw) -> KVCache:
        """A cache as it is after the prefixes, but for garbage where nobody looks."""
        prompts = len(case.prefixes)
        rows = case.groups * prompts
        slots = max(case.prefixes) + sum(length for _, length in case.blocks) + 1
        buffers = Buffers.allocate(self.config, rows + 1, slots, draw.computed, self.device)
        for buffer in (*buffers.keys, *buffers.values):
            for row, length in enumerate(case.prefixes):
                buffer[row, :length] = draw(length, *buffer.shape[2:])
                buffer[row, length:] = GARBAGE
            for null, length in enumerate(case.prefixes[: rows - prompts], prompts):
                buffer[null, max(length, SINKS) :] = GARBAGE
        sinks = case.prefixes if case.guided else ()
        lengths = (*case.prefixes, *(SINKS for _ in sinks))
        return KVCache(buffers, tuple(range(rows)), lengths, (*(0 for _ in case.prefixes), *sinks))


class _Draw:
    """Numbers from a seed, rounded to `given` and then of type `computed`."""

    def __init__(self, given: torch.dtype, computed: torch.dtype, device: torch.device) -> None:
        self.computed = computed
        self._given = given
        self._device = device
        self._source = torch.Generator().manual_seed(3)

    def __call__(self, *shape: int) -> Tensor:
        numbers = torch.randn(shape, generator=self._source)
        return numbers.to(self._given).to(self.computed).to(self._device)


class _Block:
    """All passes of a block, recorded when they are first run."""

    def __init__(self, attention: BlockAttention, shape: BlockShape, buffers: Buffers) -> None:
        self._attention = attention
        keys = buffers.keys[0]
        counts = [shape.before + shape.length] + [shape.length] * STEPS
        self._inputs = [
            [keys.new_zeros(3, shape.rows, count, *keys.shape[2:]) for _ in buffers.keys]
            for count in counts
        ]
        self._results: list[Tensor] = []
        self._replay: Callable[[], None] | None = None

    def run(
        self, cache: KVCache, real: list[int], draw: _Draw, recorder: Recorder
    ) -> Iterator[Tensor]:
        """The results of the rows that are `real`."""
        self._attention.update(cache)
        for layers in self._inputs:
            for qkv in layers:
                qkv[:, real] = draw(3, len(real), *qkv.shape[2:])
        if self._replay is None:
            self._replay = recorder.record(self._work)
        self._replay()
        return (result[real].clone() for result in self._results)

    def _work(self) -> None:
        self._results.clear()
        place = self._attention.settle()
        for number, layers in enumerate(self._inputs):
            self._results.append(place.positions)
            self._results += [place.attend(layer, *qkv) for layer, qkv in enumerate(layers)]
            if number == 0:
                place = self._attention.step()


def _difference(found: Tensor, expected: Tensor) -> float:
    largest = expected.abs().max().item()
    return (found.float() - expected.float()).abs().max().item() / largest


def rows(folder: Path) -> Iterator[Row]:
    """FlashInfer and SDPA at the sizes of the release, pass by pass and as CUDA graphs. No
    weights are needed, and `folder` is not read."""
    device, config = torch.device("cuda"), T3Config(layers=2)
    with torch.inference_mode():
        for dtype, allowed in ALLOWED.items():
            name = str(dtype).removeprefix("torch.")
            chosen = choose_flashinfer(config, dtype, device)
            if isinstance(chosen, str):
                yield figure(f"FlashInfer, {name}", chosen)
            for attention in [SDPA()] if isinstance(chosen, str) else [chosen, SDPA()]:
                kind = f"{type(attention).__name__}, {name}"
                for recorder in (Again(), CUDARecorder()):
                    bench = Bench(config, device, dtype, recorder)
                    how = "passes" if isinstance(recorder, Again) else "graphs"
                    for what, case in (CASES | LARGE).items():
                        error = bench.error(attention, case)
                        yield at_most(f"{kind}, {how}: {what}", error, allowed)
