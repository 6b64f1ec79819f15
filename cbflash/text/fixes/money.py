"""Money, wherever it stands in a word."""

from __future__ import annotations

import re

from cbflash.text.fixes.fix import apart, rewrite
from cbflash.text.fixes.say import say_number, say_whole
from cbflash.text.quantities import CURRENCIES

_CENTS = {"$": ("cent", "cents"), "£": ("penny", "pence"), "€": ("cent", "cents")}
_SHORT = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
    "tn": "trillion",
}
_MONEY = (
    r"([$£¥€]) ?(?=\.?\d)(\d*)(?:\.(\d+))?"
    rf"(?:( ?(?:thousand|[mbtr]+illion)|{'|'.join(_SHORT)})(?![A-Za-z]))?"
)


def _say(match: re.Match[str]) -> str:
    sign, whole, fraction, scale = match.groups("")
    one, many = CURRENCIES[sign]
    if scale:
        scale = scale.strip().lower()
        number = say_number(f"{whole}.{fraction}" if fraction else whole)
        return apart(match, f"{number} {_SHORT.get(scale, scale)} {many}")
    if fraction and (sign not in _CENTS or len(fraction) > 2):
        return apart(match, f"{say_number(f'{whole}.{fraction}')} {many}")
    coins = int(fraction.ljust(2, "0") or "0")
    whole = whole.lstrip("0")
    notes = f"{say_whole(whole)} {one if whole == '1' else many}"
    if not coins:
        return apart(match, notes)
    cents = say_whole(str(coins))
    if not whole:
        return apart(match, f"{cents} {_CENTS[sign][coins != 1]}")
    return apart(
        match, f"{notes}, {cents} {_CENTS[sign][coins != 1]}" if sign == "$" else f"{notes} {cents}"
    )


say_money = rewrite(_MONEY, _say, ignore_case=True)
