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


def say_quantities(text: str) -> str:
    """ "the 2nd 1.5kg, $5" -> "the second one point five kilograms, five dollars"."""
    words = re.split(r"(\s+)", text)
    for index, word in enumerate(words):
        if any(map(str.isdigit, word)):
            _take_apart(words, index)
    _take_decimals_apart(words)
    _say_integers(words)
    return "".join(words)


def _take_apart(words: list[str], index: int) -> None:
    for count in 1, 3:
        millions = _MILLIONS.fullmatch("".join(words[index : index + count]))
        if millions:
            words[index : index + count] = [_say_millions(millions), *[""] * (count - 1)]
            return
    for pattern, say in _RULES:
        match = pattern.fullmatch(words[index])
        if match:
            words[index] = say(match)
            return


def _take_decimals_apart(words: list[str]) -> None:
    """As in the release, not those that come only with the word "number" in front."""
    bare = {match[2] for match in _BARE.finditer("".join(words)) if not match[1]}
    for index, word in enumerate(words):
        match = _DECIMAL.fullmatch(word) if word in bare else None
        if match:
            words[index] = _say_decimal(match)


def _say_millions(match: re.Match[str]) -> str:
    sign, number, letter, magnitude, end = match.groups()
    whole, point, tenths = number.partition(".")
    said = f"{whole} point {' '.join(tenths)}" if point else whole
    return f"{said} {MAGNITUDES[letter] if letter else magnitude} {CURRENCIES[sign][1]}{end}"


def _say_money(match: re.Match[str]) -> str:
    sign, number = match.groups()
    whole, *rest = number.split(".")
    return " ".join([whole, CURRENCIES[sign][whole.lstrip("0") != "1"], *rest[:1]])


def _say_dollars(match: re.Match[str]) -> str:
    dollars, cents = (part.lstrip("0") for part in match.groups("")[:2])
    parts = []
    if dollars:
        parts.append(f"{dollars} {'dollar' if dollars == '1' else 'dollars'}")
    if cents:
        parts.append(f"{cents} {'cent' if cents == '1' else 'cents'}")
    return (", ".join(parts) or "zero dollars") + match[3]


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


def _say_hash(match: re.Match[str]) -> str:
    decimal = _DECIMAL.fullmatch(match[1])
    return f"number {_say_decimal(decimal) if decimal else match[1]}"


def _say_decimal(match: re.Match[str]) -> str:
    whole, zeros, rest, end = match.groups()
    return f"{whole} point {' '.join(['zero'] * len(zeros) + list(rest))}{end}"


def _say_ordinal(match: re.Match[str]) -> str:
    return ordinal(match[1])


_NUMBER = "([0-9.]*[0-9])"
_STOP = "([.,?!]?)"
_MILLIONS = re.compile(r"\(?([$£¥€])([0-9]*\.?[0-9]+)(?:([BKMT])|\s([BMbmTtr]+illion))([.,?!)]*)")
_DECIMAL = re.compile(rf"([0-9]+)\.(?=[0-9])(0*)([0-9]*){_STOP}")
_BARE = re.compile(rf"(number\s)?([0-9]+\.[0-9]+{_STOP})")
_RULES: tuple[tuple[re.Pattern[str], Say], ...] = (
    (re.compile(r"\(?([£€])([0-9](?:[0-9.]*[0-9])?)[.,?!]?"), _say_money),
    (re.compile(r"\(?(¥)([0-9]+)[.,?!]?"), _say_money),
    (re.compile(r"\(?\$([0-9]*)(?:\.([0-9]+))?([.|,?!)]*)"), _say_dollars),
    (re.compile(rf"{_NUMBER}({'|'.join(UNITS)}|s[ecs]*){_STOP}"), _say_measure),
    (re.compile(rf"([0-9]{{1,3}}(?:,[0-9]{{3}})*)%{_STOP}"), _say_percent),
    (re.compile(rf"#([0-9]+(?:\.[0-9]+)?{_STOP})"), _say_hash),
    (re.compile("([0-9]+)(?:st|nd|rd|th)"), _say_ordinal),
)
_FIRST = re.compile(r"\d+")
_INTEGER = re.compile(f"([0-9]+){_STOP}")


def _say_integers(words: list[str]) -> None:
    """Say the whole numbers of a text, in place.

    The release goes through the numbers of the text and says each, its `.,?!` included, in
    every word that it is the first number of, and there wherever it stands: "1/12" becomes
    "one/one2". Here a list of words waits for each number. Words are only ever added to it,
    so that no number looks at the same word twice.
    """
    waiting: defaultdict[str, list[int]] = defaultdict(list)
    first: dict[int, str] = {}
    looked: defaultdict[str, int] = defaultdict(int)

    def wait(index: int) -> None:
        found = _FIRST.search(words[index])
        first[index] = found[0] if found else ""
        if found:
            waiting[found[0]].append(index)

    for index in range(len(words)):
        wait(index)
    for number, stop in _INTEGER.findall("".join(words)):
        queue = waiting[number]
        for index in queue[looked[number + stop] :]:
            if first[index] == number and number + stop in words[index]:
                words[index] = words[index].replace(number + stop, cardinal(number) + stop)
                wait(index)
        looked[number + stop] = len(queue)
