"""Fixes in front of, and in place of, the expansion of abbreviations."""

from __future__ import annotations

import re

from cbflash.text.abbreviations import (
    DATES,
    LETTERS,
    MEASURES,
    SUFFIXES,
    expand_abbreviations,
)
from cbflash.text.fixes.fix import Fix, rewrite

# Ordinary words and names that look like abbreviations. Without a full stop and without a
# number beside them they stay; the first group only where it is written small.
_SMALL_WORDS = {"mar", "wed", "hon", "gen", "rev", "col", "mon"}
_NAMES = {"mo", "cal", "gal"}


def _is_ordinary(match: re.Match[str]) -> bool:
    word = match[0]
    if word not in _SMALL_WORDS and word.lower() not in _NAMES:
        return False
    before = match.string[max(0, match.start() - 2) : match.start()]
    after = match.string[match.end() : match.end() + 2]
    return not (before.rstrip()[-1:].isdigit() or after.lstrip()[:1].isdigit())


def _expand(text: str) -> str:
    return expand_abbreviations(text, keep=_is_ordinary)


_END = r"""(?=["'”’)\]]*\s*\Z)"""
_SENTENCE = r"(?=\s+[A-Z])"
_ACRONYMS = "|".join(short for short in LETTERS if "." not in short)
_CLOSING = "|".join(["jr", "ltd", "esq", "etc"])
_STOPS = (
    rf"\b(?i:(?:{_ACRONYMS}))\.(?=[^\w.]|\Z)",
    rf"\b(?i:{_CLOSING})\.(?:{_END}|{_SENTENCE})",
    rf"(?<=\d)\s(?:{'|'.join(MEASURES)})\.{_SENTENCE}",
    rf"\b(?i:{'|'.join(SUFFIXES | DATES | MEASURES)})\.{_END}",
)

WORD_FIXES = (
    Fix(
        "sentence_stop",
        "abbreviations",
        # The stage takes one full stop away with the abbreviation: give it a second one.
        rewrite("|".join(f"(?:{stop})" for stop in _STOPS), lambda match: f"{match[0]}."),
        written="It weighs 80 kg. Ask the CEO. Ask Smith Jr.",
        released="It weighs eighty kilogram Ask the c e o Ask Smith junior",
        spoken="It weighs eighty kilogram. Ask the c e o. Ask Smith junior.",
    ),
    Fix(
        "street",
        "abbreviations",
        rewrite(
            r"(?<=[a-z]) St\b(?:\.?(?=[,;:?!)])|(\.?)(?=\s*\Z))",
            lambda match: f" street{match[1] or ''}",
        ),
        written="It is on Main St., near the corner of Third St.",
        released="It is on Main saint, near the corner of Third saint",
        spoken="It is on Main street, near the corner of Third street.",
    ),
    Fix(
        "minus",
        "abbreviations",
        rewrite(r"(?<![^\s(])(?<!\d\s)-(?=[$£€¥]?\.?\d)", lambda match: "minus "),
        written="It was -5 degrees.",
        released="It was -five degrees.",
        spoken="It was minus five degrees.",
    ),
    Fix(
        "ordinary_words",
        "abbreviations",
        _expand,
        written="They wed, and no gal came to mar it.",
        released="They wednesday, and no gallon came to march it.",
        spoken="They wed, and no gal came to mar it.",
        instead=True,
    ),
)
