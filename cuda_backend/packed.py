"""Linear layers in the layout of the CPU's matrix kernels (oneDNN).

A plain product gathers its weights from rows that lie far apart, every time. Packed once, they
are read in order: for the few rows of a block that is up to twice as fast, and the kernel
applies bias, activation and residual while the result is still in cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS = 64  # that the layout is chosen for; it hardly depends on them
# Our names of activations in oneDNN's terms: attribute and algorithm.
_ATTRIBUTES = {
    None: ("none", ""),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "gelu": ("gelu", "none"),
}


def can_pack(weight: Tensor) -> bool:
    """Whether this build of PyTorch has the kernels for this weight."""
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and weight.numel() > 0
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class Packed:
    """act(x W^T + b) + residual as one kernel. weight [o, i], bias [o] or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        self._bias = bias
        self._attribute, self._algorithm = _ATTRIBUTES[activation]

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """[..., i] -> [..., o]."""
        if residual is not None and self._attribute == "none":
            return torch.ops.mkldnn._linear_pointwise.binary(
                x, residual, self._weight, self._bias, "add"
            )
        y = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._attribute, [], self._algorithm
        )
        return y if residual is None else y + residual
