"""One file over the network: resumed where it stopped, checked before it counts."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cbflash.errors import CancelledError, DownloadError
from cbflash.files import PART
from cbflash.manifest import FileRecord, hash_file
from cbflash.web import RangeRefusedError, TransientError, UnreachableError, Web, read_some

ETAG = ".etag"  # ends the name of the note which version a part belongs to
_CHUNK = 1 << 18
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.EFBIG,
)
_TRIES = 5  # failures in a row, without one new byte, before giving up
_LONGEST_WAIT = 60.0
_WINDOW = 10.0  # seconds the speed is measured over
_QUIET = 0.1  # seconds between two reports


@dataclass(frozen=True)
class Surroundings:
    """Time and disk, given from outside so that a test needs neither."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    free_space: Callable[[Path], int] = field(default=lambda folder: shutil.disk_usage(folder).free)


@dataclass(frozen=True)
class RemoteFile:
    """What the hub says of a file. At least the size is known."""

    name: str
    url: str
    size: int
    sha256: str | None
    blob: str | None  # git's sha1 of small files


@dataclass(frozen=True)
class Progress:
    """How far a download is. Bytes are counted over all its files.

    speed: bytes a second, lately. seconds_left: None while nobody can say.
    """

    file: str
    done: int
    total: int
    speed: float
    seconds_left: float | None


class Watch:
    """Counts bytes, reports progress, and notices when the user has had enough."""

    def __init__(
        self,
        total: int,
        progress: Callable[[Progress], None] | None,
        cancel: Callable[[], bool] | None,
        surroundings: Surroundings,
    ) -> None:
        self._total = total
        self._progress = progress
        self._cancel = cancel
        self._here = surroundings
        self._finished = 0
        self._marks: deque[tuple[float, int]] = deque()
        self._reported = -_QUIET

    def at(self, file: str, bytes_of_it: int, loud: bool = False) -> None:
        """`bytes_of_it` of the current file are there. Raises CancelledError."""
        self.check()
        now, done = self._here.clock(), self._finished + bytes_of_it
        if self._marks and done < self._marks[-1][1]:
            self._marks.clear()  # a file began again
        self._marks.append((now, done))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        if self._progress is not None and (loud or now - self._reported >= _QUIET):
            self._reported = now
            self._progress(self._describe(file, done))

    def finished(self, file: str, size: int) -> None:
        """A file is complete."""
        self.at(file, size, loud=True)
        self._finished += size

    def skip_to(self, file: str, bytes_of_it: int) -> None:
        """Bytes that were there before: they count as done, not as speed."""
        self._marks.clear()
        self.at(file, bytes_of_it, loud=True)

    def check(self) -> None:
        """Raises CancelledError if the user asked to stop."""
        if self._cancel is not None and self._cancel():
            raise CancelledError("The download was stopped.", "What arrived is kept.")

    def pause(self, seconds: float) -> None:
        """Sleep, in slices short enough for the user. Raises CancelledError."""
        while seconds > 0:
            self.check()
            self._here.sleep(min(seconds, 0.2))
            seconds -= 0.2

    def _describe(self, file: str, done: int) -> Progress:
        (then, before), (now, _) = self._marks[0], self._marks[-1]
        speed = (done - before) / (now - then) if now > then else 0.0
        left = (self._total - done) / speed if speed > 0 else None
        return Progress(file, done, self._total, speed, left)


