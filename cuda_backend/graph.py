"""Running a block: pass by pass, or as one captured CUDA graph.

Nothing outside this file knows of graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cbflash.config import T3Config
from cuda_backend.attention import Attention, BlockAttention, BlockShape
from cuda_backend.cache import Buffers, KVCache


@dataclass(frozen=True)
class BlockKind:
    """What a block's passes depend on besides tensors; a captured graph serves one kind."""

    prompts: int
    before: int  # tokens that the first pass settles
    length: int
    counts: tuple[int, ...]  # filled at each step, zeros included
    guided: bool
    greedy: bool
    scattered: bool
    injected: bool
    calibrated: bool
    sound_only: bool

    @property
    def rows(self) -> int:
        return 2 * self.prompts if self.guided else self.prompts

    @property
    def steps(self) -> tuple[int, ...]:
        """Those that take a forward pass: one that fills nothing changes nothing."""
        return tuple(step for step, count in enumerate(self.counts) if count)


@dataclass(frozen=True)
class BlockInputs:
    """The tensors of a block. `tokens` [B, L], masks at first, is also its result.

    settled: [B, before] tokens; token_noise, position_noise: [K, B, 2] int32 keys for each
    step, or injected numbers; options: temperature and guidance scale.
    """

    settled: Tensor
    token_noise: Tensor
    position_noise: Tensor
    options: Tensor
    tokens: Tensor


Passes = Callable[[BlockKind, BlockAttention, BlockInputs], Iterator[None]]


class Runner(Protocol):
    """Owns the memory of the cache and decides how blocks are run."""

    def allocate(self, lengths: tuple[int, ...], sinks: tuple[int, ...], slots: int) -> KVCache:
        """Room for rows of up to `slots`, of which `lengths` are already meant to be settled."""
        ...

    def keep(self, cache: KVCache, rows: Sequence[int]) -> KVCache:
        """Some rows only."""
        ...

    def run(
        self, kind: BlockKind, cache: KVCache, inputs: BlockInputs, passes: Passes
    ) -> Iterator[None]:
        """One item for every pass, after it was begun."""
        ...


class Eager:
    """A pass at a time, on any device."""

    def __init__(
        self, attention: Attention, config: T3Config, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._attention = attention
        self._config = config
        self._dtype = dtype
        self._device = device

    def allocate(self, lengths: tuple[int, ...], sinks: tuple[int, ...], slots: int) -> KVCache:
        rows = len(lengths)
        buffers = Buffers.allocate(self._config, rows, slots, self._dtype, self._device, self._attention.by_head)
        return KVCache(buffers, tuple(range(rows)), lengths, sinks)

    def keep(self, cache: KVCache, rows: Sequence[int]) -> KVCache:
        return cache.take(rows).compact()

    def run(
        self, kind: BlockKind, cache: KVCache, inputs: BlockInputs, passes: Passes
    ) -> Iterator[None]:
        used = max(cache.lengths) + kind.before + kind.length
        attention = self._attention.block(
            BlockShape(kind.rows, kind.before, kind.length, used), cache
        )
        attention.update(cache)
        yield from passes(kind, attention, inputs)
