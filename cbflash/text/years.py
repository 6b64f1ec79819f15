"""Thousands commas, and years that follow a word such as "in" or "since"."""

from __future__ import annotations

import re

from cbflash.text.numbers import cardinal

YEAR_WORDS = "to|years|year|from|after|before|by|until|in|since|around|circa|during"
_CURRENCY_SIGNS = "$£¥€₩₹₽฿₫₦₪₱₴"

# A number of at least three characters, the signs in front of it, the rest of its word.
_SIGNS = "[$|£¥€#(]"
_NUMBER = re.compile(rf"(?:\(?[A-Z]{{2,3}}|(?<!{_SIGNS}))({_SIGNS}*[0-9][0-9,.]+[0-9])(\S+)?")
_YEAR = re.compile(
    rf"({YEAR_WORDS})\s?(?<![|{_CURRENCY_SIGNS}])(1[1-9]|20)([0-9]{{2}})(\s?-|\D|$)", re.IGNORECASE
)


def drop_commas(text: str) -> str:
    """ "1,000 of US$2,500" -> "1000 of $2500".

    As in the release: only the first number of a word, every comma of it, and with them two or
    three capital letters in front.
    """
    return _NUMBER.sub(lambda m: m[1].replace(",", "") + (m[2] or ""), text)


def say_years(text: str) -> str:
    """ "from 1905-1912" -> "from 19 oh 5 to nineteen twelve"; digits that are left are said later.

    Two rounds, since a range is said from its first year on.
    """
    return _YEAR.sub(_say_year, _YEAR.sub(_say_year, text))


def _say_year(match: re.Match[str]) -> str:
    word, century, year, after = match.groups()
    if year[0] != "0":
        said = f"{cardinal(century)} {cardinal(year)}"
    elif century == "20":
        said = century + year
    else:
        said = f"{century} oh {year[-1]}"
    return f"{word} {said}{' to' if '-' in after else after}"
