"""FlashInfer's side of the decoder's attention, on a stand-in for its kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cbflash.config import T3Config
from cbflash.settings import Sampling
from cuda_backend import flashinfer_probe as probe
from cuda_backend.attention import SDPA, Attention, BlockShape
from cuda_backend.cache import PAGE, SINKS, Buffers, KVCache
from cuda_backend.decode import Decoder
from cuda_backend.flashinfer_attention import FlashInfer, PagedRow
from cuda_backend.graph import Captured, Eager, Runner
from cuda_backend.layers import pack
from cuda_backend.t3 import T3
from tests.decoder_contract import CONFIG, decoded, prompt
from tests.flashinfer_stand_in import PagedWrapper, StandIn
from tests.golden.t3_cases import Case
from tests.gpu.attention import CASES, Again, Bench
from tests.test_torch_t3 import rebuilt_head

CPU = torch.device("cpu")
SMALL = T3Config(layers=2, heads=2, head_dim=8)


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model() -> T3:
    """One that finds the end token now and then."""

    def change(head: np.ndarray) -> None:
        head[CONFIG.stop_speech] = Case().stop_row()

    model = rebuilt_head(change)
    pack(model)
    return model


class TestBlocks:
    """Every pass of every block gives what SDPA gives, whatever lies in unused slots."""

    @pytest.mark.parametrize("name", CASES)
    def test_passes_are_those_of_sdpa(self, name: str) -> None:
        bench = Bench(SMALL, CPU, torch.float32)
        assert bench.error(FlashInfer(StandIn()), CASES[name]) < 1e-5

    def test_in_bfloat16(self) -> None:
        bench = Bench(SMALL, CPU, torch.bfloat16)
        assert bench.error(FlashInfer(StandIn()), CASES["texts of different lengths"]) < 1e-2

    @pytest.mark.parametrize("sinks", [*range(1, 70), 300])
    def test_a_null_row_has_as_many_zeros_as_it_needs(self, sinks: int) -> None:
        """Between them and its first token there is nothing."""
        row = PagedRow.of(slots=512, row=3, length=SINKS, sinks=sinks)
        assert row.zeros * PAGE + row.settled == sinks
        assert row.settled <= min(sinks, 2 * PAGE - 1)
        assert row.zeros == 0 or row.settled >= PAGE, "a page that is listed again is all zero"

    @pytest.mark.parametrize("attention", [SDPA(), FlashInfer(StandIn())])
    def test_places_are_made_on_the_device(self, attention: Attention) -> None:
        """Copies from the host could not be captured."""
        cache = KVCache(buffers(SMALL, 2), (0, 1), (3, SINKS), (0, 3))
        block = attention.block(BlockShape(2, 16, 16, 64), cache)
        block.update(cache)
        with Watch() as watch:
            block.settle()
            block.step()
        assert watch.seen
        assert not watch.seen & {"lift_fresh", "_to_copy", "item", "_local_scalar_dense"}

    @pytest.mark.parametrize("attention", [SDPA(), FlashInfer(StandIn())])
    def test_a_captured_block_serves_many_lengths(self, attention: Attention) -> None:
        reached = [attention.reach(used, 512) for used in range(257, 513)]
        assert len(set(reached)) == 1
        assert reached[0] == 512

    @pytest.mark.parametrize("multiprocessors", [16, 58, 132, 192])
    @pytest.mark.parametrize("heads", [2, 16])
    def test_workspaces_are_large_enough(self, heads: int, multiprocessors: int) -> None:
        """A plan that does not fit is refused, as one for a card that does not exist shows."""
        config = T3Config(layers=1, heads=heads)
        attention = FlashInfer(StandIn(multiprocessors))
        for rows in (1, 2, 3, 64, 128):
            cache = KVCache(buffers(config, rows), tuple(range(rows)), (3,) * rows, (0,) * rows)
            for before, length in ((1, 1), (1, 16), (16, 16)):
                attention.block(BlockShape(rows, before, length, 64), cache).update(cache)
        monster = FlashInfer(StandIn(100 * multiprocessors))
        cache = KVCache(buffers(config, 1), (0,), (3,), (0,))
        with pytest.raises(AssertionError):
            monster.block(BlockShape(1, 16, 16, 64), cache).update(cache)


class TestDecoding:
    """The same tokens as with SDPA, for texts that end at different times."""

    @pytest.mark.parametrize("scale", [0.0, 1.0])
    def test_pass_by_pass(self, model: T3, scale: float) -> None:
        expected = batch(model, eager(SDPA()), scale)
        assert len({len(tokens) for tokens, _ in expected}) > 1
        assert batch(model, eager(FlashInfer(StandIn())), scale) == expected

    def test_block_by_block(self, model: T3) -> None:
        """In an arena that is used twice, by rows that are not together in the end."""
        attention = FlashInfer(StandIn())
        runner = Captured(eager(attention), attention, Again(), CONFIG.block_size)
        expected = batch(model, eager(SDPA()), 1.0)
        for _ in range(2):
            assert batch(model, runner, 1.0) == expected
        assert runner.recorded > 0


class TestProbe:
    def test_it_is_chosen_where_it_runs(self) -> None:
        assert isinstance(tried(StandIn()), FlashInfer)

    def test_there_is_no_gpu(self) -> None:
        expected = "FlashInfer needs an NVIDIA GPU, and this is the cpu."
        assert probe.missing_flashinfer(CPU) == expected
        assert probe.choose_flashinfer(SMALL, torch.bfloat16, CPU) == expected

    def test_the_gpu_is_too_old(self) -> None:
        reason = probe._too_old("Tesla T4", (7, 5))
        assert "needs compute capability 8.0" in reason
        assert "Tesla T4 has 7.5" in reason
        assert not probe._too_old("NVIDIA A100", (8, 0))
        assert not probe._too_old("NVIDIA GeForce RTX 5090", (12, 0))

    def test_there_are_no_kernels_for_the_dtype(self) -> None:
        assert "float32: choose --dtype bfloat16" in probe._no_kernels(torch.float32)
        assert not probe._no_kernels(torch.bfloat16)

    def test_it_does_not_compile(self) -> None:
        output = (
            "Ninja build failed. Ninja output:\n[1/2] nvcc -c a.cu\nFAILED: a.o\n"
            'a.cu(7): error: identifier "b" is undefined\n\n'
            "ninja: build stopped: subcommand failed.\n"
        )
        reason = tried(Fails(RuntimeError(output)))
        assert isinstance(reason, str)
        assert 'does not run: a.cu(7): error: identifier "b" is undefined. It compiles' in reason
        assert "nvcc --version" in reason

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (FileNotFoundError(2, "No such file or directory", "ninja"), "directory: 'ninja'"),
            (TypeError("plan() got an unexpected argument 'page_size'"), "'page_size'"),
            (AssertionError(), "AssertionError"),
        ],
    )
    def test_it_fails_in_some_other_way(self, error: Exception, words: str) -> None:
        reason = tried(Fails(error))
        assert isinstance(reason, str)
        assert f"{words}. It compiles" in reason

    def test_short_memory_is_no_reason(self) -> None:
        with pytest.raises(torch.OutOfMemoryError):
            tried(Fails(torch.OutOfMemoryError()))

    @pytest.mark.parametrize("number", [0.0, float("nan")])
    def test_it_computes_wrong_numbers(self, number: float) -> None:
        reason = tried(Wrong(number))
        assert isinstance(reason, str)
        assert "FlashInfer 9.9 computes wrong numbers" in reason


class Watch(TorchDispatchMode):
    """Which operators are called; some bring numbers from the host's memory, or back there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.seen.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


