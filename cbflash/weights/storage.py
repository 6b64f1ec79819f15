"""How a converted folder stores its tensors: the "storage" object of its config.json.

Modules and parameters are named by patterns like those of the weight tables: `{i}` stands
for an index.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from cbflash.errors import ModelError
from cbflash.weights import MODULES
from cbflash.weights.table import Shape

Precision = Literal["fp32", "bf16", "fp16"]

# Names of the precisions in a safetensors file.
STORED: dict[Precision, str] = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}

BITS = (4, 8)
GROUP_SIZES = (32, 64, 128)

# Every matrix of the decoder that a token passes through; the rest is small, or a lookup.
T3_LINEARS = (
    *(f"t3.layers.{{i}}.attention.{name}" for name in ("qkv_proj", "o_proj")),
    *(f"t3.layers.{{i}}.mlp.{name}" for name in ("gate_up_proj", "down_proj")),
    "t3.speech_head",
)


@dataclass(frozen=True)
class PartStorage:
    """How the tensors of one network are stored.

    dtype: of all that is not quantised and not `exact`; of scales and biases too.
    bits, group_size: of the quantised modules, None where there are none.
    quantised: patterns of modules whose weight is quantised.
    exact: patterns of modules that stay float32 whatever `dtype` says.
    """

    dtype: Precision
    bits: int | None = None
    group_size: int | None = None
    quantised: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()

    def quantises(self, module: str) -> bool:
        return _matches(self.quantised, module)

    def precision(self, module: str) -> Precision:
        """Of a module's unquantised parameters."""
        return "fp32" if _matches(self.exact, module) else self.dtype

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Storage = Mapping[str, PartStorage]  # by first component of a parameter's name


def read_storage(data: Mapping[str, Any], where: str) -> dict[str, PartStorage]:
    """Check the "storage" object of a config.json. Raises ModelError."""
    modules = {name for names in MODULES.values() for name in names}
    if set(data) != modules:
        odd = sorted(set(data) ^ modules)
        raise _wrong(where, f"is wrong about {', '.join(odd)}")
    return {name: _read_part(name, value, where) for name, value in data.items()}


def fitting(
    patterns: tuple[str, ...], parameters: Mapping[str, Shape], group_size: int
) -> tuple[str, ...]:
    """The patterns whose modules can all be quantised: rows divide into whole groups."""
    return tuple(
        pattern
        for pattern in patterns
        if all(
            shape[-1] % group_size == 0
            for name, shape in parameters.items()
            if name.endswith(".weight") and _matches((pattern,), name.removesuffix(".weight"))
        )
    )


def _read_part(name: str, value: Any, where: str) -> PartStorage:
    if not isinstance(value, dict) or set(value) != set(PartStorage.__dataclass_fields__):
        raise _wrong(where, f"does not describe {name}")
    if value["dtype"] not in get_args(Precision):
        raise _wrong(where, f"has the dtype {value['dtype']!r} for {name}")
    for key in ("quantised", "exact"):
        if not isinstance(value[key], list) or not all(isinstance(v, str) for v in value[key]):
            raise _wrong(where, f"has no list of {key!r} for {name}")
    bits, group_size = value["bits"], value["group_size"]
    allowed = (BITS, GROUP_SIZES) if value["quantised"] else ((None,), (None,))
    if bits not in allowed[0] or group_size not in allowed[1]:
        raise _wrong(where, f"has {bits!r} bits in groups of {group_size!r} for {name}")
    return PartStorage(
        value["dtype"], bits, group_size, tuple(value["quantised"]), tuple(value["exact"])
    )


def _wrong(where: str, what: str) -> ModelError:
    return ModelError(f'{where}: "storage" {what}.', "Convert it again with: cbflash-convert")


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(_compile(pattern).fullmatch(name) for pattern in patterns)


@functools.cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(r"\d+".join(map(re.escape, re.split(r"\{\w+\}", pattern))))
