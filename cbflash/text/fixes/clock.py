"""Fixes in front of the times of day."""

from __future__ import annotations

import re

from cbflash.text.fixes.fix import Fix, apart, rewrite
from cbflash.text.fixes.say import say_number
from cbflash.text.numbers import cardinal

_HALF = r"([AaPp]\.?[Mm])(\.?)(?![A-Za-z])"
_START = r"(?<![\d:])(?<!\d[.,])"
_COLON_TIME = rf"{_START}(\d{{1,2}}):([0-5]\d)(?::([0-5]\d))?(?:\s?{_HALF})?(?!:?\d)"
_HALF_TIME = rf"{_START}(\d{{1,2}})(?:[. ]?([0-5]\d))?()\s?{_HALF}"
_SENTENCE_END = re.compile(
    r"""["'”’)\]]*\s*\Z|\s+["'“‘(]?(?!(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)(?:I|A|[A-Z][a-z]+)\b"""
)


def _say_clock(match: re.Match[str]) -> str:
    hour, minutes, seconds, half, stop = match.groups("")
    words = [cardinal(hour)]
    if seconds or minutes.strip("0"):
        words.append(_say_sixtieths(minutes))
    if seconds:
        words.append(_say_sixtieths(seconds))
    if half:
        words.append(half.replace(".", "").upper())
    # The last full stop of "p.m." may be the sentence's, that of "pm." always is.
    ends = "." not in half or _SENTENCE_END.match(match.string, match.end())
    return apart(match, " ".join(words) + (stop if ends else ""))


def _say_sixtieths(digits: str) -> str:
    return f"oh {cardinal(digits)}" if digits[0] == "0" != digits[1] else cardinal(digits)


def _say_ratio(match: re.Match[str]) -> str:
    return apart(match, " to ".join(map(cardinal, match[0].split(":"))))


def _say_clocks(text: str) -> str:
    return _HALF_CLOCKS(_COLON_CLOCKS(text))


_COLON_CLOCKS = rewrite(_COLON_TIME, _say_clock)
_HALF_CLOCKS = rewrite(_HALF_TIME, _say_clock)

CLOCK_FIXES = (
    Fix(
        "number_before_word",
        "times",
        rewrite(
            r"(?<![\w.,:$£€¥#])(\d[\d,]*(?:\.\d+)?)\s?(?=[AaPp]\.?[Mm][A-Za-z])",
            lambda match: say_number(match[1].replace(",", "")) + " ",
        ),
        written="It draws 10 amps.",
        released="It draws ten AMps.",
        spoken="It draws ten amps.",
    ),
    Fix(
        "clock_times",
        "times",
        _say_clocks,
        written="At 07:05 he rose, at 0:30 he slept. Come at 3 pm. It took 1:02:03.",
        released="At seven oh fivehe rose, at  thirtyhe slept. Come at three PM "
        "It took one oh two:three.",
        spoken="At seven oh five he rose, at zero thirty he slept. Come at three PM. "
        "It took one oh two oh three.",
    ),
    Fix(
        "ratios",
        "times",
        rewrite(r"(?<![\d:])\d+:\d{2,}(?!:?\d)", _say_ratio),
        written="The scale is 1:100 or 1:250.",
        released="The scale is one tenzero or one twenty fivezero.",
        spoken="The scale is one to one hundred or one to two hundred fifty.",
    ),
)
