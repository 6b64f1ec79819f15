"""Whole numbers as English words. Numbers come as strings of ASCII digits, of any length."""

from __future__ import annotations

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
LONGEST = 3 * len(SCALES)  # digits of the longest number that has a name

ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(digits: str) -> str:
    """ "1500" -> "fifteen hundred", "2024" -> "two thousand twenty four".

    Round hundreds below three thousand are said in hundreds. A number too long for a name
    comes back in digits, without its leading zeros (the released rule).
    """
    digits = digits.lstrip("0")
    if len(digits) > LONGEST:
        return digits
    value = int(digits or "0")
    if value == 0:
        return SMALL[0]
    if value < 3000 and value % 100 == 0 and value % 1000 != 0:
        return f"{counted(value // 100)} hundred"
    return counted(value)


def counted(value: int) -> str:
    """The words of 0 <= value < 10**18 group by group; nothing at all for zero."""
    words: list[str] = []
    for power in range(len(SCALES) - 1, -1, -1):
        group = value // 1000**power % 1000
        if group:
            words += [*_below_thousand(group), SCALES[power]]
    return " ".join(word for word in words if word)


def _below_thousand(value: int) -> list[str]:
    hundreds, rest = divmod(value, 100)
    words = [SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= len(SMALL):
        words.append(TENS[rest // 10])
        rest %= 10
    return [*words, SMALL[rest]] if rest else words


def ordinal(digits: str) -> str:
    """ "21" -> "twenty first"."""
    *front, last = cardinal(digits).split(" ")
    if last.endswith("ty"):
        last = last.removesuffix("y") + "ieth"
    else:
        last = ORDINALS.get(last, last + "th")
    return " ".join([*front, last])


def spelled(digits: str) -> str:
    """Digit by digit: "1905" -> "one nine zero five"."""
    return " ".join(SMALL[int(digit)] for digit in digits)
