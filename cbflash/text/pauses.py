"""Pauses a writer asks for: `[pause 0.8s]`, `[pause:0.8]`, `[pause 800ms]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cbflash.errors import UsageError

LONGEST_PAUSE = 30.0  # seconds

PAUSE_TAG = re.compile(r"\[pause\b([^\[\]\n]{0,60})\]", re.IGNORECASE)
_LENGTH = re.compile(r"[\s:]\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*(s|sec|ms)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Pause:
    """A pause tag: its span in the text and its length in seconds."""

    start: int
    end: int
    seconds: float


def find_pauses(text: str) -> Iterator[Pause]:
    """The pause tags of a text in order, their lengths within 0 .. `LONGEST_PAUSE`.

    Raises UsageError for a tag without a number that can be read.
    """
    for tag in PAUSE_TAG.finditer(text):
        length = _LENGTH.fullmatch(tag[1])
        if length is None:
            raise UsageError(
                f"The pause {tag[0]!r} has no length that can be read.",
                "Write it as [pause 0.8s] or [pause 800ms].",
            )
        seconds = float(length[1]) / (1000 if (length[2] or "").lower() == "ms" else 1)
        yield Pause(tag.start(), tag.end(), min(max(seconds, 0.0), LONGEST_PAUSE))
