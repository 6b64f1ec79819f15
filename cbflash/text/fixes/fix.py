"""What a fix is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Rewrite = Callable[[str], str]


@dataclass(frozen=True)
class Fix:
    """One thing that the released normaliser gets wrong, put right in front of it.

    name: what is put right.
    stage: the stage of `clean.STAGES` that would go wrong; the fix runs just before it.
    apply: says in words what the stage would misread.
    written, released, spoken: an example; what the release makes of it, and what it should be.
    instead: the fix does all the work of its stage, which is left out.
    """

    name: str
    stage: str
    apply: Rewrite
    written: str
    released: str
    spoken: str
    instead: bool = False


def rewrite(
    pattern: str, say: Callable[[re.Match[str]], str], *, ignore_case: bool = False
) -> Rewrite:
    """Replace every match of a pattern by what `say` makes of it."""
    compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    return lambda text: compiled.sub(say, text)


def apart(match: re.Match[str], words: str) -> str:
    """The words for a match, with a space where they would touch a letter: "MP3" -> "MP three"."""
    left = " " if match.string[max(0, match.start() - 1) : match.start()].isalpha() else ""
    right = " " if match.string[match.end() : match.end() + 1].isalpha() else ""
    return f"{left}{words}{right}"
