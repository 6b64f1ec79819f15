"""The clips of the sample voices, from a corpus: python -m training.sample_voices CORPUS

Each is some sentences of the closed vocabulary, one behind the other, by one pseudo-speaker that
nothing was trained on: the words are ours, and harmless.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.evaluate import median_pitch
from cbflash.audio import Clip, Samples, write_audio
from cbflash.clip_check import check_clip
from cbflash.errors import UsageError
from cbflash.files import make_folder
from cbflash.installation import assets_folder
from cbflash.sample_voices import NAMES, clip_path
from cbflash.tokens import SAMPLE_RATE
from training.command import Command
from training.corpus import Corpus

SHORTEST, LONGEST = 6.0, 8.0  # seconds of a clip


@dataclass(frozen=True)
class Wish:
    """Whom a sample voice should be like. base: the synthesiser's voice behind it. pitch: Hz."""

    name: str
    base: str
    pitch: float


# The listener understands these two best of all (training/corpus/README.md), and an octave lies
# between them.
WISHES = (Wish(NAMES[0], "rms", 100.0), Wish(NAMES[1], "slt", 200.0))


@dataclass(frozen=True, eq=False)
class Reading:
    """Some sentences of a speaker. samples: float32 [n] at 24 kHz. pitch: its median in Hz."""

    speaker: str
    texts: tuple[str, ...]
    samples: Samples
    pitch: float

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


def choose(corpus: Corpus, wish: Wish) -> Reading:
    """The reading of the unseen speaker whose pitch is nearest to what is wished for.

    Raises UsageError where the corpus has no such speaker who says enough.
    """
    readings = list(_readings(corpus, wish.base))
    if not readings:
        raise UsageError(
            f"{corpus.folder} has no unseen speaker made of {wish.base!r} who speaks for "
            f"{SHORTEST:.0f} to {LONGEST:.0f} s.",
            "Make a corpus of some hours: python -m training.corpus FOLDER --hours 5",
        )
    return min(readings, key=lambda reading: abs(math.log(reading.pitch / wish.pitch)))


def _readings(corpus: Corpus, base: str) -> Iterator[Reading]:
    for speaker, numbers in corpus.speakers("closed").items():
        chosen = _fill(corpus, numbers)
        if corpus.description.speakers[speaker]["voice"] != base or not chosen:
            continue
        spoken = [corpus[number] for number in chosen]
        samples = np.concatenate([utterance.samples for utterance in spoken])
        pitch = median_pitch(samples, SAMPLE_RATE)
        good = not check_clip(Clip(samples, SAMPLE_RATE, speaker, "")).findings
        if good and pitch > 0:  # NaN is not
            yield Reading(speaker, tuple(one.text for one in spoken), samples, pitch)


def _fill(corpus: Corpus, numbers: Sequence[int]) -> list[int]:
    """The first utterances that fit into a clip together; none where they do not fill it."""
    chosen: list[int] = []
    seconds = 0.0
    for number in numbers:
        more = corpus.row(number).seconds
        if seconds + more <= LONGEST:
            chosen.append(number)
            seconds += more
    return chosen if seconds >= SHORTEST else []


def make_clips(corpus: Corpus, assets: Path) -> Iterator[str]:
    """Write the clips into a folder of assets; gives a row of a table in Markdown for each.

    Raises UsageError as `choose` does, before anything is written, and OutputError.
    """
    chosen = [(wish, choose(corpus, wish)) for wish in WISHES]
    for wish, reading in chosen:
        path = clip_path(assets, wish.name)
        make_folder(path.parent)
        write_audio(path, reading.samples, SAMPLE_RATE)
        said = " ".join(reading.texts)
        facts = f"{reading.pitch:.0f} Hz | {reading.seconds:.1f} s"
        yield f"| `{path.name}` | {reading.speaker} | {facts} | {said} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command(
        "sample_voices",
        "Make the clips of the sample voices from a corpus; prints a table of them.",
    )
    command.parser.add_argument("corpus", type=Path, metavar="CORPUS")
    command.parser.add_argument(
        "--assets", type=Path, metavar="FOLDER", help="(default: that of this installation)"
    )

    def act(given: argparse.Namespace) -> None:
        for row in make_clips(Corpus(given.corpus), given.assets or assets_folder()):
            print(row, flush=True)

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
