"""Attention of the decoder behind one signature, and PyTorch's own (SDPA) behind it.

A pass of T3 is given a `Pass`, which puts the new keys and values into the cache and gives the
mixed values back; what a query sees is decided here and nowhere in the model. A block takes two
kinds of passes: the first also settles the tokens before it (`settle`), the others do not
(`step`). Tokens that settle do not see the block, which sees them.

Shapes: R rows, Q queries of a row, H heads, D head dimension, S slots that are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.cache import SINKS, Buffers, KVCache, sink_biases

REACH = 256  # SDPA looks at a multiple of so many slots, where there are as many


class Pass(Protocol):
    """Where one pass leaves its keys and values, and what its queries see."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[R, Q, H, D] each, rotated -> [R, Q, H, D]."""
        ...


class Place(NamedTuple):
    """RoPE positions [R, Q] of a pass, and its attention."""

    positions: Tensor
    attend: Pass


@dataclass(frozen=True)
class BlockShape:
    """What the attention of a block is made for.

    rows: of the batch; before: tokens that its first pass settles; length: of the block;
    slots: how many of each row are looked at, at least up to the end of the block.
    """

    rows: int
    before: int
    length: int
    slots: int


class BlockAttention(Protocol):
    """The attention of all passes of one block, over one cache at a time.

    `update` is the host's part and comes before each block; `settle` and `step`, and the passes
    they give, only start work on the device and can be captured.
    """

    def update(self, cache: KVCache) -> None:
        """Be ready for a block of this cache, which has the buffers this was made for."""
        ...

    def settle(self) -> Place: ...

    def step(self) -> Place: ...


class Attention(Protocol):
    """A kind of attention. by_head: how it wants the buffers to lie."""

    by_head: bool

    def reach(self, used: int, slots: int) -> int:
        """`BlockShape.slots` for rows that use up to `used` of their `slots`. It takes few
        values, so that a captured block serves many lengths."""
        ...

    def block(self, shape: BlockShape, cache: KVCache) -> BlockAttention:
        """For blocks of this shape in the buffers of `cache`."""
        ...


class Causal:
    """A pass over sequences from their first position: each sees itself and those before it.

    Keys and values go to `slots` [R * Q] of `buffers`, if these are given. Sequences may be
    padded on the right.
    """

    def __init__(self, buffers: Buffers | None = None, slots: Tensor | None = None) -> None:
        self._buffers = buffers
        self._slots = slots

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self._buffers is not None and self._slots is not None:
            self._buffers.write(layer, self._slots, k, v)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


class Starts:
    """Where the rows of a batch go on, on the device.

    slots: [R] of the buffers, counted through all of them; positions: [R] in the row.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.slots = torch.zeros(rows, dtype=torch.int64, device=device)
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)

    def update(self, cache: KVCache, settled: Sequence[int] | None = None) -> None:
        """settled: how many slots of each row are taken, if not as many as positions."""
        taken = cache.lengths if settled is None else settled
        slots = [row * cache.buffers.slots + n for row, n in zip(cache.rows, taken, strict=True)]
        both = staged([slots, cache.lengths], self.slots.dtype, self.slots.device)
        self.slots.copy_(both[0], non_blocking=True)
        self.positions.copy_(both[1], non_blocking=True)


class SDPA:
    """PyTorch's attention: on any device, with a mask over all slots."""

    by_head = False

    def reach(self, used: int, slots: int) -> int:
        return min(-(-used // REACH) * REACH, slots)

    def block(self, shape: BlockShape, cache: KVCache) -> SDPABlock:
        return SDPABlock(shape, cache)


class SDPABlock:
    """`BlockAttention` with PyTorch's kernels."""

    def __init__(self, shape: BlockShape, cache: KVCache) -> None:
        buffers = cache.buffers
        device = buffers.keys[0].device
        self._shape = shape
        self._buffers = buffers
        self._starts = Starts(shape.rows, device)
        self._bias = torch.zeros(
            (shape.rows, 1, 1, shape.slots), dtype=buffers.keys[0].dtype, device=device
        )
        # Rows that lie together are read where they are, others are gathered.
        self._together = cache.rows == tuple(range(shape.rows))
        self._rows = torch.zeros(shape.rows, dtype=torch.int64, device=device)

    def update(self, cache: KVCache) -> None:
        assert self._together == (cache.rows == tuple(range(self._shape.rows)))
        self._starts.update(cache)
        device, dtype = self._bias.device, self._bias.dtype
        self._rows.copy_(staged(cache.rows, self._rows.dtype, device), non_blocking=True)
        biases = [sink_biases(n, dtype) if n else [0.0] * SINKS for n in cache.sinks]
        self._bias[:, 0, 0, :SINKS].copy_(staged(biases, dtype, device), non_blocking=True)

    def settle(self) -> Place:
        return self._place(0)

    def step(self) -> Place:
        return self._place(self._shape.before)

    def _place(self, first: int) -> Place:
        positions, slots, mask = self._layout(first)
        return Place(positions, _Masked(self, slots, mask))

    def _layout(self, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Positions [R, Q], slots [R * Q] and mask [R, 1, Q, S] of the queries from slot `first`
        behind the settled ones to the end of the block."""
        before, length = self._shape.before, self._shape.length
        device = self._bias.device
        offsets = torch.arange(first, before + length, device=device)
        positions = self._starts.positions[:, None] + offsets
        # Tokens that settle see each other, those of the block see all.
        ends = before + length * (offsets >= before)
        seen = self._starts.positions[:, None] + ends
        visible = torch.arange(self._shape.slots, device=device) < seen[:, None, :, None]
        mask = torch.where(visible, self._bias, -torch.inf)
        slots = (self._starts.slots[:, None] + offsets).flatten()
        return positions, slots, mask

    def read(self, buffer: Tensor) -> Tensor:
        """The slots of a buffer that this block looks at, [R, S, H, D]."""
        if self._together:
            return buffer[: self._shape.rows, : self._shape.slots]
        return buffer[:, : self._shape.slots].index_select(0, self._rows)

    @property
    def buffers(self) -> Buffers:
        return self._buffers


class _Masked:
    """A pass whose mask [R, 1, Q, S] says what is seen, and how much it weighs."""

    def __init__(self, block: SDPABlock, slots: Tensor, mask: Tensor) -> None:
        self._block = block
        self._slots = slots
        self._mask = mask

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        buffers = self._block.buffers
        buffers.write(layer, self._slots, k, v)
        keys, values = (
            self._block.read(buffer[layer]).transpose(1, 2)
            for buffer in (buffers.keys, buffers.values)
        )
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values, self._mask)
        return mixed.transpose(1, 2)


def staged(
    numbers: Sequence[int] | Sequence[Sequence[float]], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """A tensor on the host, from where `device` fetches it without anybody waiting."""
    return torch.tensor(numbers, dtype=dtype, pin_memory=device.type == "cuda")
