"""Trained modules as a model folder of the released layout, which every engine opens."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor, nn

from cbflash.checkpoint import AUTOREGRESSIVE, CONFIG, FILES
from cbflash.config import ModelConfig
from cbflash.files import whole_folder, write_whole
from cbflash.tensorfile import Array, TensorSpec, to_bfloat16, write_tensors
from cbflash.weights import MODULES, TABLES
from cbflash.weights.table import source_shapes, sources_of, take_apart
from cuda_backend.model import Chatterbox

Precision = Literal["fp32", "bf16"]

SPEECH_EMBEDDING = "speech_emb.weight"


def export(
    model: Chatterbox,
    tokenizer: Path,
    folder: Path,
    *,
    precision: Precision = "fp32",
    autoregressive: bool = False,
    force: bool = False,
) -> Path:
    """Write a model and its config.json; what a release holds beside its model is left out.

    tokenizer: the tokenizer.json of its text ids. precision: of matrices; vectors (norms, biases,
    lengths of weights) stay float32, they are few bytes. autoregressive: the decoder has no mask,
    and its file is named as that of the autoregressive Chatterbox. The folder appears whole or not
    at all; one that is there is replaced with `force`.

    Raises OutputError where the folder cannot be written, ValueError for a packed model, and
    ModelError for values that the layout has no place for.
    """
    if any(parameter.numel() == 0 for parameter in model.parameters()):
        raise ValueError("the weights of a packed model cannot be had back")
    names = FILES["release"]
    with whole_folder(folder, force) as built:
        for part in TABLES:
            pieces = take_pieces(model, part, precision)
            name = names[part]
            if part == "t3" and autoregressive:
                pieces, name = [without_mask(piece) for piece in pieces], AUTOREGRESSIVE
            write_pieces(built / name, pieces)
        copy_file(tokenizer, built / names["tokenizer"])
        write_config(built, model.config)
    return folder


def write_config(folder: Path, config: ModelConfig) -> None:
    """The config.json of a folder. Raises OutputError."""
    with write_whole(folder / CONFIG) as file:
        file.write(json.dumps({"sizes": config.to_dict()}, indent=1).encode())


def copy_file(source: Path, target: Path) -> None:
    """Raises OutputError where `target` cannot be written."""
    with source.open("rb") as given, write_whole(target) as file:
        shutil.copyfileobj(given, file)


@dataclass(frozen=True)
class Piece:
    """One parameter and the tensors it is stored as."""

    parameter: Tensor
    transform: str
    specs: tuple[TensorSpec, ...]

    def arrays(self) -> Iterator[Array]:
        whole = self.parameter.detach().float().cpu().numpy()
        for spec, array in zip(self.specs, take_apart(self.transform, whole), strict=True):
            yield to_bfloat16(array) if spec.dtype == "BF16" else array.astype(np.float32)


def write_pieces(path: Path, pieces: Sequence[Piece]) -> None:
    """One file of a folder. Raises OutputError."""
    write_tensors(
        path,
        [spec for piece in pieces for spec in piece.specs],
        (array for piece in pieces for array in piece.arrays()),
    )


def without_mask(piece: Piece) -> Piece:
    """The same for a decoder without a mask, which is the last row of the speech embedding."""
    [spec, *_] = piece.specs
    if spec.name != SPEECH_EMBEDDING:
        return piece
    rows, width = spec.shape
    shorter = TensorSpec(spec.name, spec.dtype, (rows - 1, width))
    return Piece(piece.parameter[:-1], piece.transform, (shorter,))


def take_pieces(model: nn.Module, part: str, precision: Precision) -> list[Piece]:
    """What one file of the folder holds, by the weight tables read backwards. model: with the
    networks of that part below their names."""
    pieces = []
    for target, parameter in model.named_parameters():
        if target.split(".")[0] not in MODULES[part]:
            continue
        sources, transform = sources_of(TABLES[part], target)
        shapes = source_shapes(transform, tuple(parameter.shape), "torch")
        specs = tuple(
            TensorSpec(name, _dtype(shape, precision), shape)
            for name, shape in zip(sources, shapes, strict=True)
        )
        pieces.append(Piece(parameter, transform, specs))
    return pieces


def _dtype(shape: tuple[int, ...], precision: Precision) -> str:
    matrix = math.prod(shape) > max(shape)
    return "BF16" if matrix and precision == "bf16" else "F32"
