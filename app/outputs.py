"""Where sound goes: looked at before any work, so that none is done in vain."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cbflash.audio import require_audio_name
from cbflash.errors import OutputError
from cbflash.files import make_folder, output_error


def prepare_file(path: Path, force: bool) -> None:
    """Make sure that sound can be written to `path`; makes its folder. Raises OutputError."""
    require_audio_name(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", "Give the name of a file.")
    if path.exists() and not force:
        raise OutputError(f"{path} is already there.", "Choose another name, or use --force.")
    prepare_folder(path.parent)


def prepare_folder(folder: Path) -> None:
    """Make a folder and try to write in it. Raises OutputError."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise output_error(folder, error) from error
