"""What the flow is trained on: utterances behind a prompt of the same speaker, as in use, and the
x-vector of yet another utterance.

Shapes: B batch, Q tokens of the prompt, T of the utterance, F = 2 (Q + T) frames, m mels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbflash.errors import UsageError
from cbflash.tokens import FRAMES_PER_TOKEN
from training.corpus.plan import Part
from training.features import Features

Array = npt.NDArray[Any]
XVectors = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Prompted:
    """A batch. tokens: ids [B, Q + T]; mel: of both, [B, F, m]; x_vector: [B, xvector];
    prompt: Q."""

    tokens: Tensor
    mel: Tensor
    x_vector: Tensor
    prompt: int

    def to(self, device: torch.device) -> Prompted:
        return Prompted(
            self.tokens.to(device), self.mel.to(device), self.x_vector.to(device), self.prompt
        )

    @property
    def spoken(self) -> slice:
        """The frames of the utterances."""
        return slice(FRAMES_PER_TOKEN * self.prompt, None)

    @property
    def known(self) -> Tensor:
        """The mel of the prompt and nothing, [B, F, m]."""
        known = self.mel.clone()
        known[:, self.spoken] = 0.0
        return known


class PromptedSpeech:
    """Makes batches of a corpus. Raises UsageError for tokens of another one.

    tokens: ids of all utterances, one behind the other; x_vectors: filter banks [B, 200, 80] to
    what the flow hears of a voice, [B, xvector], without gradients; prompt: fewest and most
    tokens of a prompt.
    """

    def __init__(
        self, features: Features, tokens: Array, x_vectors: XVectors, prompt: tuple[int, int]
    ) -> None:
        self._features = features
        self._x_vectors = x_vectors
        self._prompt = prompt
        ends = np.cumsum([item.tokens for item in features.items])
        if len(tokens) != ends[-1]:
            raise UsageError(
                f"There are {len(tokens)} tokens for {ends[-1]} in {features.folder}.",
                "Run the stage of the codec again.",
            )
        self._tokens = np.split(tokens.astype(np.int64), ends[:-1])
        self._said = features.heard()

    def places(self, part: Part) -> list[int]:
        return self._features.part(part)

    def length(self, place: int) -> int:
        """Tokens of an utterance."""
        return len(self._tokens[place])

    def batch(self, places: Sequence[int], numbers: np.random.Generator) -> Prompted:
        """The utterances of `places`, cut to the shortest of them. Prompts and x-vectors are drawn
        from `numbers`: prompts of one length, from other utterances where there are any."""
        length = min(self.length(place) for place in places)
        prompt = int(numbers.integers(self._prompt[0], self._prompt[1] + 1))
        rows = [self._row(place, length, prompt, numbers) for place in places]
        tokens, mels = zip(*rows, strict=True)
        return Prompted(
            torch.from_numpy(np.stack(tokens)),
            torch.from_numpy(np.stack(mels)),
            self._voices(places, numbers),
            prompt,
        )

    def _row(
        self, place: int, length: int, prompt: int, numbers: np.random.Generator
    ) -> tuple[Array, Array]:
        """Tokens [prompt + length] and their mel."""
        spoken = [(place, length)]
        left = prompt
        others = self._others(place)
        while left:
            other = int(numbers.choice(others))
            count = min(left, self.length(other))
            spoken.insert(0, (other, count))
            left -= count
        tokens = [self._tokens[one][:count] for one, count in spoken]
        mels = [
            self._features.read("mel", one)[: FRAMES_PER_TOKEN * count] for one, count in spoken
        ]
        return np.concatenate(tokens), np.concatenate(mels).astype(np.float32)

    def _voices(self, places: Sequence[int], numbers: np.random.Generator) -> Tensor:
        chosen = [int(numbers.choice(self._others(place))) for place in places]
        with torch.no_grad():
            return self._x_vectors(torch.from_numpy(self._features.references(chosen)))

    def _others(self, place: int) -> list[int]:
        """What else its speaker said."""
        said = self._said[self._features.items[place].speaker]
        return [one for one in said if one != place] or said


def judged(speech: PromptedSpeech, places: Sequence[int], rows: int = 8) -> Iterator[Prompted]:
    """Batches of utterances of about one length, always the same."""
    ordered = sorted(places, key=speech.length)
    numbers = np.random.default_rng(1)
    for begin in range(0, len(ordered), rows):
        yield speech.batch(ordered[begin : begin + rows], numbers)


def draw_noise(batch: Prompted, numbers: np.random.Generator) -> Tensor:
    """Standard normal noise of all frames, [B, F, m]."""
    noise = numbers.standard_normal(batch.mel.shape, np.float32)
    return torch.from_numpy(noise).to(batch.mel.device)
