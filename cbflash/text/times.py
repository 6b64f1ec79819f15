"""Times of day."""

from __future__ import annotations

import re

from cbflash.text.numbers import counted

_TIME = re.compile(r"(\d{1,2})([.:])?\s*(\d{2})?\s*([ap]\.?m\.?)?", re.IGNORECASE)


def say_times(text: str) -> str:
    """ "9:05 p.m." -> "nine oh five PM".

    A time has a colon and minutes, or a half of the day behind it. As in the release, spaces
    behind the minutes belong to it, and it may begin and end inside a longer number.
    """
    return _TIME.sub(_say_match, text)


def _say_match(match: re.Match[str]) -> str:
    hour, mark, minutes, half = match.groups()
    if not half and not (mark == ":" and minutes):
        return match[0]
    return say_time(int(hour), int(minutes or 0), half or "")


def say_time(hour: int, minutes: int, half: str) -> str:
    """The words of a time; `half` is "am", "P.M.", ... or empty."""
    words = [counted(hour)]
    if minutes:
        words.append(f"oh {counted(minutes)}" if minutes < 10 else counted(minutes))
    if half:
        words.append(half.replace(".", "").upper())
    return " ".join(words)
