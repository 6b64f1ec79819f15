"""Text: cleaning it for the model, and cutting it into pieces."""

from __future__ import annotations

from cbflash.text.clean import is_speakable, normalise
from cbflash.text.split import Piece, split

__all__ = ["Piece", "is_speakable", "normalise", "split"]
