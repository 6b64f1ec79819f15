"""A student as a model folder: its decoder, and its teacher's other files as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn

from cbflash.checkpoint import FILES
from cbflash.files import whole_folder
from cuda_backend.t3 import T3
from training.distill.teacher import OTHERS, Teacher
from training.export import copy_file, take_pieces, write_config, write_pieces


def write_student(student: T3, block: int, teacher: Teacher, folder: Path, force: bool) -> Path:
    """A folder in the released layout, which every engine opens; its decoder is stored as the
    teacher's was. The model's name is the folder's. Raises OutputError."""
    config = dataclasses.replace(
        teacher.config,
        name=folder.name,
        t3=dataclasses.replace(teacher.config.t3, block_size=block),
    )
    with whole_folder(folder, force) as built:
        pieces = take_pieces(nn.ModuleDict({"t3": student}), "t3", teacher.precision)
        write_pieces(built / FILES["release"]["t3"], pieces)
        for name in OTHERS:
            copy_file(teacher.folder / name, built / name)
        write_config(built, config)
    return folder
