"""safetensors files: a checked, lazy reader and a streaming writer.

The project has its own because it needs four things together: bfloat16 in numpy, a header
that is not trusted (a model or a voice may come from anywhere), reading through a memory
map so that only the tensors asked for are touched, and writing one tensor at a time so that
memory stays flat. The format is: 8 bytes little-endian length, a JSON object of that
length, then the tensors' bytes without holes.
"""

from __future__ import annotations

import json
import math
import mmap
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbflash.errors import ModelError
from cbflash.files import write_whole

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# The format's name of a dtype and how its bits are held here; numpy has no bfloat16.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}

_PREFIX = 8  # bytes of the header's length
_LONGEST_HEADER = 100_000_000
_HIGHEST_RANK = 16
_LARGEST_TENSOR = 2**59  # elements, empty axes left out; numpy counts bytes in int64
_AGAIN = "Fetch the file again."

# What people have instead of a safetensors file, by its first bytes.
_IMPOSTORS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK", "a PyTorch pickle (a zip of them)", "cbflash reads only safetensors."),
    (b"\x80", "a PyTorch pickle", "cbflash reads only safetensors."),
    (b"version https://git-lfs", "a git LFS pointer, not the tensors", "Run: git lfs pull"),
    (b"<", "a web page", "Fetch the file again; was a login asked for?"),
    (b"GGUF", "a GGUF file", "cbflash reads only safetensors."),
)


@dataclass(frozen=True)
class TensorInfo:
    """One entry of a file: dtype as the format names it ("F32", "BF16", ...), and shape."""

    dtype: str
    shape: Shape
    offset: int  # from the start of the file
    nbytes: int


@dataclass(frozen=True)
class TensorSpec:
    """One tensor to be written."""

    name: str
    dtype: str
    shape: Shape

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


class TensorFile(Mapping[str, TensorInfo]):
    """An open safetensors file: a mapping from name to `TensorInfo`, in the file's order.

    Nothing but the header is read until `read` or `raw` is called. The map is closed when
    the file object and the last array made of it are gone.
    """

    def __init__(
        self, path: Path, entries: dict[str, TensorInfo], metadata: dict[str, str], map_: mmap.mmap
    ) -> None:
        self.path = path
        self.metadata = metadata
        self._entries = entries
        self._map = map_

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Open and check everything but the tensors' values.

        Raises ModelError, with the file's name, for a file that is missing, truncated, of
        another kind, or whose header does not describe it exactly.
        """
        try:
            with path.open("rb") as handle:
                handle.seek(0, 2)
                size = handle.tell()
                handle.seek(0)
                header, start = _read_header(path, handle.read(_PREFIX), size)
                raw = handle.read(header)
                entries, metadata = _parse(path, raw, start, size)
                map_ = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise ModelError(f"{path} does not exist.", _AGAIN) from None
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
        return cls(path, entries, metadata, map_)

    def __getitem__(self, name: str) -> TensorInfo:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def raw(self, name: str) -> Array:
        """The tensor as stored, a read-only view of the file; bfloat16 as its uint16 bits.

        Raises ModelError for a name that the file does not hold.
        """
        if name not in self._entries:
            raise ModelError(f"{self.path} holds no tensor {name}.", _AGAIN)
        info = self._entries[name]
        count = math.prod(info.shape)
        array = np.frombuffer(self._map, DTYPES[info.dtype], count, info.offset)
        # The format does not align tensors; most are aligned, and stay views.
        return np.require(array, requirements="A").reshape(info.shape)

    def release(self) -> None:
        """Give pages that were read back to the system; arrays made of them stay valid.

        Whoever reads a file once from end to end does not want all of it to count as memory
        in use.
        """
        if sys.platform != "win32":
            self._map.madvise(mmap.MADV_DONTNEED)

    def read(self, name: str) -> Array:
        """Like `raw`, but bfloat16 comes widened to float32."""
        array = self.raw(name)
        return from_bfloat16(array) if self._entries[name].dtype == "BF16" else array


def from_bfloat16(bits: Array) -> npt.NDArray[np.float32]:
    """uint16 bits of bfloat16 -> the same values in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    """float32 -> uint16 bits of the nearest bfloat16, ties to even; NaN stays NaN."""
    values = np.asarray(values, np.float32)
    bits = values.view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
    quiet = ((bits >> 16) | 0x40).astype(np.uint16)
    return np.where(np.isnan(values), quiet, rounded)


