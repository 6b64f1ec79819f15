"""What the teacher says of the corpus' texts: the command
python -m training.teacher_speech WORK --recipe mini

The labels of distillation without data: texts and voices go in, and no recorded speech is copied.
Utterances are drawn from the training part; each goes to a file of its batch, and the command goes
on where it was stopped. What another teacher said, or with other numbers, is not mixed with it: the
folder is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from cbflash.errors import UsageError
from cbflash.files import make_folder, write_whole
from cuda_backend.t3 import T3
from training.autoregressive import Draw, speak
from training.command import Command, tell
from training.devices import find_device
from training.origin import claim, digest
from training.recipe import Recipe, read_recipe
from training.spoken import Array, Speech
from training.t3 import Prefix
from training.teacher import TeacherSettings, open_speech, open_teacher, taught

FOLDER = "teacher_speech"


@dataclass(frozen=True)
class SpeechSettings:
    """count: utterances; batch: spoken at once. Longer ones than `limit` tokens never ended, and
    are left out."""

    count: int = 4000
    batch: int = 32
    temperature: float = 0.8
    top_p: float = 0.95
    limit: int = 250


def make(
    work: Path, speech: Speech, teacher: T3, settings: SpeechSettings, seed: int, period: int = 0
) -> Iterator[int]:
    """Speak what was not spoken yet; yields how many utterances are there. period: of the
    teacher's learned positions."""
    numbers = np.random.default_rng(seed)
    places = numbers.permutation(speech.places("train", pairs=False))[: settings.count]
    places = places[np.argsort([len(speech.text(place)) for place in places], kind="stable")]

    def prefix(chosen: Sequence[int], begin: int) -> Prefix:
        return speech.batch(chosen, np.random.default_rng([seed, begin])).prefix

    draw = Draw(settings.temperature, settings.top_p, limit=settings.limit, period=period)
    order = [int(place) for place in places]
    given = asdict(settings) | {"seed": seed, "period": period}
    claim(work / FOLDER, given | {"teacher": digest(teacher), "texts": digest(places)})
    yield from speak_all(work / FOLDER, order, settings.batch, prefix, Voiced(teacher, draw, seed))


@dataclass(frozen=True)
class Voiced:
    """A teacher, how its tokens are drawn, and from which seed."""

    teacher: T3
    draw: Draw
    seed: int

    def __call__(self, prefix: Prefix, begin: int) -> list[Array]:
        """The tokens of a batch, of which the first is number `begin`."""
        device = self.teacher.device
        generator = torch.Generator(device).manual_seed(self.seed + begin)
        rows = speak(self.teacher, prefix.to(device), self.draw, generator)
        return [row.cpu().numpy() for row in rows]


def speak_all(
    folder: Path,
    places: Sequence[int],
    size: int,
    prefix: Callable[[Sequence[int], int], Prefix],
    voiced: Voiced,
) -> Iterator[int]:
    """Speak what has no file in the folder yet, `size` places at once, in this order; yields how
    many are there. prefix: of some places, of which the first is number `begin`."""
    make_folder(folder)
    for begin in range(0, len(places), size):
        chosen = places[begin : begin + size]
        path = folder / f"{begin:06d}.npz"
        if not path.exists():
            spoken = zip(chosen, voiced(prefix(chosen, begin), begin), strict=True)
            _write(path, {at: row for at, row in spoken if 0 < len(row) < voiced.draw.limit})
        yield begin + len(chosen)


def _write(path: Path, said: Mapping[int, Array]) -> None:
    with write_whole(path) as file:
        np.savez(
            file,
            places=np.array([*said], np.int64),
            lengths=np.array([len(row) for row in said.values()], np.int64),
            tokens=np.concatenate([np.zeros(0, np.int64), *said.values()]),
        )


def read_teacher_speech(work: Path) -> dict[int, Array]:
    """The tokens of each place that was spoken and ended. Raises UsageError where none was."""
    found = read_ended(work / FOLDER)
    if not found:
        raise UsageError("The teacher has said nothing.", "Run training.teacher_speech.")
    return found


def read_ended(folder: Path) -> dict[int, Array]:
    """The tokens of each place that was spoken in a folder and ended."""
    found: dict[int, Array] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            rows = np.split(file["tokens"], np.cumsum(file["lengths"])[:-1])
            found |= dict(zip(file["places"].tolist(), rows, strict=False))
    return found


def say(work: Path, recipe: Recipe, device: str) -> None:
    """Let the teacher of a folder speak."""
    heard = recipe.settings("teacher", TeacherSettings)
    speech = taught(open_speech(work, recipe, heard), heard)
    settings = recipe.settings(FOLDER, SpeechSettings)
    teacher = open_teacher(work, recipe, find_device(device))
    for done in make(work, speech, teacher, settings, recipe.seed, heard.period):
        tell(done, min(settings.count, len(speech.places("train", pairs=False))), "utterances")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training(FOLDER, __doc__)
    return command.run(
        arguments, lambda given: say(given.work, read_recipe(given.recipe), given.device)
    )


if __name__ == "__main__":
    sys.exit(main())
