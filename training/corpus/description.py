"""corpus.json: what a corpus was made of. The same description is the same corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cbflash.errors import UsageError
from cbflash.files import write_whole
from training.corpus.cast import Speaker

NAME = "corpus.json"
FORMAT = 1


@dataclass(frozen=True)
class Description:
    """engines: name -> version. texts: digest of all sentences. shards: how many it will have.

    speakers: name -> its voice, engine, shape, share, and whether it is for tests.
    """

    hours: float
    seed: int
    shards: int
    engines: dict[str, str]
    texts: str
    speakers: dict[str, dict[str, object]]
    format: int = FORMAT


def describe_speakers(cast: Sequence[Speaker]) -> dict[str, dict[str, object]]:
    return {
        speaker.name: {
            "voice": speaker.voice.name,
            "engine": speaker.voice.engine,
            "test": speaker.test,
            "share": speaker.voice.share,
            "shape": asdict(speaker.shape),
        }
        for speaker in cast
    }


def claim_folder(folder: Path, description: Description) -> None:
    """Write the description, or find it there already: then the work goes on.

    Raises UsageError where the folder holds another corpus.
    """
    path = folder / NAME
    text = json.dumps(asdict(description), indent=1)
    if not path.exists():
        with write_whole(path) as file:
            file.write(text.encode())
        return
    there = asdict(read_description(folder))
    wanted = json.loads(text)
    different = [key for key in wanted if wanted[key] != json.loads(json.dumps(there[key]))]
    if different:
        raise UsageError(
            f"{folder} holds another corpus: {', '.join(different)} differ.",
            "Choose another folder, or go on with what it was begun with.",
        )


def read_description(folder: Path) -> Description:
    """Raises UsageError where there is none, or one that cannot be read."""
    path = folder / NAME
    try:
        fields = json.loads(path.read_text("utf-8"))
        if fields["format"] != FORMAT:
            raise UsageError(f"{path} is of another format.", "Make the corpus again.")
        return Description(**fields)
    except FileNotFoundError:
        raise UsageError(
            f"{folder} holds no corpus.", f"Make one: python -m training.corpus {folder}."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path} is damaged.", "Make the corpus again.") from None
