"""How good a vocoder is: utterances that were not trained on, made again from their mels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cbflash.audio import Samples
from cbflash.config import HiFTConfig
from cbflash.features import reference_mel
from cbflash.tokens import SAMPLES_PER_FRAME
from cbflash.vocoding import source_noise, source_phase
from cuda_backend.hift import HiFT
from training.parameters import frozen
from training.vocoder.crops import Data
from training.vocoder.tracks import Floats

_SEED = 0  # of the excitation: all vocoders are judged with the same


@dataclass(frozen=True, eq=False)
class Resynthesis:
    """A vocoder as it is used: packed, and its excitation has the pitch that it predicts."""

    hift: HiFT
    config: HiFTConfig

    @classmethod
    def of(cls, trained: HiFT, config: HiFTConfig) -> Resynthesis:
        """Of a copy of the parameters, on the CPU."""
        hift = HiFT(config)
        hift.load_state_dict({name: one.cpu() for name, one in trained.state_dict().items()})
        return cls(frozen(hift), config)

    def __call__(self, mel: Floats) -> tuple[Floats, Samples]:
        """Mel [f, m] -> the pitch it has, in Hz [f], and sound of it [480 f]."""
        harmonics = self.config.harmonics
        with torch.inference_mode():
            given = torch.from_numpy(np.asarray(mel, np.float32))[None]
            phase = torch.from_numpy(source_phase(_SEED, harmonics))[None]
            noise = source_noise(_SEED, 0, len(mel) * SAMPLES_PER_FRAME, harmonics)
            pitch = self.hift.f0(given)
            source, _ = self.hift.source(pitch, phase, torch.from_numpy(noise)[None])
            samples = self.hift.decode(given, source)
        return pitch[0].numpy(), samples[0].numpy()


class PitchErrors:
    """How far predicted pitch is from what it should be.

    threshold: Hz below which a frame has no voice.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._cents: list[Floats] = []
        self._differ: list[npt.NDArray[np.bool_]] = []

    def add(self, made: Floats, true: Floats) -> None:
        """The tracks of an utterance, [f] in Hz."""
        voiced = made > self._threshold
        both = voiced & (true > 0)
        self._cents.append(np.abs(1200 * np.log2(made[both] / true[both])))
        self._differ.append(voiced != (true > 0))

    def means(self) -> dict[str, float]:
        """cents: the middle of the errors of all frames where both have a voice; voicing: part of
        frames where only one has. Neither where no utterance was added."""
        if not self._differ:
            return {}
        cents = np.concatenate(self._cents)
        middle = float(np.median(cents)) if cents.size else float("nan")
        return {"cents": middle, "voicing": float(np.concatenate(self._differ).mean())}


def judge(vocoder: Resynthesis, data: Data, places: Sequence[int]) -> dict[str, float]:
    """mel: mean difference of logarithms between the mels given and those of the sound made of
    them; the others are those of `PitchErrors`. Nothing where there are no utterances."""
    if not places:
        return {}
    errors = PitchErrors(vocoder.config.voiced_threshold)
    mels = []
    for place in places:
        mel = np.asarray(data.mel(place), np.float32)
        pitch, samples = vocoder(mel)
        mels.append(float(np.abs(reference_mel(samples) - mel).mean()))
        errors.add(pitch, data.pitch(place))
    return {"mel": float(np.mean(mels)), **errors.means()}
