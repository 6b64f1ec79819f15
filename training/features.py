"""What the networks hear of a corpus, computed once: the command
python -m training.features CORPUS FOLDER --workers 2

One folder of arrays beside the corpus, shard by shard, read through the page cache by as many
processes as train. All front ends are those of the product (`cbflash.features`).

Shapes: T speech tokens of an utterance, 25 a second; sound beyond its last whole token is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbflash.errors import UsageError
from cbflash.features import (
    kaldi_fbank,
    reference_mel,
    s3_log_mel,
    sinc_resample_24k_to_16k,
    subtract_mean,
    trim_silence,
    voice_encoder_mel,
)
from cbflash.files import make_folder, write_whole
from cbflash.tokens import SAMPLES_PER_TOKEN
from training.command import Command, at_least, tell
from training.corpus import Corpus
from training.corpus.plan import Part
from training.corpus.shards import index_path
from training.workers import worker_pool

Array = npt.NDArray[Any]

FBANK_FRAMES = 200  # of an utterance that the x-vector hears: two seconds

# name -> dtype. Powers need the range of float32; logarithms do not.
KINDS: dict[str, str] = {
    "log_mel": "float16",  # of the speech tokenizer, [4 T, 128]
    "mel": "float16",  # of flow and vocoder, [2 T, 80]
    "fbank": "float16",  # of the x-vector, [about 4 T, 80], its mean still in it
    "voice_mel": "float32",  # of the voice encoder, without quiet ends, [up to 4 T + 1, 40]
}


@dataclass(frozen=True)
class Item:
    """An utterance. number: its place in the corpus; rows: of each kind of array."""

    number: int
    text: str
    speaker: str
    part: str
    kind: str
    tokens: int
    rows: dict[str, int]


class Features:
    """The finished shards of a folder.

        features = Features("features")
        for place in features.part("train"):
            mel = features.read("mel", place)

    Raises UsageError where there are none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[Item] = []
        self._arrays: dict[str, list[Array]] = {name: [] for name in KINDS}
        self._places: list[tuple[int, dict[str, int]]] = []
        indices = sorted(folder.glob("*.json"))
        if not indices:
            raise UsageError(
                f"{folder} holds no features.", "Make them: python -m training.features."
            )
        self._names = [index.stem for index in indices]
        for shard, index in enumerate(indices):
            begins = dict.fromkeys(KINDS, 0)
            for item in _read_items(index):
                self.items.append(item)
                self._places.append((shard, dict(begins)))
                begins = {name: begins[name] + item.rows[name] for name in KINDS}
            for name in KINDS:
                path = index.with_suffix(f".{name}.npy")
                self._arrays[name].append(np.load(path, mmap_mode="r"))

    def __len__(self) -> int:
        return len(self.items)

    def read(self, kind: str, place: int) -> Array:
        """An array of `KINDS`, [rows, features], as it lies on the disk."""
        shard, begins = self._places[place]
        begin = begins[kind]
        return self._arrays[kind][shard][begin : begin + self.items[place].rows[kind]]

    def references(self, places: Sequence[int]) -> Array:
        """What the x-vector hears of utterances: float32 [B, 200, 80], cut or repeated to that
        many frames, then without their mean."""
        fbanks = [self.read("fbank", place).astype(np.float32) for place in places]
        return np.stack([subtract_mean(np.resize(one, (FBANK_FRAMES, 80))) for one in fbanks])

    def shards(self) -> list[tuple[str, list[int]]]:
        """The shards' names, "00012", and the places of their utterances."""
        found: dict[int, list[int]] = {}
        for place, (shard, _) in enumerate(self._places):
            found.setdefault(shard, []).append(place)
        return [(self._names[shard], places) for shard, places in found.items()]

    def part(self, name: Part) -> list[int]:
        """The places of a part's utterances."""
        return [place for place, item in enumerate(self.items) if item.part == name]

    def speakers(self, part: Part) -> dict[str, list[int]]:
        """The places of each speaker's utterances in a part."""
        found: dict[str, list[int]] = {}
        for place in self.part(part):
            found.setdefault(self.items[place].speaker, []).append(place)
        return found

    def heard(self) -> dict[str, list[int]]:
        """The places of what a speaker's voice may be taken from: utterances for training or, of
        those who have none, for tests; of small corpora, where there are neither, all others."""
        found: dict[str, list[int]] = {}
        parts: tuple[Part, ...] = ("train", "test", "valid", "closed")
        for part in parts:
            for name, places in self.speakers(part).items():
                found.setdefault(name, places)
        return found


