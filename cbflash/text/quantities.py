"""Money, measures, ordinals, decimals and what other numbers are left, word by word.

As in the release, a quantity is read only where it fills a whole word, one of `.,?!` behind
it at most. Quantities are first taken apart with their numbers still in digits; then the
whole numbers of the text are said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

from cbflash.text.numbers import cardinal, ordinal

UNITS = {
    "ml": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "g": ("gram", "grams"),
    "kg": ("kilogram", "kilograms"),
    "mm": ("millimeter", "millimeters"),
    "cm": ("centimeter", "centimeters"),
    "km": ("kilometer", "kilometers"),
    "in": ("inch", "inches"),
    "ft": ("foot", "feet"),
    "l": ("liter", "liters"),
    "m": ("meter", "meters"),
    "yd": ("yard", "yards"),
    "yds": ("yard", "yards"),
}
SECONDS = ("second", "seconds")
CURRENCIES = {
    "$": ("dollar", "dollars"),
    "£": ("pound", "pounds"),
    "¥": ("yen", "yen"),
    "€": ("euro", "euros"),
}
MAGNITUDES = {"K": "thousand", "M": "million", "B": "billion", "T": "trillion"}

Say = Callable[[re.Match[str]], str]

_NUMBER = r"([0-9.]*[0-9])"
_STOP = r"([.,?!]?)"


def say_quantities(text: str) -> str:
    """ "$5.20, a 1.5kg 2nd" -> "five dollars, twenty cents, a one point five kilograms second"."""
    words = re.split(r"(\s+)", text)
    for index, word in enumerate(words):
        if any(map(str.isdigit, word)):
            words[index] = _take_apart(words, index)
    _say_integers(words)
    return "".join(words)


def _take_apart(words: list[str], index: int) -> str:
    word = words[index]
    millions = _MILLIONS.fullmatch("".join(words[index : index + 3]))
    if millions:
        words[index + 1 : index + 3] = "", ""
        return _say_large_money(millions)
    before = words[index - 2] if index > 1 and len(words[index - 1]) == 1 else ""
    for pattern, say in _RULES:
        match = pattern.fullmatch(word)
        if match and not (pattern is _DECIMAL and before.endswith("number")):
            return say(match)
    return word


def _say_large_money(match: re.Match[str]) -> str:
    sign, whole, tenths, magnitude, end = match.groups()
    number = f"{whole} point {' '.join(tenths)}" if tenths else whole
    return f"{number} {MAGNITUDES.get(magnitude, magnitude)} {CURRENCIES[sign][1]}{end}"


def _say_money(match: re.Match[str]) -> str:
    sign, whole, rest = match.groups()
    said = f"{whole} {CURRENCIES[sign][whole.strip('0') != '1']}"
    return f"{said} {rest.split('.')[1]}" if "." in rest else said


def _say_measure(match: re.Match[str]) -> str:
    number, unit, end = match.groups()
    one, many = UNITS.get(unit, SECONDS)
    if "." in number:
        whole, tenths = number.split(".")[:2]
        return f"{whole} point {''.join(f'{digit} ' for digit in tenths)}{many}{end}"
    return f"{number} {one if number == '1' else many}{end}"


def _say_percent(match: re.Match[str]) -> str:
    number, end = match.groups()
    return f"{number} {'%' if number == '1' else 'percent'}{end}"


def _say_dollars(match: re.Match[str]) -> str:
    dollars, cents, end = (part.lstrip("0") for part in match.groups(""))
    parts = []
    if dollars:
        parts.append(f"{dollars} {'dollar' if dollars == '1' else 'dollars'}")
    if cents:
        parts.append(f"{cents} {'cent' if cents == '1' else 'cents'}")
    return (", ".join(parts) or "zero dollars") + end


def _say_hash(match: re.Match[str]) -> str:
    number, end = match.groups()
    decimal = _DECIMAL.fullmatch(number)
    return f"number {_say_decimal(decimal) if decimal else number}{end}"


def _say_decimal(match: re.Match[str]) -> str:
    whole, fraction, end = match.groups()
    digits = " ".join("zero" if digit == "0" else digit for digit in fraction)
    return f"{whole} point {digits}{end}"
