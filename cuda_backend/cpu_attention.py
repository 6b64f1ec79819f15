"""Attention of the decoder on a CPU, as plain batched products.

For the few queries of a block PyTorch's flash kernel spends its time on cutting tiles; three
products on keys that lie as the product reads them take half as long.

Shapes: R rows, Q queries of a row, H heads, D head dimension, S slots that are looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cuda_backend.attention import BlockShape, Place, SDPABlock
from cuda_backend.cache import KVCache


class Products:
    """`Attention` for CPUs; its buffers are `Buffers.allocate(..., by_head=True)`."""

    by_head = True

    def reach(self, used: int, slots: int) -> int:
        return used

    def block(self, shape: BlockShape, cache: KVCache) -> ProductsBlock:
        return ProductsBlock(shape, cache)


class ProductsBlock(SDPABlock):
    """`BlockAttention` that is told on the host where the rows are."""

    def update(self, cache: KVCache) -> None:
        super().update(cache)
        self.lengths = cache.lengths

    def _place(self, first: int) -> Place:
        positions, _, mask = self._layout(first)
        starts = [length + first for length in self.lengths]
        return Place(positions, _Product(self, starts, mask))


class _Product:
    """A pass whose mask [R, 1, Q, S] says what is seen, and how much it weighs."""

    def __init__(self, block: ProductsBlock, starts: list[int], mask: Tensor) -> None:
        self._block = block
        self._starts = starts
        rows, _, queries, slots = mask.shape
        heads = block.buffers.keys[0].shape[2]
        self._mask = mask.expand(rows, heads, queries, slots).reshape(-1, queries, slots)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows, queries, heads, width = q.shape
        buffers = self._block.buffers
        self._write(buffers.keys[layer], k)
        self._write(buffers.values[layer], v)
        # Both are views: that is how the buffers lie.
        keys = self._block.read(buffers.keys[layer]).permute(0, 2, 3, 1).flatten(0, 1)
        values = self._block.read(buffers.values[layer]).transpose(1, 2).flatten(0, 1)
        scores = torch.baddbmm(
            self._mask,
            q.transpose(1, 2).reshape(rows * heads, queries, width),
            keys,
            alpha=width**-0.5,
        )
        mixed = torch.bmm(torch.softmax(scores, dim=-1), values)
        return mixed.view(rows, heads, queries, width).transpose(1, 2)

    def _write(self, buffer: Tensor, new: Tensor) -> None:
        for row, start in enumerate(self._starts):
            buffer[row, start : start + new.shape[1]] = new[row]
