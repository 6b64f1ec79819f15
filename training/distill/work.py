"""The folder a distillation works in: what the teacher said, and where the training stands.

Batches that the teacher spoke are files, in one folder as long as they are of one size. With
another size it goes on in another folder, whose name is the number of its first utterance and the
size: `speech/000048-8`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cbflash.errors import UsageError
from cbflash.files import make_folder, write_whole
from cuda_backend.t3 import T3
from training.distill.script import Script
from training.distill.settings import Settings
from training.distill.teacher import Teacher
from training.spoken import Array
from training.teacher_speech import Voiced, read_ended, speak_all

RECORD = "spoken.json"


class Work:
    """Raises UsageError for a folder in which a teacher said something else."""

    def __init__(self, folder: Path, teacher: Teacher, script: Script, settings: Settings) -> None:
        self._script = script
        self._settings = settings
        self._speech = make_folder(folder) / "speech"
        self.checkpoints = folder / "training"
        self.record = {
            "teacher": teacher.digest,
            "texts": _digest(script.texts),
            "voices": [voice.source_hash for voice in script.voices],
            "samples": script.samples,
            "seed": script.seed,
            "draw": asdict(settings.draw),
        }
        self._require(folder / RECORD)

    def speak(self, teacher: T3) -> Iterator[int]:
        """Let the teacher say what is not there yet; yields how many utterances are."""
        order, size = self._script.order(), self._settings.speakers
        begin = self._begin(size)
        if begin >= len(order):
            return
        spoken = speak_all(
            self._speech / f"{begin:06d}-{size}",
            order[begin:],
            size,
            lambda places, _: self._script.prefix(places),
            Voiced(teacher, self._settings.draw, self._settings.seed + begin),
        )
        for done in spoken:
            yield begin + done

    def spoken(self) -> dict[int, Array]:
        """Of each place that ended, the tokens."""
        return {place: row for part in self._parts() for place, row in read_ended(part).items()}

    def _begin(self, size: int) -> int:
        """The number of the first utterance of the folder in which batches of a size go on."""
        parts = self._parts()
        if not parts:
            return 0
        begin, own = map(int, parts[-1].name.split("-"))
        return begin if own == size else begin + own * len(_batches(parts[-1]))

    def _parts(self) -> list[Path]:
        """The folders in which something was spoken, in the order of their utterances."""
        found = [part for part in self._speech.glob("*-*") if _batches(part)]
        return sorted(found, key=lambda part: int(part.name.split("-")[0]))

    def _require(self, path: Path) -> None:
        """That what is there was said by this teacher of this script; written if nothing is."""
        wanted: Any = json.loads(json.dumps(self.record))
        if not path.exists():
            with write_whole(path) as file:
                file.write(json.dumps(wanted, indent=1).encode())
            return
        found = json.loads(path.read_text("utf-8"))
        changed = [name for name in wanted if found.get(name) != wanted[name]]
        if changed:
            raise UsageError(
                f"{path.parent} was begun with other values of: {', '.join(changed)}.",
                "Begin in another folder (--work), or delete that one.",
            )


def _batches(part: Path) -> list[Path]:
    return list(part.glob("*.npz"))


def _digest(texts: tuple[tuple[int, ...], ...]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
