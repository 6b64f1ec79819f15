"""Reading a release folder: every tensor checked against the parameters it shall become.

Nothing is skipped and nothing keeps its random start: an unknown tensor, a missing one and a
wrong shape are errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from cbflash.errors import ModelError
from cbflash.tensorfile import TensorFile
from cbflash.weights import MODULES, TABLES
from cbflash.weights.table import (
    Array,
    Assignment,
    Layout,
    Shape,
    arrange,
    match,
    source_shapes,
    sources_of,
)

_SPEECH_EMBEDDING = "speech_emb.weight"
_AGAIN = "Fetch the model again."
_SIZES = "Fetch the model again, or does its config.json belong to other files?"


def assign(
    file: TensorFile, part: str, parameters: Mapping[str, Shape], layout: Layout
) -> list[Assignment]:
    """What the tensors of one file of a release become.

    part: "t3", "s3gen" or "ve". parameters: shapes, in `layout`, of all parameters of the
    model by name; those of the part are filled, each exactly once.

    Raises ModelError with the file, the tensor and both shapes.
    """
    where = str(file.path)
    if part == "t3":
        _check_masked(file, parameters)
    assignments = match(TABLES[part], file, where)
    filled = {one.target for one in assignments}
    wanted = {name for name in parameters if name.split(".")[0] in MODULES[part]}
    for target in sorted(wanted - filled):
        names, _ = sources_of(TABLES[part], target)
        raise ModelError(f"{where} lacks {names[0]}, which would become {target}.", _SIZES)
    for target in sorted(filled - wanted):
        names, _ = sources_of(TABLES[part], target)
        raise ModelError(
            f"{where} holds {names[0]}, for which a model of these sizes has no place.",
            _SIZES,
        )
    for one in assignments:
        expected = source_shapes(one.transform, parameters[one.target], layout)
        for name, shape in zip(one.sources, expected, strict=True):
            _check_tensor(file, name, shape)
    return assignments


def assemble(file: TensorFile, assignment: Assignment, layout: Layout) -> Array:
    """One parameter, float32 unless the file has float16; bfloat16 comes widened."""
    parts = [file.read(name) for name in assignment.sources]
    return arrange(assignment.transform, parts, layout)


def _check_tensor(file: TensorFile, name: str, expected: Shape) -> None:
    info = file[name]
    if info.shape != expected:
        raise ModelError(
            f"{file.path}: {name} has the shape {list(info.shape)}, not {list(expected)}.",
            _SIZES,
        )
    if info.dtype not in ("F32", "F16", "BF16"):
        raise ModelError(f"{file.path}: {name} is stored as {info.dtype}, not as floats.", _AGAIN)


def _check_masked(file: TensorFile, parameters: Mapping[str, Shape]) -> None:
    """The decoder of other Chatterbox models has no mask token: say so, not just a shape."""
    expected = parameters["t3.speech_embedding.weight"]
    found = file[_SPEECH_EMBEDDING].shape if _SPEECH_EMBEDDING in file else expected
    if found == (expected[0] - 1, expected[1]):
        raise ModelError(
            f"{file.path}: {_SPEECH_EMBEDDING} has {found[0]} rows and none for the mask token: "
            "this is the autoregressive Chatterbox, not Chatterbox-Flash.",
            "cbflash runs Chatterbox-Flash (ResembleAI/chatterbox-flash) only; cbflash-distill "
            "makes one of the other.",
        )
