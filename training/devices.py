"""Where PyTorch trains."""

from __future__ import annotations

import torch

from cbflash.errors import EngineError

Device = str | torch.device


def find_device(name: str) -> torch.device:
    """ "cpu" or "cuda". Raises EngineError for a card that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise EngineError("PyTorch finds no NVIDIA card here.", "Leave out --device cuda.")
    return torch.device(name)
