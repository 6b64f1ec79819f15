"""cbflash-manifest.json: size and sha256 of every file of a model folder, and its origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbflash.errors import CancelledError, ModelError
from cbflash.files import write_whole

MANIFEST = "cbflash-manifest.json"
VERSION = 1
_CHUNK = 1 << 20

# Called with the number of bytes just read; may raise CancelledError to stop.
OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class FileRecord:
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """files: name -> record. source: where they come from ("repo", "commit", ...)."""

    files: Mapping[str, FileRecord]
    source: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write it into the model folder. Raises OutputError."""
        data = {
            "version": VERSION,
            "source": dict(self.source),
            "files": {
                name: {"size": record.size, "sha256": record.sha256}
                for name, record in sorted(self.files.items())
            },
        }
        with write_whole(folder / MANIFEST) as handle:
            handle.write(json.dumps(data, indent=1).encode() + b"\n")


def describe(folder: Path, names: Iterable[str], source: Mapping[str, str]) -> Manifest:
    """Hash the named files of a folder: what a converter does when all is written."""
    records = {
        name: FileRecord((folder / name).stat().st_size, hash_file(folder / name)) for name in names
    }
    return Manifest(records, source)


def hash_file(path: Path, on_bytes: OnBytes | None = None) -> str:
    """sha256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(_CHUNK):
            digest.update(piece)
            if on_bytes is not None:
                on_bytes(len(piece))
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, None where there is none. Raises ModelError for a bad one."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != VERSION:
            raise ModelError(
                f"{path} has version {data['version']!r}; this cbflash reads {VERSION}.",
                "Update cbflash.",
            )
        files = {_plain(name): _record(value) for name, value in data["files"].items()}
        source = {str(key): str(value) for key, value in data["source"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {error!r}.", "Fetch the model again.") from None
    return Manifest(files, source)


def _plain(name: str) -> str:
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        raise ValueError(f"{name!r} is not the name of a file in the folder")
    return name


def _record(value: Any) -> FileRecord:
    size, sha256 = value["size"], value["sha256"]
    if type(size) is not int or not isinstance(sha256, str):
        raise ValueError(f"{value!r} is not a size and a hash")
    return FileRecord(size, sha256)


@dataclass(frozen=True)
class VerifyLine:
    """What was found out about one file."""

    file: str
    ok: bool
    message: str


@dataclass(frozen=True)
class VerifyProgress:
    """How far a check is, in bytes over all files."""

    file: str
    done: int
    total: int


def verify_files(
    folder: Path,
    manifest: Manifest,
    progress: Callable[[VerifyProgress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> list[VerifyLine]:
    """Compare every file with its record. Raises CancelledError."""
    total = sum(record.size for record in manifest.files.values())
    lines, before = [], 0
    for name, record in manifest.files.items():
        done = before

        def on_bytes(count: int, name: str = name) -> None:
            nonlocal done
            done += count
            if cancel is not None and cancel():
                raise CancelledError("The check was stopped.")
            if progress is not None:
                progress(VerifyProgress(name, done, total))

        lines.append(_verify(folder / name, record, on_bytes))
        before += record.size
    return lines


def _verify(path: Path, record: FileRecord, on_bytes: OnBytes) -> VerifyLine:
    try:
        size = path.stat().st_size
        if size != record.size:
            return VerifyLine(path.name, False, f"{size} bytes, should be {record.size}")
        found = hash_file(path, on_bytes)
    except OSError as error:
        return VerifyLine(path.name, False, f"cannot be read: {error.strerror}")
    if found != record.sha256:
        return VerifyLine(path.name, False, f"sha256 is {found}, should be {record.sha256}")
    return VerifyLine(path.name, True, "size and sha256 are right")
