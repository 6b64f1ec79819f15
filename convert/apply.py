"""One release folder in, one converted folder out, a tensor at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from cbflash.builtin import require_other
from cbflash.checkpoint import CONFIG, CONVERTED_FORMAT, CONVERTED_VERSION, FILES, Checkpoint
from cbflash.errors import ModelError, OutputError, UsageError
from cbflash.files import whole_folder, write_whole
from cbflash.manifest import describe, hash_file, read_manifest
from cbflash.tensorfile import Array, TensorFile, TensorSpec, to_bfloat16, write_tensors
from cbflash.tokenizer import TextTokenizer
from cbflash.weights import TABLES
from cbflash.weights.release import assemble, assign
from cbflash.weights.storage import STORED, PartStorage, Precision, Storage
from cbflash.weights.table import Assignment, Shape
from convert.card import CARD, model_card
from convert.recipe import Bits, Options, recipe
from mlx_port.model import Chatterbox
from mlx_port.quantise import quantise
from mlx_port.weights import DTYPES, parameter_shapes

_SPARE = 16 << 20  # bytes that must stay free on the disk


@dataclass(frozen=True)
class Progress:
    """How far a conversion is.

    stage: "check" (hashing the source), then a part: "t3", "s3gen", "ve".
    done, total: files begun in the first stage, then parameters written.
    read, size: bytes of the source that the stage has read and will read.
    """

    stage: str
    done: int
    total: int
    read: int
    size: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Source:
    """Where a release came from, for the records of what is made of it.

    name: hub id, or the name of the folder. revision: the hub's commit, or empty.
    sha256: of its files, by name.
    """

    name: str
    revision: str
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Item:
    """One parameter, how it is stored and the tensors of the file that hold it."""

    assignment: Assignment
    storage: PartStorage
    specs: tuple[TensorSpec, ...]

    @property
    def quantised(self) -> bool:
        return len(self.specs) > 1


def convert(
    source: str | Path,
    out: str | Path,
    bits: Bits = 4,
    group_size: int = 64,
    dtype: Precision = "bf16",
    force: bool = False,
    progress: OnProgress | None = None,
) -> Path:
    """Make a converted folder `out` of the release folder `source`; gives `out`.

    The folder appears whole or not at all; `force` replaces an old one. Memory stays at a few
    tensors, whatever the size of the model.

    Raises UsageError for options that make no sense, ModelError for a source that is not
    exactly a release, OutputError where the result cannot be written.
    """
    options = Options(bits, group_size, dtype)
    checkpoint, target = Checkpoint.open(Path(source)), Path(out)
    if checkpoint.kind != "release":
        raise UsageError(f"{checkpoint.folder} is converted already.", "Give the release's folder.")
    if target.exists() and target.resolve() == checkpoint.folder.resolve():
        raise UsageError(f"{target} is the source itself.", "Choose another folder for the result.")
    require_other(target)
    TextTokenizer.open(checkpoint.files["tokenizer"], checkpoint.config.t3)
    parameters = parameter_shapes(Chatterbox(checkpoint.config))
    storage = recipe(options, parameters)
    report = progress or (lambda _: None)
    with whole_folder(target, force) as folder:
        items = {
            part: _plan(checkpoint.tensors(part), part, parameters, storage) for part in TABLES
        }
        _check_space(folder, items)
        origin = _examine(checkpoint, report)
        for part, file_items in items.items():
            _write(checkpoint.tensors(part), part, file_items, folder, report)
        _write_file(
            folder / FILES["converted"]["tokenizer"], checkpoint.files["tokenizer"].read_bytes()
        )
        _write_records(folder, checkpoint, storage, origin)
    return target


def _plan(
    file: TensorFile, part: str, parameters: Mapping[str, Shape], storage: Storage
) -> list[Item]:
    items = []
    for assignment in assign(file, part, parameters, "mlx"):
        name = assignment.target
        kept = storage[name.split(".")[0]]
        items.append(Item(assignment, kept, _specs(name, parameters[name], kept)))
    return items


def _specs(name: str, shape: Shape, storage: PartStorage) -> tuple[TensorSpec, ...]:
    module, _, kind = name.rpartition(".")
    dtype = STORED[storage.precision(module)]
    if kind != "weight" or not storage.quantises(module):
        return (TensorSpec(name, dtype, shape),)
    assert storage.bits is not None
    assert storage.group_size is not None
    outputs, inputs = shape
    groups = (outputs, inputs // storage.group_size)
    return (
        TensorSpec(name, "U32", (outputs, inputs * storage.bits // 32)),
        TensorSpec(f"{module}.scales", dtype, groups),
        TensorSpec(f"{module}.biases", dtype, groups),
    )


def _check_space(folder: Path, items: Mapping[str, list[Item]]) -> None:
    specs = [spec for part in items.values() for item in part for spec in item.specs]
    needed = sum(spec.nbytes for spec in specs) + _SPARE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The result needs {needed / 1e6:,.0f} MB in {folder.parent}, "
            f"and {free / 1e6:,.0f} MB are free.",
            "Free some space, or choose another place with --out.",
        )


def _examine(checkpoint: Checkpoint, report: OnProgress) -> Source:
    """Hash the source, and compare with what was noted when it was downloaded."""
    manifest = read_manifest(checkpoint.folder)
    total = sum(path.stat().st_size for path in checkpoint.files.values())
    hashes: dict[str, str] = {}
    read = 0

    def on_bytes(count: int) -> None:
        nonlocal read
        read += count
        report(Progress("check", len(hashes) + 1, len(checkpoint.files), read, total))

    for path in checkpoint.files.values():
        digest = hash_file(path, on_bytes)
        record = manifest.files.get(path.name) if manifest is not None else None
        if record is not None and record.sha256 != digest:
            raise ModelError(
                f"{path} has changed since it was downloaded.",
                "Fetch it again with: cbflash models download",
            )
        hashes[path.name] = digest
    known = manifest.source if manifest is not None else {}
    name = known.get("repo", checkpoint.folder.resolve().name)
    return Source(name, known.get("commit", ""), hashes)


def _write(
    file: TensorFile, part: str, items: list[Item], folder: Path, report: OnProgress
) -> None:
    size = sum(file[name].nbytes for item in items for name in item.assignment.sources)

    def arrays() -> Iterator[Array]:
        read = 0
        for done, item in enumerate(items, 1):
            yield from _store(file, item)
            file.release()
            read += sum(file[name].nbytes for name in item.assignment.sources)
            report(Progress(part, done, len(items), read, size))

    specs = [spec for item in items for spec in item.specs]
    write_tensors(folder / FILES["converted"][part], specs, arrays(), {"format": "mlx"})


def _store(file: TensorFile, item: Item) -> Iterator[Array]:
    """The arrays of one parameter, as the file takes them."""
    array = assemble(file, item.assignment, "mlx")
    dtype = item.specs[-1].dtype
    if not item.quantised:
        yield _narrow(file, item, array, dtype)
        return
    assert item.storage.bits is not None
    assert item.storage.group_size is not None
    _check_finite(file, item, array)
    parts = quantise(
        mx.array(array), item.storage.bits, item.storage.group_size, DTYPES[item.storage.dtype]
    )
    mx.eval(*parts)
    for part in parts:
        yield np.array(part.view(mx.uint16) if part.dtype == mx.bfloat16 else part)


def _narrow(file: TensorFile, item: Item, array: Array, dtype: str) -> Array:
    if dtype == "F16":
        with np.errstate(over="ignore"):  # found by the check
            array = array.astype(np.float16)
    _check_finite(file, item, array)
    return to_bfloat16(array) if dtype == "BF16" else array.astype(_NUMPY[dtype], copy=False)


_NUMPY = {"F32": np.float32, "F16": np.float16}


def _check_finite(file: TensorFile, item: Item, array: Array) -> None:
    if not np.isfinite(array).all():
        raise ModelError(
            f"{file.path}: {item.assignment.sources[-1]} holds values that are not finite, "
            f"or too large to be stored as {item.specs[-1].dtype}.",
            "Fetch the model again; if that does not help, convert with --dtype bf16.",
        )


def _write_records(folder: Path, checkpoint: Checkpoint, storage: Storage, origin: Source) -> None:
    config = {
        "format": CONVERTED_FORMAT,
        "version": CONVERTED_VERSION,
        "name": checkpoint.name,
        "model_id": checkpoint.model_id,
        "sizes": checkpoint.config.to_dict(),
        "storage": {name: part.to_dict() for name, part in storage.items()},
        "source": {
            "name": origin.name,
            "revision": origin.revision,
            "sha256": dict(origin.sha256),
        },
    }
    _write_file(folder / CONFIG, json.dumps(config, indent=1).encode() + b"\n")
    files = [*FILES["converted"].values(), CONFIG]
    sizes = {name: (folder / name).stat().st_size for name in FILES["converted"].values()}
    card = model_card(checkpoint.name, origin.name, origin.revision, storage, sizes)
    _write_file(folder / CARD, card.encode())
    source = {"converted_from": origin.name, "commit": origin.revision}
    describe(folder, [*files, CARD], source).write(folder)


def _write_file(path: Path, data: bytes) -> None:
    with write_whole(path) as handle:
        handle.write(data)
