"""A trained model as the built-in one: python -m training.ship MODEL

MODEL is a folder that `training.assemble` wrote. It is looked at first: a model that is shipped has
to open everywhere, and is small. The card that is there stays.
"""

from __future__ import annotations

import argparse
import math
import string
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cbflash.builtin import BUILTIN
from cbflash.checkpoint import CONFIG, FILES, Checkpoint
from cbflash.errors import ModelError
from cbflash.files import whole_folder
from cbflash.installation import assets_folder
from cbflash.manifest import MANIFEST, describe
from cbflash.tokenizer import TextTokenizer
from cbflash.weights import TABLES
from cbflash.weights.table import match
from cuda_backend.weights import read_model
from training.command import Command
from training.export import copy_file

LARGEST = 25_000_000  # bytes of the folder, with card and manifest
CARD = "README.md"

_SPOKEN = f"{string.ascii_letters}.,?!'-"  # what the tokenizer has to know at least
_EXPORT = "Write it again: python -m training.assemble WORK FOLDER --precision bf16"


def check(checkpoint: Checkpoint) -> None:
    """Raises ModelError for a model that cannot be the built-in one."""
    folder = checkpoint.folder
    if (checkpoint.kind, checkpoint.name) != ("release", BUILTIN):
        raise ModelError(
            f"{folder} is {checkpoint.name!r}, a {checkpoint.kind} folder.",
            f"The built-in model has the released layout and is called {BUILTIN!r}.",
        )
    for part in TABLES:
        _check_tensors(checkpoint, part)
    read_model(checkpoint, torch.float32, torch.device("cpu"))  # strict
    tokenizer = TextTokenizer.open(checkpoint.files["tokenizer"], checkpoint.config.t3)
    unknown = tokenizer.encode(_SPOKEN).unknown
    if unknown:
        raise ModelError(f"Its tokenizer does not know {' '.join(unknown)}.", "Train with another.")


def _check_tensors(checkpoint: Checkpoint, part: str) -> None:
    """None that nothing is made of, and matrices in half the space."""
    file = checkpoint.tensors(part)
    shapes = {name: file[name].shape for name in file}
    used = {name for one in match(TABLES[part], shapes, part) for name in one.sources}
    superfluous = sorted(set(file) - used)
    if superfluous:
        raise ModelError(f"{file.path} holds {superfluous[0]}, which nothing is made of.", _EXPORT)
    for name, shape in shapes.items():
        if math.prod(shape) > max(shape, default=1) and file[name].dtype != "BF16":
            raise ModelError(f"{file.path}: {name} is {file[name].dtype}, not BF16.", _EXPORT)


def ship(model: Path, target: Path) -> int:
    """Put a model into `target`, with hashes of its files; gives the bytes that it has there.

    Raises ModelError for one that cannot be the built-in one or is too large; `target` stays as it
    was then. OutputError where it cannot be written.
    """
    checkpoint = Checkpoint.open(model)
    check(checkpoint)
    names = [*FILES["release"].values(), CONFIG]
    with whole_folder(target, force=True) as built:
        for name in names:
            copy_file(model / name, built / name)
        if (target / CARD).is_file():
            copy_file(target / CARD, built / CARD)
        describe(built, names, {"built_in": BUILTIN}).write(built)
        size = sum(path.stat().st_size for path in built.iterdir())
        if size > LARGEST:
            raise ModelError(
                f"It has {size:,} bytes; {LARGEST:,} is the most.", "Train a smaller one."
            )
    return size


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command("ship", f"Make a trained model the built-in one, with a {MANIFEST}.")
    command.parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a folder of training.assemble"
    )
    command.parser.add_argument(
        "--assets", type=Path, metavar="FOLDER", help="(default: that of this installation)"
    )

    def act(given: argparse.Namespace) -> None:
        target = (given.assets or assets_folder()) / BUILTIN
        print(f"{target}: {ship(given.model, target) / 1e6:.1f} MB")

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
