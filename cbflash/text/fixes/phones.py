"""Fixes in front of the telephone numbers."""

from __future__ import annotations

import re

from cbflash.text.fixes.fix import Fix, rewrite
from cbflash.text.fixes.say import say_number, say_year
from cbflash.text.numbers import ordinal
from cbflash.text.phones import is_phone, say_phone

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_DATE = r"(?<![\d-])(?<!- )([12]\d{3}) - (0?[1-9]|1[0-2]) - (0?[1-9]|[12]\d|3[01])(?! ?-)(?!\d)"
_ITEM = r"\d+(?:\.\d+)?"
_LIST = rf"(?<![\w.,:/$£¥€#+(\[-])(?<!- ){_ITEM}(?:\.{{0,3}} {_ITEM})*(?![\w%/)\]]|[.,:-]\d| - \d)"
_YEAR = re.compile(r"1[1-9]\d\d|20\d\d")
_PHONE = r"(?<![\w.,:/%$£¥€#-])[+(\[]{0,2}\d(?:[\d ()+\[\]-]|\.(?=\d))*\d(?![\w/%]|[.,:-]\d| - \d)"


def _say_date(match: re.Match[str]) -> str:
    year, month, day = match.groups()
    return f"{_MONTHS[int(month) - 1]} {ordinal(day)}, {say_year(year)}"


def _say_list(match: re.Match[str]) -> str:
    items = match[0].split(" ")
    numbers = [item.rstrip(".") for item in items]
    if not is_phone(match[0]) or not _is_list(numbers):
        return match[0]
    said = (say_year(n) if _YEAR.fullmatch(n) else say_number(n) for n in numbers)
    dots = (item[len(number) :] for item, number in zip(items, numbers, strict=True))
    return " ".join(word + dot for word, dot in zip(said, dots, strict=True))


def _is_list(numbers: list[str]) -> bool:
    """Whether numbers are counts and not the parts of one telephone number."""
    if any(number[0] == "0" and "." not in number for number in numbers):
        return False
    if len(numbers) == 1:
        return len(numbers[0]) == 6 or numbers[0].endswith("000")
    return all(map(_YEAR.fullmatch, numbers)) or all(
        len(number) <= 2 or "." in number for number in numbers[1:]
    )


def _say_phone(match: re.Match[str]) -> str:
    number = match[0]
    return number if number.isdigit() or not is_phone(number) else say_phone(number)


PHONE_FIXES = (
    Fix(
        "dates",
        "phones",
        rewrite(_DATE, _say_date),
        written="It opened on 2024-01-15 in Rome.",
        released="It opened on two zero two four, zero one, one five in Rome.",
        spoken="It opened on january fifteenth, twenty twenty four in Rome.",
    ),
    Fix(
        "counts",
        "phones",
        rewrite(_LIST, _say_list),
        written="Of 100000 people 10 20 30 came.",
        released="Of one zero, zero zero zero zero people one zero, two zero, three zero came.",
        spoken="Of one hundred thousand people ten twenty thirty came.",
    ),
    Fix(
        "phone_before_stop",
        "phones",
        rewrite(_PHONE, _say_phone),
        written="Call 555-1234. Now!",
        released="Call five hundred fifty five - one thousand two hundred thirty four. Now!",
        spoken="Call five five five, one two three four. Now!",
    ),
)