def extract(samples24k: Array) -> tuple[int, dict[str, Array]]:
    """Tokens T and the arrays of an utterance, float32 samples [n]."""
    tokens = len(samples24k) // SAMPLES_PER_TOKEN
    samples24k = samples24k[: tokens * SAMPLES_PER_TOKEN]
    samples16k = sinc_resample_24k_to_16k(samples24k)
    arrays: dict[str, Array] = {
        "log_mel": s3_log_mel(samples16k, tokens).T,
        "mel": reference_mel(samples24k),
        "fbank": kaldi_fbank(samples16k),
        "voice_mel": voice_encoder_mel(trim_silence(samples16k)),
    }
    return tokens, {name: array.astype(KINDS[name]) for name, array in arrays.items()}


def make_shard(corpus_folder: Path, folder: Path, shard: int) -> int:
    """Write the arrays of a shard of the corpus, then its index; gives its utterances."""
    corpus = Corpus(corpus_folder)
    items = []
    parts: dict[str, list[Array]] = {name: [] for name in KINDS}
    for number in corpus.of_shard(shard):
        utterance = corpus[number]
        tokens, arrays = extract(utterance.samples)
        row = corpus.row(number)
        rows = {name: len(array) for name, array in arrays.items()}
        items.append(Item(number, row.text, row.speaker, row.part, row.kind, tokens, rows))
        for name, array in arrays.items():
            parts[name].append(array)
    for name, found in parts.items():
        with write_whole(_path(folder, shard).with_suffix(f".{name}.npy")) as file:
            np.save(file, np.concatenate(found))
    with write_whole(_path(folder, shard)) as file:  # a shard is whole where its index is there
        file.write(json.dumps([asdict(item) for item in items]).encode())
    return len(items)


def require_same(corpus: Corpus, folder: Path, items: Iterable[Item]) -> None:
    """Raises UsageError where an item of the features in a folder is not the utterance of the
    corpus that has its number."""
    for item in items:
        same = item.number < len(corpus)
        if same:
            row = corpus.row(item.number)
            same = (item.text, item.speaker, item.part, item.kind, item.tokens) == (
                *(row.text, row.speaker, row.part, row.kind),
                row.samples // SAMPLES_PER_TOKEN,
            )
        if not same:
            raise UsageError(
                f"{folder} holds features of another corpus than {corpus.folder}, or of this one "
                "before it was whole.",
                "Choose another folder, or delete this one and make the features again.",
            )


def make_features(corpus_folder: Path, folder: Path, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Make what is not there yet; yields how many shards are done, of how many.

    Raises UsageError for a corpus that is not whole, whose utterances may get other numbers yet,
    and for a folder with features of another one.
    """
    corpus = Corpus(corpus_folder)
    shards = range(corpus.description.shards)
    missing = sum(not index_path(corpus_folder, shard).exists() for shard in shards)
    if missing:
        raise UsageError(
            f"{corpus_folder} is not whole: of its {len(shards)} shards {missing} are missing.",
            "Finish it: python -m training.corpus, with the options that it was begun with.",
        )
    for index in sorted(folder.glob("*.json")):
        require_same(corpus, folder, _read_items(index))
    make_folder(folder)
    left = [shard for shard in shards if not _path(folder, shard).exists()]
    done = len(shards) - len(left)
    yield done, len(shards)
    with worker_pool(workers) as pool:
        futures = [pool.submit(make_shard, corpus_folder, folder, shard) for shard in left]
        for future in as_completed(futures):
            future.result()
            done += 1
            yield done, len(shards)


def _read_items(index: Path) -> list[Item]:
    return [Item(**line) for line in json.loads(index.read_text("utf-8"))]


def _path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05d}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command("features", __doc__)
    command.parser.add_argument("corpus", type=Path, metavar="CORPUS")
    command.parser.add_argument("folder", type=Path, metavar="FOLDER")
    command.parser.add_argument("--workers", type=at_least(1), default=1, help="processes")

    def act(given: argparse.Namespace) -> None:
        for done, shards in make_features(given.corpus, given.folder, given.workers):
            tell(done, shards, "shards")

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
