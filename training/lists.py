"""Lists for `cbflash eval` from a corpus: the command
python -m training.lists CORPUS FOLDER --count 40

FOLDER/closed.jsonl and FOLDER/free.jsonl: sentences that were not trained on, by speakers that were
not either; each with a reference clip of other sentences by its speaker (`ref_audio`) and the
synthesiser's own recording (`speech`), which is the best that can be expected.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cbflash.audio import Samples, write_audio
from cbflash.errors import UsageError
from cbflash.files import make_folder, write_whole
from cbflash.tokens import SAMPLE_RATE
from training.command import Command
from training.corpus import Corpus
from training.corpus.plan import Part

PARTS: dict[str, Part] = {"closed": "closed", "free": "test"}
REFERENCE = (5.0, 10.0)  # seconds of a reference clip


@dataclass(frozen=True)
class Reading:
    """An utterance and what the voice of its speaker is made of; numbers of the corpus."""

    number: int
    reference: tuple[int, ...]


def readings(
    corpus: Corpus, part: Part, count: int, seconds: tuple[float, float] = REFERENCE
) -> Iterator[Reading]:
    """Utterances of a part, one a speaker as long as there are speakers, then second ones.

    Speakers are shuffled, always alike: their names begin with the voices they are made of, and few
    of them shall stand for all. seconds: of a reference clip, at least and at most. Raises
    UsageError where there are fewer.
    """
    said = corpus.speakers(part)
    names = np.random.default_rng(0).permutation(sorted(said)).tolist()
    others = {name: corpus.speakers("test").get(name, []) + said[name] for name in said}
    rounds = max(map(len, said.values()), default=0)
    found = 0
    for turn in range(rounds):
        for name in names:
            if found == count:
                return
            if turn < len(said[name]):
                number = said[name][turn]
                reference = _fill(corpus, [one for one in others[name] if one != number], seconds)
                if reference:
                    found += 1
                    yield Reading(number, reference)
    if found < count:
        raise UsageError(f"There are only {found} such utterances, not {count}.")


def _fill(corpus: Corpus, numbers: Sequence[int], seconds: tuple[float, float]) -> tuple[int, ...]:
    """Utterances that last long enough together, as few as that takes; none if all do not."""
    shortest, longest = seconds
    chosen: list[int] = []
    lasting = 0.0
    for number in numbers:
        more = corpus.row(number).seconds
        if lasting + more <= longest:
            chosen.append(number)
            lasting += more
        if lasting >= shortest:
            return tuple(chosen)
    return ()


def write_list(
    corpus: Corpus,
    folder: Path,
    name: str,
    count: int,
    seconds: tuple[float, float] = REFERENCE,
) -> Path:
    """A list and its sounds. Raises UsageError, OutputError."""
    sounds = make_folder(folder / name)
    rows = []
    for reading in readings(corpus, PARTS[name], count, seconds):
        row = corpus.row(reading.number)
        stem = f"{name}-{reading.number:05d}"
        reference = np.concatenate([corpus[one].samples for one in reading.reference])
        _write(sounds / f"{stem}.reference.flac", reference)
        _write(sounds / f"{stem}.flac", corpus[reading.number].samples)
        rows.append(
            {
                "id": stem,
                "text": row.text,
                "ref_audio": f"{name}/{stem}.reference.flac",
                "speech": f"{name}/{stem}.flac",
                "language_id": "en",
            }
        )
    path = folder / f"{name}.jsonl"
    with write_whole(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


def _write(path: Path, samples: Samples) -> None:
    write_audio(path, samples, SAMPLE_RATE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command("lists", __doc__)
    command.parser.add_argument("corpus", type=Path, metavar="CORPUS")
    command.parser.add_argument("folder", type=Path, metavar="FOLDER")
    command.parser.add_argument("--count", type=int, default=40, help="rows of each list")

    def act(given: argparse.Namespace) -> None:
        corpus = Corpus(given.corpus)
        for name in PARTS:
            print(write_list(corpus, given.folder, name, given.count))

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
