"""Where PyTorch trains."""

from __future__ import annotations

import torch

from cbflash.errors import EngineError

Device = str | torch.device


def find_device(name: str | None) -> torch.device:
    """ "cpu" or "cuda"; None: a card if there is one. Raises EngineError for one that is not."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError("PyTorch finds no NVIDIA card here.", "Leave out --device cuda.")
    return torch.device(name)
