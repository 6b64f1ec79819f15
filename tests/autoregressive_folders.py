"""Folders of a tiny autoregressive Chatterbox, made of a tiny Chatterbox-Flash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cbflash.checkpoint import AUTOREGRESSIVE, FILES
from cbflash.tensorfile import TensorFile, TensorSpec, write_tensors

Tensors = dict[str, np.ndarray]
FLASH = FILES["release"]["t3"]


def make_autoregressive(release: Path, folder: Path) -> Path:
    """The same model without the row of the mask."""
    shutil.copytree(release, folder)
    (folder / FLASH).rename(folder / AUTOREGRESSIVE)
    rewrite(folder / AUTOREGRESSIVE, without_mask)
    return folder


def without_mask(tensors: Tensors) -> None:
    tensors["speech_emb.weight"] = tensors["speech_emb.weight"][:-1]


def rewrite(path: Path, change: Callable[[Tensors], object]) -> None:
    """Change the stored tensors of a file."""
    file = TensorFile.open(path)
    dtype = {name: info.dtype for name, info in file.items()}
    tensors = {name: np.array(file.raw(name)) for name in file}
    change(tensors)
    specs = [
        TensorSpec(name, dtype.get(name, "BF16"), array.shape) for name, array in tensors.items()
    ]
    write_tensors(path, specs, iter(tensors.values()))
