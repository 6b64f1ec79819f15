"""The key/value cache of a batch.

One buffer a layer, [rows, slots, heads, head dim]. A row's slots are its positions: prefix,
then block after block; rewinding is a matter of its length, for what lies behind that is
written over. A buffer read as pages of `PAGE` slots is the paged cache that FlashInfer wants.

With guidance the rows are doubled. The null row's prefix is all zeros but for the start
token, RMSNorm of zero is zero, and so its keys and values are exactly zero in every layer:
lp - 1 zero scores in the softmax and nothing in the sum. `SINKS` zero slots in front, which
attention weighs as lp - 1, are the same and need no compute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cbflash.config import T3Config

PAGE = 16  # slots of a page
SINKS = 2  # zero slots in front of a null row


@dataclass(frozen=True)
class Buffers:
    """Memory for keys and values: for each layer a tensor [rows, slots, heads, head_dim].

    There are zeros wherever nothing was written: what attention hides must be finite.
    In memory a row's slots lie one behind the other, as pages want it, or `by_head`, as matrix
    products want it; the shape is the same.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def allocate(
        cls,
        config: T3Config,
        rows: int,
        slots: int,
        dtype: torch.dtype,
        device: torch.device,
        by_head: bool = False,
    ) -> Buffers:
        """Room for at least `slots` a row."""
        shape = (rows, whole_pages(slots) * PAGE, config.heads, config.head_dim)
        # The order of the axes in memory, and the order that undoes it.
        orders = [((0, 2, 3, 1), (0, 3, 1, 2)), ((0, 2, 1, 3), (0, 2, 1, 3))]
        if not by_head:
            orders = [((0, 1, 2, 3), (0, 1, 2, 3))] * 2
        every = [
            [
                torch.zeros([shape[axis] for axis in order], dtype=dtype, device=device).permute(
                    inverse
                )
                for _ in range(config.layers)
            ]
            for order, inverse in orders
        ]
        return cls(*every)

    @property
    def rows(self) -> int:
        return self.keys[0].shape[0]

    @property
    def slots(self) -> int:
        """Of one row."""
        return self.keys[0].shape[1]

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put keys and values [R, Q, H, D] into `slots` [R * Q], counted through all rows."""
        for buffer, new in ((self.keys[layer], keys), (self.values[layer], values)):
            if buffer.is_contiguous():
                buffer.flatten(0, 1).index_copy_(0, slots, new.flatten(0, 1))
            else:
                row, slot = slots // self.slots, slots % self.slots
                buffer.index_put_((row, slot), new.flatten(0, 1))

    def select(self, rows: Sequence[int]) -> Buffers:
        """A copy of some rows."""
        return Buffers(*([_rows(x, rows) for x in side] for side in (self.keys, self.values)))


@dataclass(frozen=True)
class KVCache:
    """What the rows of a batch have in the buffers.

    rows: of the buffers, one for each row of the batch.
    lengths: slots of each row that are settled.
    sinks: how many zero scores the first `SINKS` slots of a row stand for; 0 in a row whose
        slots are all its own.
    lease: kept by whoever uses rows of shared buffers; they are free when it is gone.
    """

    buffers: Buffers
    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    sinks: tuple[int, ...]
    lease: object | None = None

    def advance(self, length: int) -> KVCache:
        """`length` more slots of every row are settled."""
        return replace(self, lengths=tuple(settled + length for settled in self.lengths))

    def take(self, rows: Sequence[int]) -> KVCache:
        """Some rows only; nothing is copied."""
        return replace(
            self,
            rows=tuple(self.rows[row] for row in rows),
            lengths=tuple(self.lengths[row] for row in rows),
            sinks=tuple(self.sinks[row] for row in rows),
        )

    def padded(self, groups: int, size: int, row: int) -> KVCache:
        """With each of `groups` equal parts filled up to `size` rows: empty ones, all of which
        are `row` of the buffers."""
        rows, lengths, sinks = (
            _filled(numbers, groups, size, filler)
            for numbers, filler in ((self.rows, row), (self.lengths, 0), (self.sinks, 0))
        )
        return replace(self, rows=rows, lengths=lengths, sinks=sinks)

    def compact(self) -> KVCache:
        """The same rows as the first rows of the buffers, copied if they are not."""
        first = tuple(range(len(self.rows)))
        if self.rows == first:
            return self
        return replace(self, buffers=self.buffers.select(self.rows), rows=first)


def fitting_prompts(config: T3Config, dtype: torch.dtype, slots: int, rows: int, free: int) -> int:
    """How many prompts of `rows` rows with `slots` each fit into `free` bytes. A fifth is left
    for what the passes need themselves."""
    slot = 2 * config.layers * config.heads * config.head_dim * dtype.itemsize
    return int(0.8 * free / (rows * whole_pages(slots) * PAGE * slot))


def sink_biases(count: int, dtype: torch.dtype) -> list[float]:
    """Biases of `SINKS` zero slots that together weigh as much as `count` zero scores.

    One would do if log(count) could be written in `dtype`; in bfloat16 it is off by up to
    1.6 %. So the first stays a little below, and the second carries what is missing.
    """
    first = torch.tensor(math.log(count) * (1 - 2**-7), dtype=dtype).item()
    missing = count - math.exp(first)
    return [first, math.log(missing) if missing > 0 else -math.inf]


def _filled(numbers: tuple[int, ...], groups: int, size: int, filler: int) -> tuple[int, ...]:
    count = len(numbers) // groups
    parts = (numbers[at : at + count] for at in range(0, len(numbers), count))
    return tuple(n for part in parts for n in (*part, *[filler] * (size - count)))


def _rows(buffer: Tensor, rows: Sequence[int]) -> Tensor:
    """A copy of some rows that lies in memory like the buffer."""
    copy = torch.empty_like(buffer[: len(rows)])  # keeps the order of the axes
    for place, row in enumerate(rows):
        copy[place] = buffer[row]
    return copy


def whole_pages(slots: int) -> int:
    """Pages that hold `slots`."""
    return -(-slots // PAGE)
