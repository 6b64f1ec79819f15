"""Layers that keep nothing for the backward pass but what came in, and compute the rest again: a
third more work, a fraction of the memory."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cuda_backend.attention import Pass
from cuda_backend.t3 import T3, Layer, Rotation


class FrugalLayer(Layer):
    """A layer of the decoder with the parts, and the names, of another one."""

    def __init__(self, layer: Layer) -> None:
        nn.Module.__init__(self)
        self.attention = layer.attention
        self.mlp = layer.mlp
        self.attention_norm = layer.attention_norm
        self.mlp_norm = layer.mlp_norm

    def forward(self, x: Tensor, rotate: Rotation, attend: Pass, layer: int) -> Tensor:
        again = super().forward
        out: Tensor = checkpoint(
            again, x, rotate, attend, layer, use_reentrant=False, preserve_rng_state=False
        )
        return out


def make_frugal(model: T3) -> None:
    """All layers of a model; its parameters stay where they are."""
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, Layer)
        model.layers[number] = FrugalLayer(layer)
