"""Who says what: the whole corpus as a list, before a sample of it is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cbflash.errors import UsageError
from training.corpus.cast import Speaker
from training.corpus.texts import Kind, Pool, Split
from training.corpus.texts.prose import spoken

Part = Literal["train", "valid", "test", "closed"]
PARTS: tuple[Part, ...] = ("train", "valid", "test", "closed")

SHARD = 200  # utterances
CLOSED: Kind = "closed"

_ROUND = 50  # utterances, of which three are not for training
_PAUSE, _CHARACTERS = 0.42, 17.8  # seconds an utterance takes: a pause, and characters a second
_TRIES = 100


@dataclass(frozen=True)
class Item:
    """An utterance to be made.

    part: "train"; "valid", unseen texts by training speakers; "test", unseen texts by unseen
        speakers; "closed", the same with the closed vocabulary.
    edges: seconds of silence before and behind.
    """

    index: int
    part: Part
    kind: Kind
    speaker: Speaker
    text: str
    edges: tuple[float, float]


def make_plan(pool: Pool, cast: Sequence[Speaker], seconds: float, seed: int) -> list[Item]:
    """Utterances that take about so many seconds together.

    Item n depends on the seed, n, the pool and the cast alone. Raises UsageError where the pool
    lacks sentences for a part or the cast speakers.
    """
    train = [speaker for speaker in cast if not speaker.test]
    test = [speaker for speaker in cast if speaker.test]
    if not train or not test:
        raise UsageError("There is nobody to speak.", "Install a synthesiser.")
    shares = np.array([speaker.voice.share for speaker in train])
    shares /= shares.sum()
    items: list[Item] = []
    while seconds > 0:
        index = len(items)
        rng = np.random.Generator(np.random.PCG64([seed, index]))
        part = _part(index)
        if part in ("train", "valid"):
            speaker = train[rng.choice(len(train), p=shares)]
        else:  # in turn: a few utterances of each, however small the corpus is
            speaker = test[index // _ROUND % len(test)]
        kind, text = _draw(pool, part, rng)
        edges = (float(rng.uniform(0.1, 0.2)), float(rng.uniform(0.1, 0.2)))
        items.append(Item(index, part, kind, speaker, text, edges))
        seconds -= _PAUSE + len(text) / _CHARACTERS / speaker.shape.tempo
    return items


def shards_of(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items of each shard."""
    for begin in range(0, len(items), SHARD):
        yield items[begin : begin + SHARD]


def _part(index: int) -> Part:
    others: dict[int, Part] = {0: "valid", 1: "test", 2: "closed"}
    return others.get(index % _ROUND, "train")


def _draw(pool: Pool, part: Part, rng: np.random.Generator) -> tuple[Kind, str]:
    """A kind by its share, then one of its sentences that can be spoken."""
    split: Split = "test" if part == "closed" else part
    kinds = pool.kinds(split)
    if part in ("test", "closed"):
        kinds = [kind for kind in kinds if (kind == CLOSED) == (part == "closed")]
    if not kinds:
        raise UsageError(f"No text is there for {part}.", "Install the packages of the texts.")
    shares = np.array([pool.shares[kind] for kind in kinds])
    for _ in range(_TRIES):
        kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        sentences = pool.sentences[kind, split]
        text = spoken(sentences[rng.integers(len(sentences))])
        if text is not None:
            return kind, text
    raise UsageError(f"Hardly a text for {part} can be spoken.", "Look at the texts' packages.")