@dataclass(frozen=True)
class Transfer:
    """Fetches files, one after another."""

    web: Web
    watch: Watch

    def fetch(self, remote: RemoteFile, target: Path) -> FileRecord:
        """Bring `remote` to `target` by way of NAME.part; size and hash are right after it.

        Raises DownloadError, CancelledError; what arrived is kept unless it was wrong.
        """
        part = target.with_name(target.name + PART)
        with _disk_words(part):
            if target.exists():
                target.replace(part)  # from an earlier time: it is checked like a new one
            elif not part.exists():
                part.touch()
            self.watch.skip_to(remote.name, min(part.stat().st_size, remote.size))
            retry(lambda: self._receive(remote, part), self.watch, lambda: part.stat().st_size)
            record = self._check(remote, part)
            part.replace(target)
            _etag(part).unlink(missing_ok=True)
        self.watch.finished(remote.name, remote.size)
        return record

    def _receive(self, remote: RemoteFile, part: Path) -> None:
        have = part.stat().st_size
        if have == remote.size:
            return
        etag = _etag(part).read_text("utf-8") if _etag(part).exists() else ""
        if have > remote.size or not etag:
            have = 0
        headers = {"Range": f"bytes={have}-", "If-Range": etag} if have else {}
        try:
            with self.web.open(remote.url, headers) as response:
                if response.status == http.client.PARTIAL_CONTENT:
                    _check_range(response, have, remote)
                else:
                    have = 0  # the server sends all of it: the file is another, or it must
                _remember(part, response.headers.get("ETag", ""))
                have = self._copy(response, remote, part, have)
        except RangeRefusedError as error:
            _discard(part)
            raise TransientError(error.args[0]) from None
        if have < remote.size:
            raise TransientError(f"{remote.name} was cut off at {have} of {remote.size} bytes.")

    def _copy(
        self, response: http.client.HTTPResponse, remote: RemoteFile, part: Path, have: int
    ) -> int:
        with part.open("r+b") as handle:
            handle.truncate(have)
            handle.seek(have)
            while have < remote.size and (piece := read_some(response, _CHUNK)):
                handle.write(piece)
                have += len(piece)
                self.watch.at(remote.name, have)
            handle.flush()
            os.fsync(handle.fileno())
        return have

    def _check(self, remote: RemoteFile, part: Path) -> FileRecord:
        size = part.stat().st_size
        sha256 = hash_file(part, lambda _: self.watch.check())
        good = size == remote.size
        if remote.sha256 is not None:
            good = good and sha256 == remote.sha256
        elif remote.blob is not None:
            good = good and _git_blob(part) == remote.blob
        if not good:
            _discard(part)
            raise DownloadError(
                f"{remote.name} arrived damaged: its hash is wrong.",
                "Run the same command again: this file is fetched anew.",
            )
        return FileRecord(size, sha256)


def retry(
    work: Callable[[], None], watch: Watch, size: Callable[[], int], patient: bool = True
) -> None:
    """Do `work` until it succeeds, waiting longer after each failure that brought nothing.

    Not `patient`, a server that cannot be reached at all is an error at once.
    """
    failures = 0
    while True:
        before = size()
        try:
            return work()
        except TransientError as error:
            failures = 1 if size() > before else failures + 1
            if failures >= _TRIES or (isinstance(error, UnreachableError) and not patient):
                raise
            watch.pause(min(error.wait or 2.0 ** (failures - 1), _LONGEST_WAIT))


def _check_range(response: http.client.HTTPResponse, have: int, remote: RemoteFile) -> None:
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if not found or (int(found[1]), int(found[2])) != (have, remote.size):
        raise RangeRefusedError(f"The server went on with {remote.name} at the wrong place.")


def _etag(part: Path) -> Path:
    return part.with_name(part.name + ETAG)


def _remember(part: Path, etag: str) -> None:
    """Note the version of a part. A weak ETag does not vouch for every byte: no note."""
    if etag.startswith('"'):
        _etag(part).write_text(etag, "utf-8")
    else:
        _etag(part).unlink(missing_ok=True)


def _discard(part: Path) -> None:
    os.truncate(part, 0)
    _etag(part).unlink(missing_ok=True)


def _git_blob(path: Path) -> str:
    """git's name of a file's content: sha1 of a small header and the bytes."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def _disk_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:  # not about the disk: a callback's own
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DownloadError(
            "The disk is full." if full else f"{path} cannot be written: {error.strerror}.",
            "Free some space and run the same command again: it goes on where it stopped."
            if full
            else "Choose another folder.",
        ) from error
