"""Helpers of the converter's tests."""

from __future__ import annotations

from pathlib import Path

from cbflash.tensorfile import TensorFile, TensorSpec, write_tensors


def leftovers(folder: Path) -> list[str]:
    """Names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def replace_tensor(path: Path, name: str, value: float) -> None:
    """Write a value into the first element of a tensor; bfloat16 takes its bits."""
    source = TensorFile.open(path)
    specs = [TensorSpec(n, source[n].dtype, source[n].shape) for n in source]
    arrays = {n: source.raw(n).copy() for n in source}
    arrays[name].reshape(-1)[0] = value
    write_tensors(path, specs, [arrays[n] for n in source])
