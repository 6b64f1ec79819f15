"""The safetensors reader and writer, beside the reference library, MLX and hostile files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbflash.errors import ModelError, OutputError
from cbflash.tensorfile import (
    DTYPES,
    TensorFile,
    TensorSpec,
    from_bfloat16,
    to_bfloat16,
    write_tensors,
)

RNG = np.random.default_rng(0)
ARRAYS: dict[str, np.ndarray] = {
    "weight": RNG.standard_normal((3, 4)).astype(np.float32),
    "half": RNG.standard_normal((5,)).astype(np.float16),
    "ids": np.arange(6, dtype=np.int32).reshape(2, 3),
    "count": np.array(1000, np.int64),
    "empty": np.zeros((0, 4), np.float32),
    "packed": np.arange(7, dtype=np.uint32),
    "bytes": np.arange(3, dtype=np.uint8),
    "odd": RNG.standard_normal((2,)).astype(np.float32),  # not aligned: it follows 3 bytes
}
NAMES = {np.dtype(d): n for n, d in DTYPES.items() if n != "BF16"}


def specs(arrays: dict[str, np.ndarray]) -> list[TensorSpec]:
    return [TensorSpec(name, NAMES[a.dtype], a.shape) for name, a in arrays.items()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_tensors(path, specs(ARRAYS), ARRAYS.values(), {"format": "np", "note": "für alle"})
    return path


def raw_file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path


def entry(begin: int, end: int, shape: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_reads_back_what_it_wrote(file: Path) -> None:
    opened = TensorFile.open(file)
    assert list(opened) == list(ARRAYS)
    assert opened.metadata == {"format": "np", "note": "für alle"}
    for name, array in ARRAYS.items():
        assert opened[name].shape == array.shape
        assert opened[name].nbytes == array.nbytes
        np.testing.assert_array_equal(opened.read(name), array)
        assert opened.read(name).dtype == array.dtype


def test_reference_library_reads_ours_and_we_read_its(file: Path, tmp_path: Path) -> None:
    theirs = safetensors.numpy.load_file(file)
    assert set(theirs) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], array)
    other = tmp_path / "other.safetensors"
    safetensors.numpy.save_file(ARRAYS, other, {"made": "elsewhere"})
    opened = TensorFile.open(other)
    assert opened.metadata == {"made": "elsewhere"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(opened.read(name), array)


def test_mlx_reads_ours(file: Path) -> None:
    loaded = mx.load(str(file))
    for name in ("weight", "half", "ids", "packed"):
        np.testing.assert_array_equal(np.array(loaded[name]), ARRAYS[name])


def test_bfloat16_is_mlx_bfloat16(tmp_path: Path) -> None:
    values = np.concatenate([RNG.standard_normal(1000) * 10.0 ** RNG.integers(-30, 30, 1000)])
    values = np.append(values, [0.0, -0.0, np.inf, -np.inf, np.nan, 1.00390625, 3.4e38])
    values = values.astype(np.float32)
    path = tmp_path / "b.safetensors"
    write_tensors(path, [TensorSpec("x", "BF16", values.shape)], [to_bfloat16(values)])
    expected = mx.array(values).astype(mx.bfloat16)
    np.testing.assert_array_equal(
        np.array(mx.load(str(path))["x"].astype(mx.float32)), np.array(expected.astype(mx.float32))
    )
    opened = TensorFile.open(path)
    assert opened["x"].dtype == "BF16"
    assert opened.raw("x").dtype == np.uint16
    np.testing.assert_array_equal(opened.read("x"), np.array(expected.astype(mx.float32)))
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(values)), opened.read("x"))


def test_reading_is_lazy_and_a_view(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    rows = 4096
    array = np.ones((rows, 1024), np.float32)  # 16 MiB each
    names = [TensorSpec(f"t{i}", "F32", array.shape) for i in range(4)]
    tracemalloc.start()
    write_tensors(path, names, (array for _ in names))
    opened = TensorFile.open(path)
    view = opened.read("t3")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    assert not view.flags.owndata
    assert not view.flags.writeable
    assert view[-1, -1] == 1.0


def test_header_is_aligned(file: Path) -> None:
    length = int.from_bytes(file.read_bytes()[:8], "little")
    assert length % 8 == 0
    opened = TensorFile.open(file)
    assert opened["weight"].offset == 8 + length


def test_unknown_tensor(file: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors holds no tensor nothing"):
        TensorFile.open(file).raw("nothing")


DAMAGED: list[tuple[str, Any, bytes, str]] = [
    ("no json", b"{nonsense", b"", "damaged header"),
    ("not an object", b"[1, 2, 3]", b"", "begin with a brace"),
    ("not utf-8", b'{"\xff\xfe": 1}', b"", "damaged header"),
    ("deep", b'{"a":' + b"[" * 200_000, b"", "damaged header"),
    ("twice", b'{"a":1,"a":1}', b"1234", "twice"),
    ("no dtype", {"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234", "not described"),
    ("extra key", {"a": entry(0, 4, [1]) | {"x": 1}}, b"1234", "not described"),
    ("unknown dtype", {"a": entry(0, 4, [1], "F4")}, b"1234", "unknown dtype"),
    ("dtype no string", {"a": entry(0, 4, [1], ["F32"])}, b"1234", "unknown dtype"),
    ("negative shape", {"a": entry(0, 4, [-1, -1])}, b"1234", "no usable shape"),
    ("shape of bools", {"a": entry(0, 4, [True])}, b"1234", "no usable shape"),
    ("shape of floats", {"a": entry(0, 4, [1.0])}, b"1234", "no usable shape"),
    ("rank", {"a": entry(0, 4, [1] * 100)}, b"1234", "no usable shape"),
    ("backwards", {"a": entry(4, 0, [1])}, b"1234", "no usable offsets"),
    ("one offset", {"a": entry(0, 4, [1]) | {"data_offsets": [0]}}, b"1234", "no usable offsets"),
    ("span", {"a": entry(0, 4, [2])}, b"1234", "does not fill"),
    ("overflow", {"a": entry(0, 4, [2**62, 2**62])}, b"1234", "impossible shape"),
    ("overflow of nothing", {"a": entry(0, 0, [0, 2**62, 2**62])}, b"", "impossible shape"),
    ("overlap", {"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, b"1234", "overlaps"),
    ("hole", {"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, b"123412341234", "leaves a hole"),
    ("hole at the start", {"a": entry(4, 8, [1])}, b"12341234", "leaves a hole"),
    ("truncated", {"a": entry(0, 8, [2])}, b"123", "cut short: 5 bytes are missing"),
    ("too long", {"a": entry(0, 4, [1])}, b"123456", "2 bytes longer"),
    ("metadata", {"__metadata__": {"a": 1}}, b"", "metadata"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "data", "message"), [d[1:] for d in DAMAGED], ids=[d[0] for d in DAMAGED]
)
def test_damaged_header_is_named(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    path = raw_file(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(ModelError, match=message) as caught:
        TensorFile.open(path)
    assert "bad.safetensors" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04" + bytes(100), "PyTorch pickle"),
        (b"\x80\x02}q\x00(X\x05\x00\x00\x00" + bytes(100), "PyTorch pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"GGUF\x03\x00\x00\x00\x01\x00\x00\x00", "GGUF"),
        (b"", "only 0 bytes"),
        (b"\x01\x02\x03", "only 3 bytes"),
        (b"\xff" * 40, "not a safetensors file"),
        ((200_000_000).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((50).to_bytes(8, "little") + b'{"a":', "at least 45 bytes are missing"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        TensorFile.open(path)
    assert "x.safetensors" in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        TensorFile.open(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        TensorFile.open(tmp_path)


def test_a_header_of_pickle_like_length_is_read(tmp_path: Path) -> None:
    """0x280 = 640 begins like a pickle (80 02); only an impossible length is suspicious."""
    text = json.dumps({"a": entry(0, 4, [1])}).encode().ljust(0x280)
    opened = TensorFile.open(raw_file(tmp_path / "a.safetensors", text, b"\0\0\x80?"))
    assert opened.read("a")[0] == 1.0


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_damage_is_an_error_or_other_data(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    damaged = file.with_name("damaged.safetensors")
    damaged.write_bytes(bytes(content[:cut]))
    tracemalloc.start()
    message = ""
    try:
        opened = TensorFile.open(damaged)
        total = sum(opened.read(name).size for name in opened)
    except ModelError as error:
        message, total = str(error), 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert total <= len(content)
    assert not message or "damaged.safetensors" in message


@pytest.mark.parametrize(
    "arrays",
    [
        [np.zeros(3, np.float32)],
        [np.zeros(4, np.float64)],
        [],
        [np.zeros(4, np.float32)] * 2,
    ],
    ids=["shape", "dtype", "too few", "too many"],
)
def test_writer_refuses_other_arrays_and_leaves_nothing(
    tmp_path: Path, arrays: list[np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=r"zip|F32"):
        write_tensors(tmp_path / "a.safetensors", [TensorSpec("a", "F32", (4,))], arrays)
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_a_name_twice(tmp_path: Path) -> None:
    spec = TensorSpec("a", "F32", (1,))
    with pytest.raises(ValueError, match="twice"):
        write_tensors(tmp_path / "a", [spec, spec], [np.zeros(1, np.float32)] * 2)


def test_failed_writing_keeps_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(ValueError, match="F32"):
        write_tensors(file, [TensorSpec("a", "F32", (4,))], [np.zeros(1, np.float32)])
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_new_file_leaves_readers_of_the_old_one_alone(file: Path) -> None:
    view = TensorFile.open(file).read("weight")
    zeros = {name: np.zeros_like(array) for name, array in ARRAYS.items()}
    write_tensors(file, specs(zeros), zeros.values())
    np.testing.assert_array_equal(view, ARRAYS["weight"])
    assert not TensorFile.open(file).read("weight").any()


def test_writing_where_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_tensors(tmp_path / "folder", [], [])
    with pytest.raises(OutputError, match="folder does not exist"):
        write_tensors(tmp_path / "none" / "x", [], [])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="a part of its path is a file"):
        write_tensors(tmp_path / "file" / "x", [], [])


def test_strided_arrays_are_written_in_order(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = tmp_path / "t.safetensors"
    write_tensors(path, [TensorSpec("a", "F32", (4, 3))], [array.T])
    np.testing.assert_array_equal(TensorFile.open(path).read("a"), array.T)


def test_a_file_that_mlx_wrote_is_read(tmp_path: Path) -> None:
    """MLX writes its metadata as null where there is none."""
    path = tmp_path / "mlx.safetensors"
    mx.save_safetensors(str(path), {"a": mx.arange(6).reshape(2, 3)})
    file = TensorFile.open(path)
    assert file.metadata == {}
    assert file.read("a").tolist() == [[0, 1, 2], [3, 4, 5]]
