"""Abbreviations and dashes."""

from __future__ import annotations

import re
from collections.abc import Callable

TITLES = {
    "mrs": "misess",
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "col": "colonel",
    "mt": "mount",
}
SUFFIXES = {
    "jr": "junior",
    "esq": "esquire",
    "ltd": "limited",
    "ave": "avenue",
    "dept": "department",
    "abbrev": "abbreviation",
    "abstr": "abstract",
    "addr": "address",
    "vol": "volume",
    "vs": "versus",
    "etc": "etc",
}
DATES = {
    "jan": "january",
    "feb": "february",
    "mar": "march",
    "apr": "april",
    "jul": "july",
    "aug": "august",
    "sep": "september",
    "sept": "september",
    "oct": "october",
    "nov": "november",
    "dec": "december",
    "mon": "monday",
    "tue": "tuesday",
    "wed": "wednesday",
    "thur": "thursday",
    "fri": "friday",
}
MEASURES = {
    "ft": "feet",
    "sec": "second",
    "min": "minute",
    "mo": "month",
    "yr": "year",
    "cal": "calorie",
    "gal": "gallon",
    "kg": "kilogram",
    "km": "kilometer",
    "oz": "ounce",
    "yd": "yard",
}
LETTERS = {
    "e.g": "eg",
    "i.e": "ie",
    "ai": "a i",
    "cms": "c m s",
    "cdn": "c d n",
    "ceo": "c e o",
    "tts": "t t s",
}
EXPANSIONS = TITLES | SUFFIXES | DATES | MEASURES | LETTERS

# The order counts only where abbreviations touch ("Mr.Dr."): the earlier one takes its full
# stop away, and with it the edge of the next. It is the released order.
ORDER = (
    "mrs mr dr st jr maj gen drs rev lt hon sgt capt esq ltd col ft abbrev ave abstr addr "
    "jan feb mar apr jul aug sep sept oct nov dec mon tue wed thur fri sec min mo yr cal dept "
    "gal kg km mt oz vol vs yd e.g i.e etc ai cms cdn ceo tts"
)
_PATTERNS = tuple(
    (re.compile(rf"\b{re.escape(short)}\b\.?", re.IGNORECASE), EXPANSIONS[short])
    for short in ORDER.split()
)

_SYMBOLS = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        ("[–—]", "-"),
        (r"(?<=\d\s)>(?=\s\d)", "is greater than"),
        (r"(?<=\d\s)<(?=\s\d)", "is less than"),
        # A dash with a space on either side is a pause, within a word a space ...
        (r"(?<=\D)\s*-\s+(?=\D)", ", "),
        (r"(?<=\D)\s+-\s*(?=\D)", ", "),
        (r"(?<=[a-z])-(?=[a-z\d])", " "),
        (r"(?<=\d)-(?=[a-z])", " "),
        # ... and between numbers it stands alone.
        (r"(?<=\d)-(?=\d)", " - "),
    )
)

Keep = Callable[[re.Match[str]], bool]


def expand_abbreviations(text: str, keep: Keep | None = None) -> str:
    """ "Dr. Who - no. 5-6" -> "doctor Who, no. 5 - 6".

    The full stop of an abbreviation goes with it. Where `keep` says so, a match is left alone.
    """
    for pattern, expansion in _PATTERNS:
        if keep is None:
            text = pattern.sub(expansion, text)
        else:
            text = pattern.sub(_unless(keep, expansion), text)
    for pattern, replacement in _SYMBOLS:
        text = pattern.sub(replacement, text)
    return text


def _unless(keep: Keep, expansion: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match[0] if keep(match) else expansion
