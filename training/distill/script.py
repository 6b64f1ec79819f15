"""What the teacher is given to speak, and what its student learns from that: texts in voices.

Utterance n is text n modulo T; its voice and its exaggeration depend on the seed and on n alone, so
the student hears what the teacher was told. Whether it is kept for judging depends on its text, and
on which texts the teacher ended at all.

Shapes: R rows, n text ids, m speech ids with start and stop, p tokens of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cbflash.config import T3Config
from cbflash.errors import UsageError
from cbflash.voice import Voice
from training.corpus.plan import Part
from training.spoken import EXAGGERATION, Array, Spoken, padded
from training.t3 import Prefix

JUDGED = 20  # one text of so many is not trained on


@dataclass(frozen=True)
class Script:
    """texts: ids [n] with start and stop; samples: how often each is spoken."""

    texts: tuple[tuple[int, ...], ...]
    voices: tuple[Voice, ...]
    samples: int
    config: T3Config
    seed: int

    def __len__(self) -> int:
        return len(self.texts) * self.samples

    @property
    def prompt_tokens(self) -> int:
        """Of every voice: those of the shortest clip."""
        return min(len(voice.prompt_tokens) for voice in self.voices)

    def number(self, place: int) -> int:
        """Of the text at a place."""
        return place % len(self.texts)

    def text(self, place: int) -> tuple[int, ...]:
        return self.texts[self.number(place)]

    def order(self) -> list[int]:
        """Places, short texts first: little is computed for padding."""
        return sorted(range(len(self)), key=lambda place: len(self.text(place)))

    def prefix(self, places: Sequence[int]) -> Prefix:
        """On the processor."""
        texts = [self.text(place) for place in places]
        drawn = [np.random.default_rng([self.seed, place]) for place in places]
        voices = [self.voices[int(one.integers(len(self.voices)))] for one in drawn]
        prompts = [voice.prompt_tokens[: self.prompt_tokens] for voice in voices]
        return Prefix(
            text=torch.from_numpy(
                padded([np.array(text) for text in texts], self.config.stop_text)
            ),
            lengths=torch.tensor([len(text) for text in texts]),
            speaker=torch.from_numpy(np.stack([voice.speaker_embedding for voice in voices])),
            prompt=torch.from_numpy(np.stack(prompts).astype(np.int64)),
            exaggeration=torch.tensor([one.uniform(*EXAGGERATION) for one in drawn]),
        )


class SpokenScript:
    """A script and what the teacher said of it: `training.stage.Material`.

    spoken: tokens [T] by place, of those that ended. unconditional: part of the rows that are not
    told what to say. Raises UsageError where the teacher ended nothing.
    """

    def __init__(
        self,
        script: Script,
        spoken: Mapping[int, Array],
        unconditional: float,
        device: torch.device,
    ) -> None:
        config = script.config
        self._script = script
        self._unconditional = unconditional
        self._device = device
        # What is no sound, a teacher says too now and then; its vocoder leaves it out.
        sound = {place: row[row < config.start_speech] for place, row in spoken.items()}
        self._tokens = {place: row.astype(np.int64) for place, row in sound.items() if len(row)}
        if not self._tokens:
            raise UsageError(
                "The teacher ended none of the texts.",
                "Is it trained? Else allow longer ones: --longest.",
            )

    def places(self, part: Part) -> list[int]:
        """Those for training, and those "valid" for judging, of other texts; of a single text
        both."""
        places = sorted(self._tokens)
        numbers = sorted({self._script.number(place) for place in places})
        if len(numbers) == 1:
            return places
        kept = set(numbers[::JUDGED])
        return [p for p in places if (self._script.number(p) in kept) == (part == "valid")]

    def length(self, place: int) -> int:
        """Of an utterance, in tokens."""
        return len(self._tokens[place])

    def batch(self, places: Sequence[int], numbers: np.random.Generator) -> Spoken:
        """Unconditional rows are drawn from `numbers`."""
        config = self._script.config
        tokens = [self._tokens[place] for place in places]
        rows = [np.array([config.start_speech, *row, config.stop_speech]) for row in tokens]
        return Spoken(
            self._script.prefix(places),
            torch.from_numpy(padded(rows, config.stop_speech)),
            torch.tensor([len(row) for row in tokens]),
            torch.from_numpy(numbers.random(len(places)) < self._unconditional),
        ).to(self._device)
