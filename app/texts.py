"""Texts to speak: from the command line, a file or a pipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from cbflash.errors import UsageError
from cbflash.text import is_speakable

STDIN = "-"
COMMENT = "#"


@dataclass(frozen=True)
class Line:
    """One text of a file.

    number: among the lines to be spoken, from 1; place: where it stands, for messages.
    """

    number: int
    text: str
    place: str


def read_text(source: str) -> str:
    """A text file, or "-" for what is piped in. Raises UsageError."""
    name = "The input" if source == STDIN else source
    try:
        data = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {source}.", "Check the name and the folder.") from None
    except IsADirectoryError:
        raise UsageError(f"{source} is a folder.", "Give a text file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{source!r} cannot be read: {reason}.", "Check the name.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{name} is not UTF-8 text: line {line} holds the byte 0x{data[error.start]:02X}.",
            "Save it as UTF-8.",
        ) from None
    return check_text(text, name)


def check_text(text: str, name: str = "The text") -> str:
    """Raises UsageError for a text that is none."""
    if "\0" in text:
        raise UsageError(f"{name} holds a NUL character.", "Is it a text at all?")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError(f"{name} is not UTF-8.", "Check the language settings of the terminal.")
    return text


def require_speakable(text: str, place: str = "") -> None:
    """Raises UsageError for a text without anything to say."""
    where = f"{place}: " if place else ""
    if not text.strip():
        raise UsageError(f"{where}The text is empty.", "Give at least one letter or digit.")
    if not is_speakable(text):
        raise UsageError(
            f"{where}Nothing in {text.strip()[:40]!r} can be spoken.",
            "Give at least one letter or digit.",
        )


def read_lines(source: str) -> list[Line]:
    """The lines of a file; blank ones and those that begin with # are left out.

    Raises UsageError, also for a line that cannot be spoken.
    """
    lines: list[Line] = []
    for number, line in enumerate(read_text(source).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith(COMMENT):
            continue
        place = f"{source}, line {number}"
        require_speakable(text, place)
        lines.append(Line(len(lines) + 1, text, place))
    if not lines:
        raise UsageError(
            f"{source} has no line to speak.",
            f"Blank lines and those that begin with {COMMENT} are left out.",
        )
    return lines
