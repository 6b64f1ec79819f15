"""The vocoder's pitch predictor, which learns before the rest: no gradient goes from sound to
pitch, and a step of it costs next to nothing.

Shapes: b rows, f frames, m mels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.optim import AdamW

from cbflash.config import HiFTConfig
from cuda_backend.hift import F0Predictor
from training.checkpoints import Checkpoints, Run
from training.devices import Device
from training.loop import Losses, train
from training.optimisers import BETAS, take_step
from training.parameters import trainable
from training.quick import quicken
from training.schedule import Schedule
from training.vocoder.crops import Data
from training.vocoder.judge import PitchErrors
from training.vocoder.settings import PitchSettings, lasting

NAME = "f0_predictor"  # in its checkpoints
JUDGED = 48  # utterances
EVERY = 5000  # steps
LIMIT = 10.0  # of the gradient's norm: only what is out of all proportion is cut
HERTZ = 100.0  # about what a pitch is: losses and weights are in units of it


class PitchStage:
    """The run of the predictor."""

    def __init__(
        self,
        config: HiFTConfig,
        settings: PitchSettings,
        seed: int,
        folder: Path,
        device: Device = "cpu",
    ) -> None:
        self._config = config
        self._settings = settings
        self._device = torch.device(device)
        self.predictor = trainable(F0Predictor(config), seed, device)
        with torch.no_grad():
            self.predictor.output.weight.mul_(HERTZ)  # steps of the optimiser are small
        quicken(self.predictor)
        optimisers = {
            "adamw": AdamW(self.predictor.parameters(), settings.rate, BETAS, weight_decay=0.0)
        }
        self.run = Run({NAME: self.predictor}, optimisers, np.random.default_rng(seed))
        sizes = [config.mels, config.f0_channels, config.f0_layers]
        trained = {"sizes": sizes, "pitch": lasting(settings), "seed": seed}
        self._checkpoints = Checkpoints(folder, trained)

    def train(self, data: Data) -> bool:
        """Train until the steps are over; False if somebody stopped it before."""
        settings = self._settings
        places = data.long_enough("train", settings.frames)
        others = data.features.part("valid")[:JUDGED]
        return train(
            self.run,
            lambda: self.take(data, places),
            Schedule(settings.steps, settings.warmup, settings.decay),
            settings.rate,
            self._checkpoints,
            judge=lambda: self.judge(data, others),
            judged=EVERY,
        )

    def take(self, data: Data, places: Sequence[int]) -> Losses:
        """One step on crops of these utterances; gives the loss."""
        settings = self._settings
        crops = data.crops(places, settings.batch, settings.frames, self.run.numbers, sound=False)
        found = self.predictor(crops.mel.to(self._device))
        # Absolute differences: between voiced and not there is no middle.
        loss = (found - crops.pitch.to(self._device)).abs().mean() / HERTZ
        torch.autograd.backward(loss)
        take_step(self.run.optimisers, LIMIT)
        return {"pitch": loss.item()}

    @torch.no_grad()
    def judge(self, data: Data, places: Sequence[int]) -> Losses:
        errors = PitchErrors(self._config.voiced_threshold)
        for place in places:
            mel = torch.from_numpy(np.asarray(data.mel(place), np.float32)).to(self._device)
            errors.add(self.predictor(mel[None])[0].cpu().numpy(), data.pitch(place))
        return errors.means()
