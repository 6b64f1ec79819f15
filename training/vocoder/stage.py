"""The vocoder learns to make sound, and discriminators to tell it from recordings.

Its excitation has the pitch that its predictor finds, which learnt that before (`predictor.py`):
so it is in training as it will be in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from cbflash.config import HiFTConfig
from cbflash.tokens import SAMPLES_PER_FRAME
from cuda_backend.hift import HiFT
from training.checkpoints import Run
from training.devices import Device
from training.loop import Losses
from training.optimisers import take_step
from training.parameters import trainable
from training.quick import QuickConv1d, quicken
from training.vocoder.crops import Data, draw_phase
from training.vocoder.discriminators import Discriminators, taken_for_real, told_apart, unlike
from training.vocoder.losses import LogMel, SpectralDistance
from training.vocoder.settings import Settings, lasting

BETAS = (0.8, 0.99)  # of HiFi-GAN
_LIMIT = 10.0  # of gradients' norms: only what is out of all proportion is cut


class Stage:
    """A vocoder that is trained, and all that takes part.

    run: what goes into checkpoints.
    """

    def __init__(
        self, config: HiFTConfig, settings: Settings, seed: int, device: Device = "cpu"
    ) -> None:
        self._settings = settings
        self._harmonics = config.harmonics + 1
        self._device = torch.device(device)
        self.hift = trainable(HiFT(config), seed, device)
        _quicken(self.hift, torch.bfloat16 if settings.bfloat16 else torch.float32)
        self.discriminators = _discriminators(settings, seed).to(device)
        self._mel = LogMel()
        self._distance = SpectralDistance(settings.windows)
        models = {"hift": self.hift, "discriminators": self.discriminators}
        self.hift.f0_predictor.requires_grad_(False)
        self._optimisers = {
            "generator": _adam(self.hift, settings.rate),
            "discriminators": _adam(self.discriminators, settings.rate),
        }
        self.run = Run(models, self._optimisers, np.random.default_rng(seed))

    def take(self, data: Data, places: Sequence[int]) -> Losses:
        """One step on crops of these utterances; gives the losses."""
        settings, numbers = self._settings, self.run.numbers
        crops = data.crops(places, settings.batch, settings.frames, numbers, sound=True)
        real = crops.samples.to(self._device)
        made = self._speak(crops.mel.to(self._device))
        mel = (self._mel(made) - self._mel(real)).abs().mean()
        distance = self._distance(made, real)
        losses = {"mel": mel.item(), "spectra": distance.item()}
        loss = settings.spectral * (mel + distance)
        if self.run.step >= settings.adversarial:
            heard = self._part_heard()
            losses["told apart"] = self._learn_to_tell(real[:, heard], made[:, heard].detach())
            found = self._found_out(real[:, heard], made[:, heard])
            loss = loss + found["real"] + settings.matching * found["unlike"]
            losses |= {name: one.item() for name, one in found.items()}
        self._step("generator", loss)
        return losses

    def _speak(self, mel: Tensor) -> Tensor:
        """Mel [b, f, m] -> samples [b, 480 f], with a phase and noise of their own each time."""
        rows, frames = mel.shape[:2]
        with torch.no_grad():
            pitch = self.hift.f0(mel)
        phase = draw_phase(rows, self._harmonics).to(self._device)
        noise = torch.randn(rows, frames * SAMPLES_PER_FRAME, self._harmonics).to(self._device)
        source, _ = self.hift.source(pitch, phase, noise)
        samples: Tensor = self.hift.decode(mel, source)
        return samples

    def _part_heard(self) -> slice:
        """Which samples of all crops the discriminators hear: it costs by the sample."""
        first = int(self.run.numbers.integers(self._settings.frames - self._settings.heard + 1))
        begin = first * SAMPLES_PER_FRAME
        return slice(begin, begin + self._settings.heard * SAMPLES_PER_FRAME)

    def _learn_to_tell(self, real: Tensor, made: Tensor) -> float:
        with self._precision():
            verdicts = self.discriminators(real), self.discriminators(made)
        loss = told_apart(*verdicts)
        self._step("discriminators", loss)
        return loss.item()

    def _found_out(self, real: Tensor, made: Tensor) -> dict[str, Tensor]:
        """What the discriminators make of the generator's sound. They do not learn from it."""
        self.discriminators.requires_grad_(False)
        with self._precision():
            with torch.no_grad():
                theirs = self.discriminators(real)
            ours = self.discriminators(made)
        self.discriminators.requires_grad_(True)
        return {"real": taken_for_real(ours), "unlike": unlike(theirs, ours)}

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._settings.bfloat16)

    def _step(self, name: str, loss: Tensor) -> None:
        torch.autograd.backward(loss)
        take_step({name: self._optimisers[name]}, _LIMIT)


def what_is_trained(config: HiFTConfig, settings: Settings, seed: int) -> Mapping[str, Any]:
    """What a checkpoint must agree in."""
    return {"hift": asdict(config), "vocoder": lasting(settings), "seed": seed}


def _quicken(hift: HiFT, dtype: torch.dtype) -> None:
    """Pitch and samples are computed in float32: eight bits would be heard."""
    quicken(hift.f0_predictor)
    hift.output = QuickConv1d(hift.output, torch.float32)
    quicken(hift, dtype)


def _discriminators(settings: Settings, seed: int) -> Discriminators:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Discriminators(settings.spectra, settings.periods, settings.channels)


def _adam(module: nn.Module, rate: float) -> AdamW:
    trained = [one for one in module.parameters() if one.requires_grad]
    return AdamW(trained, lr=rate, betas=BETAS, weight_decay=0.0)
