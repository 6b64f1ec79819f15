"""Seeded weights put into MLX modules, by way of the weight tables."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from cbflash.weights.table import Rule, arrange, source_shapes, sources_of
from tests.seeded import tensor


def fill(module: nn.Module, rules: Sequence[Rule], prefix: str = "") -> None:
    """Load every parameter of `module` from seeds; `prefix` + path is the table's target."""
    weights = []
    for path, parameter in tree_flatten(module.parameters()):
        names, transform = sources_of(rules, prefix + path)
        shapes = source_shapes(transform, parameter.shape, "mlx")
        parts = [tensor(name, shape) for name, shape in zip(names, shapes, strict=True)]
        weights.append((path, mx.array(arrange(transform, parts, "mlx"))))
    module.load_weights(weights, strict=True)
    mx.eval(module.parameters())
