"""Files and folders that appear whole or not at all, and where the program keeps its own."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from cbflash.environment import read_environment
from cbflash.errors import OutputError

PART = ".part"  # ends the name of a file that is not complete
INCOMING = ".incoming"  # ends the name of a folder that a download is filling

_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another place."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another place."),
    errno.EACCES: ("writing there is not permitted", "Choose a folder of your own."),
    errno.EPERM: ("writing there is not permitted", "Choose a folder of your own."),
    errno.EROFS: ("the disk is read-only", "Choose another place."),
    errno.EISDIR: ("it is a folder", "Give the name of a file."),
    errno.ENOENT: ("its folder does not exist", "Make the folder first, or choose another."),
    errno.ENOTDIR: ("a part of its path is a file", "Choose another place."),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter one."),
}


def data_folder() -> Path:
    """Where models and voices live: CBFLASH_HOME, or the platform's folder for such things."""
    return read_environment().data


def models_folder() -> Path:
    return data_folder() / "models"


def voices_folder() -> Path:
    return data_folder() / "voices"


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in plain words why `path` could not be written."""
    why, hint = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), ""))
    return OutputError(f"{path} could not be written: {why}.", hint)


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, if need be. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
    return path


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends well, else vanishes.

    It is written under a temporary name (`handle.name`) in the same folder, synced to the
    disk and renamed, so a reader sees the old file or the new one and nothing between.
    The handle can also seek and read. Raises OutputError where the disk refuses.
    """
    temporary = _temporary(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        with temporary.open("x+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # An error that names another file was not made by this one: leave it as it is.
        if error.filename not in (None, str(path), str(temporary)):
            raise
        raise output_error(path, error) from error
    finally:
        with suppress(OSError):  # most often it is gone already: renamed
            temporary.unlink()


class GrowingFile:
    """A file that is written in a folder under a temporary name, and kept under a name that is
    known only in the end, or not at all. Raises OutputError where the disk refuses."""

    def __init__(self, beside: Path) -> None:
        self._temporary = _temporary(beside)
        try:
            # Without a buffer, which would hold on to what a full disk has refused.
            self.handle: RawIOBase = self._temporary.open("x+b", buffering=0)
        except OSError as error:
            raise output_error(beside, error) from error

    def require(self, error: OSError | None) -> None:
        """Raises OutputError for an error that came up while it was written."""
        if error is not None:
            raise output_error(self._temporary, error) from error

    def keep(self, path: Path) -> None:
        """Complete it: synced to the disk, under the name of `path`."""
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
            os.fsync(self.handle.fileno())
            self.handle.close()
            self._temporary.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise output_error(path, error) from error

    def discard(self) -> None:
        """Leave nothing behind of what was not kept."""
        with suppress(OSError):
            self.handle.close()
        with suppress(OSError):
            self._temporary.unlink()


@contextmanager
def whole_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` when the block ends well.

    Raises OutputError at once if `path` exists, unless `force`: then the old folder is
    replaced, but only at the end (see `move_folder` for what is never replaced).
    """
    require_target(path, force)
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        make_folder(temporary)
        yield temporary
        move_folder(temporary, path, force)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_folder(built: Path, path: Path, force: bool = False) -> None:
    """Rename the finished folder `built` to `path`, its sibling.

    An existing folder is replaced only with `force`, and never if it holds folders itself:
    nothing of ours does, so it is something else. Raises OutputError.
    """
    require_target(path, force)
    old = _temporary(path)
    try:
        if path.exists():
            path.rename(old)
        try:
            built.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    if os.name == "nt":  # no handle on a folder there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _temporary(path: Path) -> Path:
    return path.with_name(f".cbflash-{secrets.token_hex(6)}.tmp")


def require_target(path: Path, force: bool) -> None:
    """That `whole_folder` could put a folder there. Raises OutputError."""
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path} is a file.", "Choose another name for the folder.")
    if not force:
        raise OutputError(f"{path} is already there.", "Choose another name, or use --force.")
    if any(inner.is_dir() for inner in path.iterdir()):
        raise OutputError(
            f"{path} holds other folders, so it is not replaced.", "Choose another name."
        )
