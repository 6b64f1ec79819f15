"""What a filling step is made for, and which ids it may draw: the part without tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbflash.config import T3Config

LOG_FLOOR = math.log(1e-8)  # probabilities are not taken below this (released calibration.py)

# What the log probability of a drawn token is set against to rank its position: the mean of the
# unconditional distributions, that of the block's own, or nothing.
Prior = Literal["unconditional", "block", "none"]


@dataclass(frozen=True)
class FillKind:
    """What a filling step is compiled for; all else is an argument.

    thresholded: rows fill what is confident (`cbflash.threshold`). Then `masked` is how many
        positions of a row are masked at most, and at most `masked` - `count` stay so.
    """

    masked: int
    count: int
    guided: bool
    greedy: bool
    scattered: bool  # Gumbel noise on the ranking of positions
    injected: bool  # noise comes from outside
    prior: Prior
    sound_only: bool  # never draw an id that is neither sound nor the end token
    thresholded: bool

    @property
    def left(self) -> int:
        """Positions masked after the step, at most."""
        return self.masked - self.count


def allowed_ids(config: T3Config, sound_only: bool) -> npt.NDArray[np.float32]:
    """0 for ids that may be drawn, -inf for the others, [speech_vocab]."""
    ids = np.arange(config.speech_vocab)
    sound = (ids < config.start_speech) | (ids == config.stop_speech)
    return np.where(sound | (not sound_only), 0.0, -np.inf).astype(np.float32)
