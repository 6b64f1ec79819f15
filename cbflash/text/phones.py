"""Telephone numbers: digit by digit, in groups."""

from __future__ import annotations

import re

from cbflash.text.numbers import spelled

_LETTERLESS = re.compile(r"[^a-zA-Z]+")
_PHONE_MARKS = re.compile(r"[0-9.+\-()\[\] ]*")
_END_MARKS = ".!?,;"
_YEARS = re.compile(r"[^0-9-]*[12](?:[^0-9-]*[0-9]){3}[^0-9-]*")
DIGITS = range(6, 14)  # how many a telephone number has


def say_phones(text: str) -> str:
    """Say every stretch without letters that is a telephone number and nothing else."""
    return _LETTERLESS.sub(lambda m: _say_run(m[0]) if is_phone(m[0]) else m[0], text)


def is_phone(run: str) -> bool:
    """Whether a stretch of text has the marks and the number of digits of a telephone number.

    A single full stop makes it a decimal, a single dash between two years a range.
    """
    run = run.rstrip(_END_MARKS)
    if run.count(".") == 1 or not _PHONE_MARKS.fullmatch(run):
        return False
    if sum(map(str.isdigit, run)) not in DIGITS:
        return False
    sides = run.split("-")
    is_range = len(sides) == 2 and "+" not in run and "." not in run
    return not (is_range and all(_YEARS.fullmatch(side) for side in sides))


def say_phone(run: str) -> str:
    """ "(555) 123 - 4567" -> "five five five, one two three, four five six seven"."""
    groups = [part for number in re.findall("[0-9]+", run) for part in grouped(number)]
    return ", ".join(map(spelled, groups))


def _say_run(run: str) -> str:
    body = run.rstrip(_END_MARKS)
    end = run[len(body) :]
    left = " " if body[0] == " " else ""
    right = " " if body[-1] == " " else ""
    return f"{left}{say_phone(body)}{right}{end}"


def grouped(number: str) -> list[str]:
    """A number in the groups people say: threes, with four digits last where that works out."""
    if len(number) <= 4:
        return [number]
    if len(number) in (5, 8):
        return _threes(number)
    return [*_threes(number[:-4]), number[-4:]]


def _threes(number: str) -> list[str]:
    first = len(number) % 3
    cuts = range(first, len(number), 3)
    return [number[:first]] * bool(first) + [number[cut : cut + 3] for cut in cuts]