def write_tensors(
    path: Path,
    specs: Sequence[TensorSpec],
    arrays: Iterable[Array],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file, taking one array at a time from `arrays`, which come in `specs`' order.

    bfloat16 comes as uint16 bits (`to_bfloat16`). The file appears whole or not at all.
    Raises OutputError where the disk refuses, ValueError where an array is not as announced.
    """
    with write_whole(path) as handle:
        handle.write(_header(specs, metadata or {}))
        for spec, array in zip(specs, arrays, strict=True):
            stored = DTYPES[spec.dtype]
            if array.shape != spec.shape or array.dtype != stored:
                raise ValueError(
                    f"{spec.name}: {array.dtype} {array.shape} is not {spec.dtype} {spec.shape}"
                )
            handle.write(np.ascontiguousarray(array, stored).reshape(-1).view(np.uint8).data)


def _header(specs: Sequence[TensorSpec], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for spec in specs:
        if spec.name in entries:
            raise ValueError(f"{spec.name} is given twice")
        end = offset + spec.nbytes
        entries[spec.name] = {
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the first tensor starts aligned
    return len(text).to_bytes(_PREFIX, "little") + text


def _read_header(path: Path, prefix: bytes, size: int) -> tuple[int, int]:
    """Length of the header, and where the tensors start."""
    length = int.from_bytes(prefix, "little")
    if size >= _PREFIX and 2 <= length <= min(_LONGEST_HEADER, size - _PREFIX):
        return length, _PREFIX + length
    raise _what_it_is(path, size, length)


def _what_it_is(path: Path, size: int, length: int) -> ModelError:
    """The error for a file whose first eight bytes are no sane header length."""
    with path.open("rb") as handle:
        first = handle.read(32)
    for mark, name, hint in _IMPOSTORS:
        if first.startswith(mark):
            return ModelError(f"{path} is {name}.", hint)
    if size < _PREFIX:
        return ModelError(f"{path} has only {size} bytes.", _AGAIN)
    if size - _PREFIX < length <= _LONGEST_HEADER:
        missing = length - (size - _PREFIX)
        return ModelError(
            f"{path} ends inside its header: at least {missing} bytes are missing.", _AGAIN
        )
    return ModelError(f"{path} is not a safetensors file.", _AGAIN)


def _parse(
    path: Path, raw: bytes, start: int, size: int
) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    try:
        if not raw.startswith(b"{"):
            raise ValueError("it does not begin with a brace")
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
        metadata = _check_metadata(header.pop("__metadata__", {}))
        entries = {name: _entry(name, value, start) for name, value in header.items()}
        ordered = sorted(entries.items(), key=lambda item: (item[1].offset, item[1].nbytes))
        end = _check_cover(ordered, start)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} has a damaged header: {error}.", _AGAIN) from None
    if end > size:
        raise ModelError(f"{path} is cut short: {end - size} bytes are missing.", _AGAIN)
    if end < size:
        raise ModelError(f"{path} is {size - end} bytes longer than its header says.", _AGAIN)
    return dict(ordered), metadata


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _check_metadata(value: Any) -> dict[str, str]:
    if value is None:  # as MLX writes it
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("its metadata is not an object of strings")
    return value


def _entry(name: str, value: Any, start: int) -> TensorInfo:
    name = name[:80]  # for the messages
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{name!r} has the unknown dtype {str(dtype)[:20]!r}")
    if not _whole(shape) or len(shape) > _HIGHEST_RANK:
        raise ValueError(f"{name!r} has no usable shape")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{name!r} has no usable offsets")
    span = offsets[1] - offsets[0]
    if math.prod(max(1, n) for n in shape) > _LARGEST_TENSOR:
        raise ValueError(f"{name!r} has an impossible shape")
    if math.prod(shape) * DTYPES[dtype].itemsize != span:
        raise ValueError(f"{name!r} of shape {shape} does not fill its {span} bytes")
    return TensorInfo(dtype, tuple(shape), start + offsets[0], span)


def _whole(value: Any) -> bool:
    """A list of ints, none negative (in JSON, true is not 1)."""
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _check_cover(ordered: Sequence[tuple[str, TensorInfo]], start: int) -> int:
    """Tensors must follow one another without hole or overlap; the end of the last one."""
    end = start
    for name, info in ordered:
        if info.offset != end:
            raise ValueError(f"{name!r} {'overlaps' if info.offset < end else 'leaves a hole'}")
        end += info.nbytes
    return end
