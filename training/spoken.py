"""What decoders are trained on: texts and their speech tokens, each with a voice made of other
utterances of its speaker.

Shapes: R rows, n text ids, m speech ids with start and stop, p tokens of the prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbflash.config import T3Config
from cbflash.errors import UsageError
from training.corpus.plan import Part
from training.features import Features
from training.letters import LetterIds
from training.origin import digest
from training.t3 import Prefix, Untold

Array = npt.NDArray[Any]

PROMPT = (25, 75)  # tokens of a prompt: one to three seconds
EXAGGERATION = (0.25, 1.0)  # this speech has none; whatever is asked for shall do no harm


@dataclass(frozen=True)
class Spoken:
    """A batch. speech: ids [R, m], start, tokens, stop and stops behind; lengths: of the tokens,
    [R]; unconditional: rows [R] that are not told what to say. letters: in which place of its text
    each token is spoken, [R, m - 1], -1 where nothing is; None where nobody knows."""

    prefix: Prefix
    speech: Tensor
    lengths: Tensor
    unconditional: Tensor
    letters: Tensor | None = None

    def rows(self, chosen: slice) -> Spoken:
        """Some rows of it."""
        given = self.prefix
        prefix = Prefix(
            given.text[chosen],
            given.lengths[chosen],
            given.speaker[chosen],
            given.prompt[chosen],
            given.exaggeration[chosen],
            None if given.wordless is None else given.wordless[chosen],
        )
        return Spoken(
            prefix,
            self.speech[chosen],
            self.lengths[chosen],
            self.unconditional[chosen],
            None if self.letters is None else self.letters[chosen],
        )

    @property
    def counted(self) -> Tensor:
        """Which of the ids behind the start are to be learnt, the first stop among them:
        [R, m - 1] bool."""
        places = torch.arange(self.speech.shape[1] - 1, device=self.speech.device)
        return places <= self.lengths[:, None]

    def untold(self, what: Untold) -> tuple[Prefix, Tensor | None]:
        """The prefix as it is embedded, and which of its rows are zeros, for `hidden_states`."""
        if what == "all":
            return self.prefix, self.unconditional
        return replace(self.prefix, wordless=self.unconditional), None

    def to(self, device: torch.device) -> Spoken:
        return Spoken(
            self.prefix.to(device),
            self.speech.to(device),
            self.lengths.to(device),
            self.unconditional.to(device),
            None if self.letters is None else self.letters.to(device),
        )


class Speech:
    """Utterances as a decoder sees them. Raises UsageError where tokens or embeddings lack.

    Some are two of one speaker, one behind the other: longer texts than a corpus of sentences has.
    pairs: how many, as a part of the utterances there are. alignment: of all tokens with the
    letters of their texts (`training.alignment`), if it is wanted.
    """

    def __init__(
        self,
        features: Features,
        tokens: Array,
        embeddings: Array,
        config: T3Config,
        *,
        alignment: Array | None = None,
        pairs: float = 0.0,
        unconditional: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._features = features
        self._config = config
        self._unconditional = unconditional
        self._embeddings = embeddings
        ends = np.cumsum([item.tokens for item in features.items])
        if len(tokens) != ends[-1] or len(embeddings) != len(features):
            raise UsageError(
                f"There are {len(tokens)} tokens and {len(embeddings)} embeddings for "
                f"{ends[-1]} and {len(features)} in {features.folder}.",
                "Run the stages of the codec and of the voice encoder again.",
            )
        self._voices: frozenset[str] | None = None
        self._strangers: tuple[float, list[str]] = (0.0, [])
        self._prompts = np.split(tokens.astype(np.int64), ends[:-1])
        self._tokens = self._prompts
        self._alignment = None
        if alignment is not None:
            self._alignment = np.split(alignment.astype(np.int64), ends[:-1])
        self._chosen: list[int] | None = None
        ids = LetterIds(config)
        self._texts = [ids(item.text).numpy() for item in features.items]
        self._space = ids(" ").numpy()
        self._said = {name: np.array(places) for name, places in features.heard().items()}
        self._pairing = (pairs, seed)
        self.pairs = self._draw_pairs()

    def only(self, voices: Sequence[str], strangers: float = 0.0) -> Speech:
        """What is said by speakers who are made of some of the corpus' voices.

        strangers: part of the rows that are told the voice of a speaker who is not: whose voice
        it is that one speaks with, a decoder has not to say (the flow does), and clear speech is
        wanted for those, too, who are like nobody it has learnt from. Raises UsageError where
        nobody is made of a voice.
        """
        other = copy.copy(self)
        other._voices = frozenset(voices)
        names = sorted(self._features.speakers("train"))
        for voice in sorted(voices):
            if voice not in map(voice_of, names):
                known = ", ".join(sorted({*map(voice_of, names)}))
                raise UsageError(f"Nobody has the voice {voice!r}.", f"There are: {known}.")
        apart = [name for name in names if voice_of(name) not in voices]
        other._strangers = (strangers if apart else 0.0, apart)
        other.pairs = other._draw_pairs()
        return other

    def told(self, tokens: Mapping[int, Array]) -> Speech:
        """The same texts and voices with other tokens [T] for some utterances, which alone are
        for training then: what a teacher said."""
        other = copy.copy(self)
        other._tokens = [*self._tokens]
        for place, spoken in tokens.items():
            other._tokens[place] = spoken.astype(np.int64)
        other._alignment = None
        other._chosen = sorted(tokens)
        return other

    def digest(self) -> str:
        """What tells its tokens, voices and letters from those of other stages."""
        given = [*self._tokens, *self._prompts, self._embeddings, *(self._alignment or [])]
        return digest(*given)

    def places(self, part: Part, pairs: bool = True) -> list[int]:
        """Of a part; those of the pairs are among the ones for training."""
        if part == "train" and self._chosen is not None:
            return self._chosen
        found = [one for one in self._features.part(part) if self._heard(self._speaker(one))]
        if part == "train" and pairs:
            found = found + list(range(len(self._features), len(self._features) + len(self.pairs)))
        return found

    def length(self, place: int) -> int:
        """Tokens of an utterance or a pair."""
        return sum(len(self._tokens[one]) for one in self._parts(place))

    def text(self, place: int) -> str:
        return " ".join(self._features.items[one].text for one in self._parts(place))

    def batch(self, places: Sequence[int], numbers: np.random.Generator) -> Spoken:
        """Voices and unconditional rows are drawn from `numbers`."""
        config = self._config
        texts = [self._text_ids(place) for place in places]
        spoken = [
            np.concatenate([self._tokens[one] for one in self._parts(place)]) for place in places
        ]
        speakers = [self._speaker(self._parts(place)[0]) for place in places]
        share, others = self._strangers
        if share:
            apart = numbers.random(len(places)) < share
            drawn = numbers.choice(others, len(places)).tolist()
            speakers = [
                other if strange else own
                for own, other, strange in zip(speakers, drawn, apart, strict=True)
            ]
        prompt = int(numbers.integers(PROMPT[0], min(PROMPT[1], config.prompt_tokens) + 1))
        prefix = Prefix(
            text=torch.from_numpy(padded(texts, config.stop_text)),
            lengths=torch.tensor([len(text) for text in texts]),
            speaker=torch.from_numpy(np.stack([self._voice(one, numbers) for one in speakers])),
            prompt=torch.from_numpy(
                np.stack([self._prompt(one, prompt, numbers) for one in speakers])
            ),
            exaggeration=torch.from_numpy(
                numbers.uniform(*EXAGGERATION, len(places)).astype(np.float32)
            ),
        )
        rows = [
            np.concatenate([[config.start_speech], tokens, [config.stop_speech]])
            for tokens in spoken
        ]
        return Spoken(
            prefix,
            torch.from_numpy(padded(rows, config.stop_speech)),
            torch.tensor([len(tokens) for tokens in spoken]),
            torch.from_numpy(numbers.random(len(places)) < self._unconditional),
            None if self._alignment is None else self._letters(places, self._alignment),
        )

    def _parts(self, place: int) -> tuple[int, ...]:
        beyond = place - len(self._features)
        return (place,) if beyond < 0 else self.pairs[beyond]

    def _speaker(self, place: int) -> str:
        return self._features.items[place].speaker

    def _heard(self, speaker: str) -> bool:
        return self._voices is None or voice_of(speaker) in self._voices

    def _text_ids(self, place: int) -> Array:
        first, *others = (self._texts[one] for one in self._parts(place))
        joined = [part for other in others for part in (self._space, other)]
        config = self._config
        return np.concatenate([[config.start_text], first, *joined, [config.stop_text]])

    def _letters(self, places: Sequence[int], known: Sequence[Array]) -> Tensor:
        """See `Spoken.letters`; the text's start stands before the first letter."""
        rows = []
        for place in places:
            begin, found = 1, []
            for one in self._parts(place):
                found.append(known[one] + begin)
                begin += len(self._texts[one]) + len(self._space)
            rows.append(np.concatenate([*found, [-1]]))
        return torch.from_numpy(padded(rows, -1))

    def _voice(self, speaker: str, numbers: np.random.Generator) -> Array:
        """The embedding of one to three utterances together."""
        chosen = numbers.choice(self._said[speaker], int(numbers.integers(1, 4)))
        mean = self._embeddings[chosen].mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def _prompt(self, speaker: str, length: int, numbers: np.random.Generator) -> Array:
        """Tokens [length] of a speaker, of as many utterances as it takes."""
        found: list[Array] = []
        while sum(map(len, found)) < length:
            found.append(self._prompts[int(numbers.choice(self._said[speaker]))])
        return np.concatenate(found)[:length]

    def _draw_pairs(self) -> list[tuple[int, int]]:
        share, seed = self._pairing
        numbers = np.random.default_rng(seed)
        said = self._features.speakers("train")
        names = [name for name in sorted(said) if self._heard(name)]
        wanted = int(share * sum(len(said[name]) for name in names))
        pairs = []
        for name in numbers.choice(names, wanted) if wanted else ():
            first, second = numbers.choice(said[str(name)], 2)
            pairs.append((int(first), int(second)))
        return pairs


def voice_of(speaker: str) -> str:
    """The corpus' voice that a pseudo-speaker is made of: "rms" of "rms-t10"."""
    return speaker.split("-")[0]


def padded(rows: Sequence[Array], filling: int) -> Array:
    """[R, longest] int64."""
    found = np.full((len(rows), max(map(len, rows))), filling, np.int64)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found


def read_tokens(work: Path) -> Array:
    """The tokens of all utterances, as `training.codec` wrote them. Raises UsageError."""
    path = work / "codec" / "tokens.npy"
    if not path.exists():
        raise UsageError(f"{path} is missing.", "Train the codec first: training.codec.")
    found: Array = np.load(path)
    return found
