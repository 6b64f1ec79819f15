"""The user's collection of voices: a folder with one file a voice."""

from __future__ import annotations

import dataclasses
import difflib
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cbflash.errors import OutputError, VoiceError
from cbflash.files import make_folder, output_error, voices_folder
from cbflash.voice import Voice, load_voice, save_voice

SUFFIX = ".safetensors"
LONGEST_NAME = 80  # characters
_LONGEST_BYTES = 240  # of the name in UTF-8: file systems allow 255 with the suffix
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
)


def check_name(name: str) -> str:
    """A voice's name as it is stored (Unicode NFC); raises VoiceError for one that cannot be.

    Letters and digits of any script, space, dash and underscore: no path can be built of them.
    """
    name = unicodedata.normalize("NFC", name)
    if not name or len(name) > LONGEST_NAME or len(name.encode()) > _LONGEST_BYTES:
        raise VoiceError(f"A voice's name has 1 to {LONGEST_NAME} letters, not {len(name)}.")
    for letter in name:
        if letter not in " -_" and unicodedata.category(letter)[0] not in "LMN":
            raise VoiceError(
                f"The voice's name {name!r} holds {letter!r}.",
                "Use letters, digits, spaces, dashes and underscores.",
            )
    if name != name.strip() or name.startswith("-"):
        raise VoiceError(f"The voice's name {name!r} begins or ends badly.", "Begin with a letter.")
    if name.casefold() in _RESERVED:
        raise VoiceError(f"Windows keeps the name {name!r} for itself.", "Choose another name.")
    return name


@dataclass(frozen=True)
class DamagedVoice:
    """A file of the collection that is no voice, and why."""

    path: Path
    message: str


@dataclass(frozen=True)
class VoiceList:
    """What a collection holds: voices by name, and the files that could not be read."""

    voices: tuple[Voice, ...]
    damaged: tuple[DamagedVoice, ...]


class VoiceLibrary:
    """The user's voices: a folder of voice files, one named after each voice.

    The file's name is the voice's name. Two names that differ only in case are one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = voices_folder() if folder is None else folder

    def add(self, voice: Voice, force: bool = False) -> Path:
        """Keep a voice under its name; `force` replaces the one that has it already.

        Raises VoiceError for a name that is taken or unusable, OutputError.
        """
        name = check_name(voice.name)
        taken = self.find(name)
        if taken is not None and not force:
            raise VoiceError(
                f"There is a voice {taken.stem!r} already.", "Choose another name, or use --force."
            )
        path = taken or self._path(name)
        make_folder(self.folder)
        save_voice(dataclasses.replace(voice, name=path.stem), path)
        return path

    def find(self, name: str) -> Path | None:
        """The file of a name, whatever its case and whether it can be read or not; or None."""
        return next((path for path in self._paths() if _key(path.stem) == _key(name)), None)

    def path_of(self, name: str) -> Path:
        """The file of a name. Raises VoiceError, with the nearest known one, where none has it."""
        path = self.find(name)
        if path is None:
            names = [known.stem for known in self._paths()]
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "See: cbflash voice list"
            raise VoiceError(f"There is no voice {name!r}.", hint)
        return path

    def list(self) -> VoiceList:
        """All voices by name. A damaged file is reported, and hides no other."""
        voices, damaged = [], []
        for path in self._paths():
            try:
                voices.append(self._load(path))
            except VoiceError as error:
                damaged.append(DamagedVoice(path, str(error)))
        return VoiceList(tuple(voices), tuple(damaged))

    def get(self, name: str) -> Voice:
        """Raises VoiceError for an unknown name (with the nearest known one) or a bad file."""
        return self._load(self.path_of(name))

    def rename(self, old: str, new: str) -> None:
        """Raises VoiceError for an unknown, taken or unusable name, OutputError."""
        path = self.path_of(old)
        new = check_name(new)
        taken = self.find(new)
        if taken is not None and taken != path:
            raise VoiceError(f"There is a voice {taken.stem!r} already.", "Choose another name.")
        try:
            path.replace(self._path(new))
        except OSError as error:
            raise output_error(path, error) from error

    def remove(self, name: str) -> None:
        """Delete a voice for good; a damaged file too. Raises VoiceError, OutputError."""
        path = self.path_of(name)
        try:
            path.unlink()
        except OSError as error:
            raise output_error(path, error) from error

    def export(self, name: str, path: Path, force: bool = False) -> None:
        """Write a copy to `path`. Raises VoiceError, or OutputError if a file is there."""
        if path.exists() and not force:
            raise OutputError(f"{path} is already there.", "Choose another name, or use --force.")
        save_voice(self.get(name), path)

    def import_file(self, path: Path, name: str | None = None, force: bool = False) -> Voice:
        """Take a voice's file into the collection, under its own name or another.

        Raises VoiceError for a bad file or name, OutputError.
        """
        voice = load_voice(path)
        voice = dataclasses.replace(voice, name=check_name(name or voice.name))
        return self._load(self.add(voice, force))

    def _load(self, path: Path) -> Voice:
        return dataclasses.replace(load_voice(path), name=unicodedata.normalize("NFC", path.stem))

    def _path(self, name: str) -> Path:
        return self.folder / (name + SUFFIX)

    def _paths(self) -> tuple[Path, ...]:
        found = (p for p in self.folder.glob("*" + SUFFIX) if not p.name.startswith("."))
        return tuple(sorted(found, key=lambda path: _key(path.stem)))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
