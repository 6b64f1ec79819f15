"""The key/value cache of a batch.

One static buffer a layer, right-aligned: row r's prefix ends at slot `prefix` for every r,
so that the blocks of all rows lie in the same slots. Rewinding is a matter of `offset`:
what lies behind it is written over. Slots that a row does not use are hidden by `bias`.

With guidance the rows are doubled. The null row's prefix is all zeros but for the start
token, RMSNorm of zero is zero, and so its keys and values are exactly zero in every layer:
lp - 1 zero scores in the softmax and nothing in the sum. One zero slot with the bias
log(lp - 1) is the same, and costs neither compute nor memory (`sink_biases`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import mlx.core as mx

from cbflash.config import T3Config
from mlx_port.device import on_gpu


def growth() -> int:
    """Slots by which a cache grows. Every growth is a new shape, which is traced once; on a
    GPU empty slots cost next to nothing, on a CPU they cost as much as full ones."""
    return 256 if on_gpu() else 32


@dataclass(frozen=True)
class KVCache:
    """keys, values: a buffer [rows, heads, slots, head_dim] for each layer.

    bias: [rows, 1, 1, slots] added to the scores: 0, -inf, or the logarithm of a weight.
    positions: [rows] int32, the RoPE position of slot `prefix` in each row.
    prefix: slots in front of the first block; offset: slots that are settled.
    """

    keys: list[mx.array]
    values: list[mx.array]
    bias: mx.array
    positions: mx.array
    prefix: int
    offset: int

    @property
    def slots(self) -> int:
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> KVCache:
        """Room for `length` slots after `offset`."""
        missing = self.offset + length - self.slots
        if missing <= 0:
            return self
        more = _whole_growths(missing)
        return replace(
            self,
            keys=[_widen(k, more) for k in self.keys],
            values=[_widen(v, more) for v in self.values],
            bias=mx.concatenate(
                [self.bias, mx.zeros((*self.bias.shape[:3], more), self.bias.dtype)], axis=3
            ),
        )

    def advance(self, length: int) -> KVCache:
        """`length` more slots are settled."""
        return replace(self, offset=self.offset + length)

    def take(self, rows: mx.array) -> KVCache:
        """Some rows only."""
        return replace(
            self,
            keys=[k[rows] for k in self.keys],
            values=[v[rows] for v in self.values],
            bias=self.bias[rows],
            positions=self.positions[rows],
        )


def join(parts: list[KVCache], config: T3Config) -> KVCache:
    """One cache of several prompts' prefixes, right-aligned; rows in the order of `parts`."""
    prefix = max(part.prefix for part in parts)
    slots = _whole_growths(prefix + 2 * config.block_size)

    def stack(buffers: list[mx.array]) -> mx.array:
        placed = [
            mx.pad(
                buffer[:, :, : part.prefix],
                [(0, 0), (0, 0), (prefix - part.prefix, slots - prefix), (0, 0)],
            )
            for buffer, part in zip(buffers, parts, strict=True)
        ]
        return mx.concatenate(placed) if len(placed) > 1 else placed[0]

    biases = []
    for part in parts:
        left = mx.full((*part.bias.shape[:3], prefix - part.prefix), -mx.inf, part.bias.dtype)
        right = mx.zeros((*part.bias.shape[:3], slots - prefix), part.bias.dtype)
        biases.append(mx.concatenate([left, part.bias[..., : part.prefix], right], axis=3))
    layers = range(len(parts[0].keys))
    return KVCache(
        keys=[stack([part.keys[i] for part in parts]) for i in layers],
        values=[stack([part.values[i] for part in parts]) for i in layers],
        bias=mx.concatenate(biases),
        positions=mx.concatenate([part.positions for part in parts]),
        prefix=prefix,
        offset=prefix,
    )


def sink_biases(count: int, dtype: mx.Dtype) -> list[float]:
    """Biases of two zero slots that together weigh as much as `count` zero scores.

    One would do if log(count) could be written in `dtype`; in bfloat16 it is off by up to
    1.6 %. So the first stays a little below, and the second carries what is missing.
    """
    first = float(mx.array(math.log(count) * (1 - 2**-7)).astype(dtype).astype(mx.float32))
    missing = count - math.exp(first)
    return [first, math.log(missing) if missing > 0 else -math.inf]


def _whole_growths(slots: int) -> int:
    return -(-slots // growth()) * growth()


def _widen(buffer: mx.array, more: int) -> mx.array:
    return mx.pad(buffer, [(0, 0), (0, 0), (0, more), (0, 0)])
