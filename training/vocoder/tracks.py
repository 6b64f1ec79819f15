"""Arrays beside the features: one file a shard, the rows of its utterances one behind the other.

Pitch tracks are made once for a corpus, in any number of runs. Mels of another origin (a flow's)
lie in the same files as those of `training.features`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cbflash.errors import UsageError
from cbflash.files import make_folder, write_whole
from training.corpus import Corpus
from training.features import Features
from training.vocoder.pitch import frame_pitch

Floats = npt.NDArray[np.floating]


class Tracks:
    """The arrays of a folder, by utterance.

    kind: the files are `00012.<kind>.npy`. Raises UsageError for rows that are not those of the
    mels of `features`.
    """

    def __init__(self, folder: Path, kind: str, features: Features) -> None:
        paths = sorted(folder.glob(f"*.{kind}.npy"))
        self._arrays = [np.load(path, mmap_mode="r") for path in paths]
        self._ends = np.cumsum([item.rows["mel"] for item in features.items])
        self._firsts = np.cumsum([0, *(len(array) for array in self._arrays)])
        if self._firsts[-1] != self._ends[-1]:
            raise UsageError(
                f"{folder} holds {self._firsts[-1]:,} frames of {kind}, the features "
                f"{self._ends[-1]:,}.",
                f"Make the {kind} of the same features.",
            )

    def read(self, place: int) -> Floats:
        """The rows of the utterance at that place of the features."""
        end = int(self._ends[place])
        begin = int(self._ends[place - 1]) if place else 0
        shard = int(np.searchsorted(self._firsts, begin, side="right")) - 1
        first = int(self._firsts[shard])
        rows: Floats = self._arrays[shard][begin - first : end - first]
        return rows


def make_pitch(corpus: Corpus, features: Features, folder: Path) -> Iterator[tuple[int, int]]:
    """Write the pitch of the mel frames of all utterances, shard by shard, what is not there yet;
    yields how many shards are done, of how many."""
    make_folder(folder)
    shards = [name for name, _ in features.shards()]
    places = {item.number: place for place, item in enumerate(features.items)}
    left = [shard for shard in shards if not (folder / f"{shard}.pitch.npy").exists()]
    for done, shard in enumerate(left, len(shards) - len(left) + 1):
        found = []
        for number in corpus.of_shard(int(shard)):
            frames = features.items[places[number]].rows["mel"]
            found.append(frame_pitch(corpus[number].samples, frames))
        with write_whole(folder / f"{shard}.pitch.npy") as file:
            np.save(file, np.concatenate(found))
        yield done, len(shards)