class Fails(StandIn):
    """Its kernels raise an error."""

    def __init__(self, error: Exception) -> None:
        def make(*args: Any, **options: Any) -> None:
            raise error

        self.BatchPrefillWithPagedKVCacheWrapper = make


class Wrong(StandIn):
    """Its kernels give the same number everywhere."""

    __version__ = "9.9"

    def __init__(self, number: float) -> None:
        class Wrapper(PagedWrapper):
            def run(self, q: Tensor, cache: tuple[Tensor, Tensor], *, out: Tensor) -> Tensor:
                return out.fill_(number)

        self.BatchPrefillWithPagedKVCacheWrapper = lambda *args, **options: Wrapper(
            132, *args, **options
        )


def buffers(config: T3Config, rows: int) -> Buffers:
    return Buffers.allocate(config, rows, 64, torch.float32, CPU)


def eager(attention: Attention) -> Eager:
    return Eager(attention, CONFIG, torch.float32, CPU)


def batch(model: T3, runner: Runner, scale: float) -> list[tuple[list[int], str | None]]:
    prompts = [prompt(Case(1, 20), 71), prompt(Case(2, 40), 72)]
    options = Sampling(num_steps=2, cfg_scale=scale)
    return decoded(Decoder(model, runner), prompts, options)


def tried(kernels: Any) -> FlashInfer | str:
    return probe.tried(kernels, SMALL, torch.bfloat16, CPU)
