"""Is a weight table total? Against the list of the release's tensors, without weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import mlx.nn as nn
from mlx.utils import tree_flatten

from cbflash.weights.table import Rule, match, source_shapes

Shapes = dict[str, tuple[int, ...]]

_LIST = Path(__file__).parent.parent / "assets" / "release_tensors.json"


def release(file: str, prefix: str = "") -> Shapes:
    """Names and shapes of the tensors of a release file that begin with `prefix`."""
    tensors = json.loads(_LIST.read_text("utf-8"))[file]
    return {name: tuple(shape) for name, shape in tensors.items() if name.startswith(prefix)}


def assert_total(rules: Sequence[Rule], tensors: Shapes, module: nn.Module, prefix: str) -> None:
    """Every tensor is used once or dropped, every parameter of `module` filled once, shapes agree.

    `prefix` + path of a parameter is the table's target.
    """
    parameters = {prefix + path: value.shape for path, value in tree_flatten(module.parameters())}
    assignments = match(rules, tensors, "the release")
    assert {one.target for one in assignments} == set(parameters)
    for one in assignments:
        given = tuple(tensors[source] for source in one.sources)
        assert given == source_shapes(one.transform, parameters[one.target], "mlx"), one.target
