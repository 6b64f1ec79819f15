"""Seeded weights put into PyTorch modules, by way of the weight tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from cbflash.weights.table import Rule, arrange, source_shapes, sources_of
from tests.seeded import tensor


def fill(module: nn.Module, rules: Sequence[Rule], prefix: str = "") -> None:
    """Load every parameter of `module` from seeds; `prefix` + path is the table's target."""
    weights = {}
    for path, parameter in module.named_parameters():
        names, transform = sources_of(rules, prefix + path)
        shapes = source_shapes(transform, tuple(parameter.shape), "torch")
        parts = [tensor(name, shape) for name, shape in zip(names, shapes, strict=True)]
        weights[path] = torch.from_numpy(np.ascontiguousarray(arrange(transform, parts, "torch")))
    module.load_state_dict(weights, strict=True, assign=True)
    module.requires_grad_(False)
