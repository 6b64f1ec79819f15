"""Adapters of low rank (LoRA, Hu et al. 2021): W x + (alpha / r) B A x, of which A and B learn.

What is trained is a small module beside the model, for checkpoints and optimisers; the model
itself does not change and may be shared with its teacher, until `merge` adds the products to its
matrices.

Shapes: i inputs, o outputs, r rank, p parts.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_backend.layers import Linear
from cuda_backend.t3 import T3

# The matrices of a layer that are adapted, and how many of a release are joined in each.
MATRICES = {
    "attention": {"qkv_proj": 3, "o_proj": 1},
    "mlp": {"gate_up_proj": 2, "down_proj": 1},
}
MASK = "mask"


@dataclass(frozen=True)
class Rank:
    """rank: of each product; alpha: its weight, times the rank; seed: of A."""

    rank: int = 16
    alpha: float = 32.0
    seed: int = 0


class Adapter(nn.Module):
    """What is learnt beside a matrix [o, i]: A [p r, i], drawn, and B [o, r], zero at first.

    parts: matrices that are joined in it; each has a product of its own.
    """

    def __init__(self, linear: Linear, rank: Rank, parts: int, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = linear.weight.shape
        down = torch.empty(parts * rank.rank, inputs)
        down.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
        device = linear.weight.device
        self.down = nn.Parameter(down.to(device))
        self.up = nn.Parameter(torch.zeros(outputs, rank.rank, device=device))
        self._parts = parts
        self._scale = rank.alpha / rank.rank

    def forward(self, x: Tensor) -> Tensor:
        """[..., i] -> [..., o]."""
        up = self._apart(self.up)
        low = F.linear(x, self.down).view(*x.shape[:-1], self._parts, -1)
        return self._scale * torch.einsum("...pr,por->...po", low, up).flatten(-2)

    def product(self) -> Tensor:
        """What is to be added to the matrix, [o, i]."""
        products = self._apart(self.up) @ self._apart(self.down)
        return self._scale * products.flatten(0, 1)

    def _apart(self, matrix: Tensor) -> Tensor:
        """[p n, m] -> [p, n, m]."""
        return matrix.view(self._parts, -1, matrix.shape[1])


class LoRA(nn.Module):
    """In the place of a Linear that has no activation."""

    def __init__(self, linear: Linear, adapter: Adapter) -> None:
        super().__init__()
        self.linear = linear
        self.adapter = adapter

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """[..., i] -> [..., o]; residual [..., o]."""
        y: Tensor = self.linear(x, residual)
        added: Tensor = self.adapter(x)
        return y + added

    def merged(self) -> Linear:
        """The same as one matrix. The Linear is another one: the old may be a teacher's."""
        with torch.device("meta"):
            outputs, inputs = self.linear.weight.shape
            whole = Linear(inputs, outputs, bias=self.linear.bias is not None)
        whole.bias = self.linear.bias
        weight = self.linear.weight.detach()
        added = self.adapter.product().detach()
        whole.weight = nn.Parameter((weight.double() + added.double()).to(weight.dtype), False)
        return whole


class Row(nn.Module):
    """What is learnt of an embedding [V, W]: one row."""

    def __init__(self, embedding: nn.Embedding, index: int) -> None:
        super().__init__()
        self.values = nn.Parameter(embedding.weight.detach()[index].clone())


class OneRow(nn.Module):
    """In the place of an embedding of which only one row learns."""

    def __init__(self, embedding: nn.Embedding, row: Row, index: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.row = row
        self._index = index

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., W]."""
        known: Tensor = self.embedding(ids)
        return torch.where((ids == self._index)[..., None], self.row.values, known)

    def merged(self) -> nn.Embedding:
        weight = self.embedding.weight.detach().clone()
        weight[self._index] = self.row.values.detach()
        with torch.device("meta"):
            whole = nn.Embedding(*weight.shape)
        whole.weight = nn.Parameter(weight, requires_grad=False)
        return whole


def adapt(model: T3, rank: Rank) -> nn.ModuleDict:
    """Freeze a decoder, and put adapters into it: what is trained, by the name of the matrix.

    The row of the mask learns too. Values of A depend on the seed and the matrix's name alone.
    """
    model.requires_grad_(False)
    trained = nn.ModuleDict()
    for number, layer in enumerate(model.layers):
        for block, names in MATRICES.items():
            for name, parts in names.items():
                path = f"layers/{number}/{block}/{name}"
                key = zlib.crc32(f"{rank.seed} {path}".encode())
                generator = torch.Generator().manual_seed(key)
                parent = layer.get_submodule(block)
                linear = parent.get_submodule(name)
                assert isinstance(linear, Linear)
                adapter = Adapter(linear, rank, parts, generator)
                trained[path] = adapter
                parent.add_module(name, LoRA(linear, adapter))
    row = Row(model.speech_embedding, model.config.mask)
    trained[MASK] = row
    model.add_module("speech_embedding", OneRow(model.speech_embedding, row, model.config.mask))
    return trained


def merge(model: T3) -> T3:
    """Put what the adapters of `adapt` learnt into the matrices; the model itself."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoRA | OneRow):
                parent.add_module(name, child.merged())
    return model
