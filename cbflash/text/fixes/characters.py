"""Fixes in front of Unicode normalisation."""

from __future__ import annotations

import re
import unicodedata

from cbflash.text.fixes.fix import Fix, rewrite

# Control characters, invisible format marks, halves of surrogate pairs.
_SILENT = {"Cc", "Cf", "Cs"}

VULGAR_FRACTIONS = {
    "½": "one half",
    "⅓": "one third",
    "⅔": "two thirds",
    "¼": "one quarter",
    "¾": "three quarters",
    "⅕": "one fifth",
    "⅖": "two fifths",
    "⅗": "three fifths",
    "⅘": "four fifths",
    "⅙": "one sixth",
    "⅚": "five sixths",
    "⅛": "one eighth",
    "⅜": "three eighths",
    "⅝": "five eighths",
    "⅞": "seven eighths",
}
POWERS = {"²": "squared", "³": "cubed"}
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_UNIT = r"(?:(?<=[\W\d][A-Za-z])|(?<=[\W\d](?:mm|cm|km|ft|in)))"
_LETTER = r"[^\W\d_]"


def _drop_silent(match: re.Match[str]) -> str:
    return "" if unicodedata.category(match[0]) in _SILENT else match[0]


def _say_fraction(match: re.Match[str]) -> str:
    words = VULGAR_FRACTIONS[match[2]]
    return f"{match[1]} and {words}" if match[1] else words


def _say_power(match: re.Match[str]) -> str:
    sign, digits = match[1] or "", match[2] or match[3]
    if not sign and digits in POWERS:
        return f" {POWERS[digits]}"
    plain = unicodedata.normalize("NFKC", digits)
    return f" to the power of {'minus ' if sign else ''}{plain}"


CHARACTER_FIXES = (
    Fix(
        "silent_characters",
        "characters",
        rewrite(r"[^\w\s!-~]", _drop_silent),
        written="Stop\x00 the zero\u200bwidth \ufeffmark.",
        released="Stop\x00 the zero\u200bwidth \ufeffmark.",
        spoken="Stop the zerowidth mark.",
    ),
    Fix(
        "foreign_digits",
        "characters",
        rewrite("[^\\D0-9]", lambda match: str(unicodedata.decimal(match[0]))),
        written="Call ٥٥٥-١٢٣٤ now.",
        released="Call ٥٥٥ - ١٢٣٤ now.",
        spoken="Call five five five, one two three four now.",
    ),
    Fix(
        "vulgar_fractions",
        "characters",
        rewrite(rf"(?:(?<![0-9])([0-9]+)\s?)?([{''.join(VULGAR_FRACTIONS)}])", _say_fraction),
        written="Add 2½ cups.",
        released="Add twenty one⁄two cups.",
        spoken="Add two and one half cups.",
    ),
    Fix(
        "superscripts",
        "characters",
        rewrite(rf"(?<=\d)(⁻?)([{_SUPERSCRIPTS}]+)|{_UNIT}([²³])", _say_power),
        written="10² is 100, 10⁶ a lot, and 5m² a room.",
        released="one hundred two is one hundred, one hundred six a lot, and fivemtwo a room.",
        spoken="ten squared is one hundred, ten to the power of six a lot, "
        "and five meters squared a room.",
    ),
    Fix(
        "unicode_hyphens",
        "characters",
        rewrite("[\u2010\u2011\u2212]", lambda match: "-"),
        written="a well\u2011known fact",
        released="a well\u2010known fact",
        spoken="a well known fact",
    ),
    Fix(
        "tight_dashes",
        "characters",
        rewrite(rf"(?<={_LETTER})(?:[\u2014\u2015]+|-{{2,}})(?={_LETTER})", lambda match: ", "),
        written="He stopped—then ran--fast.",
        released="He stopped then ran--fast.",
        spoken="He stopped, then ran, fast.",
    ),
)
