"""Model folders into modules, always strict: every parameter from the file, none by chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from cbflash.checkpoint import CONFIG, Checkpoint
from cbflash.errors import ModelError, UsageError
from cbflash.tensorfile import TensorFile, TensorInfo
from cbflash.weights import MODULES, TABLES
from cbflash.weights.release import assemble, assign
from cbflash.weights.storage import (
    T3_LINEARS,
    PartStorage,
    Precision,
    Storage,
    fitting,
    read_storage,
)
from cbflash.weights.table import Shape
from mlx_port.device import default_dtype, on_gpu
from mlx_port.model import Chatterbox
from mlx_port.quantise import quantise

DTYPES: dict[Precision, mx.Dtype] = {
    "fp32": mx.float32,
    "bf16": mx.bfloat16,
    "fp16": mx.float16,
}
GROUP_SIZE = 64  # weights that share a scale, where nobody says otherwise

Named = tuple[str, mx.array]


def load_model(
    checkpoint: Checkpoint, dtype: mx.Dtype | None = None, bits: int | None = None
) -> Chatterbox:
    """Load a release folder, or a converted one as it is stored.

    dtype: of the decoder. By default a release gets the device's (`default_dtype`); a
    converted folder keeps its own on a GPU and gets float32 on a CPU, where MLX multiplies
    nothing else fast. All other networks run in float32, however they are stored: so do
    their activations.
    bits: 4 or 8 quantises the decoder's matrices while loading.

    The three encoders of a converted folder are read when a voice is first made.

    Raises ModelError for a folder that does not hold exactly this model, and UsageError for
    `bits` where the folder is quantised otherwise.
    """
    model = Chatterbox(checkpoint.config)
    shapes = parameter_shapes(model)
    stored = _storage(checkpoint)
    extra = _while_loading(bits, stored, shapes)
    if stored is None:
        arrays = _release(checkpoint, shapes)
    else:
        _quantise_modules(model, stored, checkpoint)
        arrays = _converted(checkpoint, dict(tree_flatten(model.parameters())))
    _quantise_modules(model, extra, checkpoint)
    decoder = dtype or _decoder_dtype(stored)
    weights: list[Named] = []
    for name, array in arrays:
        run = decoder if name.startswith("t3.") else mx.float32
        weights += _prepare(name, array, extra, run)
        if stored is None:
            mx.eval(weights[-1][1])
    model.load_weights(weights, strict=True)
    suit_device(model)
    mx.eval(model.t3.parameters(), model.flow.parameters(), model.hift.parameters())
    return model


def suit_device(model: nn.Module) -> None:
    """Lay the matrices of linear layers out as the device multiplies them fastest.

    On a CPU that is the other way round in memory: BLAS then copies a panel of the weights
    in order instead of gathering it, a fifth faster for the few rows of a block. The arrays
    keep their shape.
    """
    if on_gpu():
        return
    for _, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.weight = mx.contiguous(module.weight.T).T


def decoder_bits(model: Chatterbox) -> int | None:
    """How many bits a weight of the decoder's layers takes, None if it is not quantised."""
    for _, module in model.t3.named_modules():
        if isinstance(module, nn.QuantizedLinear):
            return int(module.bits)
    return None


def parameter_shapes(model: nn.Module) -> dict[str, Shape]:
    """Shapes of all parameters by name; nothing is computed."""
    return {name: tuple(array.shape) for name, array in tree_flatten(model.parameters())}


def _storage(checkpoint: Checkpoint) -> Storage | None:
    if checkpoint.storage is None:
        return None
    return read_storage(checkpoint.storage, str(checkpoint.folder / CONFIG))


def _decoder_dtype(stored: Storage | None) -> mx.Dtype:
    if stored is None or not on_gpu():
        return default_dtype()
    return DTYPES[stored["t3"].dtype]


def _while_loading(
    bits: int | None, stored: Storage | None, shapes: Mapping[str, Shape]
) -> dict[str, PartStorage]:
    """What is to be quantised that is not yet."""
    present = stored["t3"].bits if stored is not None else None
    if bits is None or bits == present:
        return {}
    if present is not None:
        raise UsageError(
            f"This model is stored with {present} bits, so {bits} cannot be had from it.",
            "Leave the choice to the model, or convert the release again.",
        )
    patterns = fitting(T3_LINEARS, shapes, GROUP_SIZE)
    return {"t3": PartStorage("fp32", bits, GROUP_SIZE, patterns)}


def _quantise_modules(model: Chatterbox, storage: Storage, checkpoint: Checkpoint) -> None:
    """Put quantised modules, still lazy and random, in the places that `storage` names."""

    def choose(path: str, module: nn.Module) -> bool | dict[str, int | None]:
        part = storage.get(path.split(".")[0])
        if part is None or not part.quantises(path):
            return False
        if not isinstance(module, nn.Linear) or module.weight.shape[-1] % (part.group_size or 1):
            raise ModelError(
                f"{checkpoint.folder / CONFIG}: {path} cannot be quantised in groups of "
                f"{part.group_size}.",
                "Convert it again with: cbflash-convert",
            )
        return {"bits": part.bits, "group_size": part.group_size}

    nn.quantize(model, class_predicate=choose)


def _prepare(name: str, array: mx.array, extra: Storage, run: mx.Dtype) -> list[Named]:
    """A parameter as it is kept: in the precision it runs in, or quantised."""
    module = name.removesuffix(".weight")
    part = extra.get(name.split(".")[0])
    if part is None or module == name or not part.quantises(module):
        return [(name, array if array.dtype == mx.uint32 else array.astype(run))]
    assert part.bits is not None
    assert part.group_size is not None
    codes, scales, biases = quantise(array, part.bits, part.group_size, run)
    mx.eval(codes, scales, biases)  # one matrix at a time in memory
    return [(name, codes), (f"{module}.scales", scales), (f"{module}.biases", biases)]


def _release(checkpoint: Checkpoint, shapes: Mapping[str, Shape]) -> Iterator[Named]:
    for part in TABLES:
        file = checkpoint.tensors(part)
        for assignment in assign(file, part, shapes, "mlx"):
            yield assignment.target, mx.array(assemble(file, assignment, "mlx"))
            file.release()


def _converted(checkpoint: Checkpoint, expected: Mapping[str, mx.array]) -> Iterator[Named]:
    """The tensors of a converted folder, lazy: MLX reads them when they are first used."""
    for part in TABLES:
        file = checkpoint.tensors(part)
        names = {name for name in expected if name.split(".")[0] in MODULES[part]}
        for name in sorted(names ^ set(file)):
            problem = "lacks" if name in names else "holds the unknown"
            raise _damaged(f"{file.path} {problem} tensor {name}.")
        for name in names:
            _check(file, name, file[name], expected[name])
        yield from mx.load(str(file.path), format="safetensors").items()


def _check(file: TensorFile, name: str, found: TensorInfo, expected: mx.array) -> None:
    if found.shape != tuple(expected.shape):
        raise _damaged(
            f"{file.path}: {name} has the shape {list(found.shape)}, not {list(expected.shape)}."
        )
    allowed = ("U32",) if expected.dtype == mx.uint32 else ("F32", "BF16", "F16")
    if found.dtype not in allowed:
        raise _damaged(f"{file.path}: {name} is stored as {found.dtype}, not {allowed[0]}.")


def _damaged(message: str) -> ModelError:
    return ModelError(message, "Convert the model again with: cbflash-convert")
