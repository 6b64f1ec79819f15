"""Numbers of any shape and length, all in words."""

from __future__ import annotations

from cbflash.text.numbers import LONGEST, cardinal, spelled


def say_number(number: str) -> str:
    """ "3.14" -> "three point one four", ".5" -> "point five", "1.2.3" likewise.

    Whole numbers too long for a name are read digit by digit.
    """
    whole, *fractions = number.split(".")
    words = [say_whole(whole)] if whole else []
    for fraction in fractions:
        words += ["point", spelled(fraction)]
    return " ".join(words)


def say_whole(digits: str) -> str:
    return cardinal(digits) if len(digits.lstrip("0")) <= LONGEST else spelled(digits)


def say_year(year: str) -> str:
    """Four digits in pairs: "1984" -> "nineteen eighty four", "1900" -> "nineteen hundred"."""
    if year[1:3] == "00":
        return cardinal(year)
    if year[2:] == "00":
        return f"{cardinal(year[:2])} hundred"
    rest = f"oh {cardinal(year[3])}" if year[2] == "0" else cardinal(year[2:])
    return f"{cardinal(year[:2])} {rest}"
