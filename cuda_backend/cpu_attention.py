"""Attention of the decoder on a CPU, as plain products row by row.

For the few queries of a block PyTorch's kernel spends its time on cutting tiles. Here a row is
two products over exactly the slots it has, on keys that lie as the product reads them. Nothing
is masked but what it must not see, and a null row, which has no prefix, costs next to nothing.

Shapes: R rows, Q queries of a row, H heads, D head dimension, S slots of a row so far.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cuda_backend.attention import BlockShape, Place
from cuda_backend.cache import SINKS, Buffers, KVCache, sink_biases


class Products:
    """`Attention` for CPUs."""

    by_head = True

    def reach(self, used: int, slots: int) -> int:
        return used

    def block(self, shape: BlockShape, cache: KVCache) -> ProductsBlock:
        return ProductsBlock(shape, cache)


class ProductsBlock:
    """`BlockAttention` that knows on the host where its rows are."""

    def __init__(self, shape: BlockShape, cache: KVCache) -> None:
        self._shape = shape
        self._cache = cache

    def update(self, cache: KVCache) -> None:
        self._cache = cache

    def settle(self) -> Place:
        return self._place(0)

    def step(self) -> Place:
        return self._place(self._shape.before)

    def _place(self, first: int) -> Place:
        """Queries from slot `first` behind the settled ones to the end of the block."""
        shape, cache = self._shape, self._cache
        offsets = torch.arange(first, shape.before + shape.length)
        positions = torch.tensor(cache.lengths)[:, None] + offsets
        return Place(positions, _Rows(cache, first, shape.before - first, shape.length))


class _Rows:
    """A pass whose first `settling` queries do not see the `length` that follow them."""

    def __init__(self, cache: KVCache, first: int, settling: int, length: int) -> None:
        self._buffers: Buffers = cache.buffers
        self._rows = cache.rows
        self._begins = [settled + first for settled in cache.lengths]
        dtype = cache.buffers.keys[0].dtype
        self._biases = [
            torch.tensor(sink_biases(count, dtype), dtype=dtype) if count else None
            for count in cache.sinks
        ]
        self._settling = settling
        self._length = length

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self._buffers.keys[layer], self._buffers.values[layer]
        queries, width = q.shape[1], q.shape[3]
        q = (q * width**-0.5).transpose(1, 2).contiguous()
        mixed = torch.empty_like(q)
        for row, (place, begin) in enumerate(zip(self._rows, self._begins, strict=True)):
            end = begin + queries
            keys[place, begin:end] = k[row]
            values[place, begin:end] = v[row]
            # Both are views: that is how the buffers lie.
            scores = torch.bmm(q[row], keys[place, :end].permute(1, 2, 0))
            self._weigh(scores, self._biases[row])
            shares = torch.softmax(scores, dim=-1)
            torch.bmm(shares, values[place, :end].transpose(0, 1), out=mixed[row])
        return mixed.transpose(1, 2)

    def _weigh(self, scores: Tensor, bias: Tensor | None) -> None:
        """What scores [H, Q, S] count for, in place."""
        if bias is not None:
            scores[..., :SINKS] += bias
        if self._settling:
            scores[:, : self._settling, -self._length :] = -torch.inf
