"""What something was made of, in a few letters, so that nothing goes on with something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from cbflash.errors import UsageError
from cbflash.files import make_folder, write_whole

ORIGIN = "origin.json"


def digest(*given: npt.NDArray[Any] | nn.Module) -> str:
    """Sixteen letters that tell these arrays and weights from any others."""
    found = hashlib.sha256()
    for one in given:
        if isinstance(one, nn.Module):
            for name, tensor in sorted(one.state_dict().items()):
                found.update(name.encode())
                found.update(np.ascontiguousarray(tensor.cpu().float().numpy()).tobytes())
        else:
            found.update(f"{one.dtype} {one.shape}".encode())
            found.update(np.ascontiguousarray(one).tobytes())
    return found.hexdigest()[:16]


def claim(folder: Path, record: Mapping[str, Any]) -> None:
    """Note what the files of a folder are made of. Raises UsageError where it is something else."""
    text = json.dumps(record, indent=1, sort_keys=True)
    path = make_folder(folder) / ORIGIN
    if not path.exists():
        with write_whole(path) as file:
            file.write(text.encode())
    elif path.read_text("utf-8") != text:
        there, here = json.loads(path.read_text("utf-8")), json.loads(text)
        other = ", ".join(sorted(key for key in {*there, *here} if there.get(key) != here.get(key)))
        raise UsageError(
            f"What {folder} holds was made with another {other}.",
            "Remove the folder, and it is made anew.",
        )
