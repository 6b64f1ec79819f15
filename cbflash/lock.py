"""A lock between processes, kept by the system: it ends with the process that held it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cbflash.files import output_error

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` for the block; gives False, without it, if another has it.

    The file itself stays and means nothing: a process that died holds no lock, whatever it
    left behind. (Deleting it would let two processes lock two files of one name.) Raises
    OutputError where the disk gives no locks.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield _is_free(handle, path)
    finally:
        os.close(handle)


def _is_free(handle: int, path: Path) -> bool:
    try:
        _try_lock(handle)
    except (BlockingIOError, PermissionError):  # how POSIX and Windows say "held"
        return False
    except OSError as error:
        raise output_error(path, error) from error
    return True
