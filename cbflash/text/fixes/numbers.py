"""Fixes in front of the commas, the years and the quantities.

The released rules read only what fills a whole word, and say a number wherever its digits
stand. These read each number where it is.
"""

from __future__ import annotations

import re

from cbflash.text.fixes.fix import Fix, apart, rewrite
from cbflash.text.fixes.money import say_money
from cbflash.text.fixes.say import say_number, say_whole
from cbflash.text.numbers import TENS, cardinal, ordinal
from cbflash.text.quantities import SECONDS, UNITS
from cbflash.text.years import YEAR_WORDS

_START = r"(?<!\d)(?<!\d\.)"
_NUMBER = rf"{_START}(\d+(?:\.\d+)*|(?<![\w.])\.\d+)"
_SECONDS = dict.fromkeys(("s", "sec", "secs"), SECONDS)
_MEASURES = UNITS | _SECONDS
_MEASURE = rf"(?<![A-Za-z]){_NUMBER}({'|'.join(_MEASURES)})(?![A-Za-z\d])"

FRACTIONS = {
    "2": ("half", "halves"),
    "3": ("third", "thirds"),
    "4": ("quarter", "quarters"),
    "5": ("fifth", "fifths"),
    "6": ("sixth", "sixths"),
    "8": ("eighth", "eighths"),
    "16": ("sixteenth", "sixteenths"),
}


def _drop_grouping(match: re.Match[str]) -> str:
    number = match[0].replace(",", "")
    # Four digits in a row could be taken for a year.
    alone = re.match(r"(?![\w%]|\.\d)", match.string[match.end() : match.end() + 2])
    signed = match.start() and match.string[match.start() - 1] in "$£¥€#"
    return cardinal(number) if alone and not signed and len(number) == 4 else number


def _say_century(match: re.Match[str]) -> str:
    before, century, dash = match.groups("")
    return apart(match, f"{before}{cardinal(century)} hundred{' to' if dash else ''}")


# Two rounds: the second year of a range is found behind the first.
_say_centuries = rewrite(
    rf"((?:{YEAR_WORDS})\s?(?:[12]\d{{3}}\s?-\s?)?)(1[1-9])00(?![\d%]|\.\d)(\s?-)?",
    _say_century,
    ignore_case=True,
)


def _say_decade(match: re.Match[str]) -> str:
    century, ten = match.groups()
    if century == "20" and ten == "0":
        return apart(match, "two thousands")
    return apart(match, f"{cardinal(century)} {_tens(ten) if ten != '0' else 'hundreds'}")


def _tens(ten: str) -> str:
    return "tens" if ten == "1" else TENS[int(ten)].removesuffix("y") + "ies"


def _say_no_year(match: re.Match[str]) -> str:
    before, number, unit = match.groups()
    if unit in _MEASURES:
        return f"{before}{say_number(number)} {_MEASURES[unit][1]}"
    return f"{before}{say_number(number)}{' percent' if unit else ''}"


def _say_measure(match: re.Match[str]) -> str:
    number, unit = match.groups()
    return apart(match, f"{say_number(number)} {_MEASURES[unit][number != '1']}")


def _say_fraction(match: re.Match[str]) -> str:
    whole, count, part = match.groups()
    if int(count) >= int(part) or count == "0":
        return match[0]
    words = f"{cardinal(count)} {FRACTIONS[part][count != '1']}"
    return apart(match, f"{say_whole(whole)} and {words}" if whole else words)


COMMA_FIXES = (
    Fix(
        "currency_code",
        "commas",
        rewrite(r"(?<![A-Za-z])[A-Z]{1,3}(?=[$£¥€]\d)", lambda match: ""),
        written="It costs US$5 now.",
        released="It costs US$five now.",
        spoken="It costs five dollars now.",
    ),
    Fix(
        "capitals_kept",
        "commas",
        rewrite(r"(?<=[A-Z][A-Z])(?=[(#|]*\d[\d,.]+\d)", lambda match: " "),
        written="It has an RTX4090.",
        released="It has an four thousand ninety.",
        spoken="It has an RTX four thousand ninety.",
    ),
    Fix(
        "thousands",
        "commas",
        rewrite(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!,?\d)", _drop_grouping),
        written="Up to 1,905, 1,000/2,000 a day.",
        released="Up to nineteen oh five, one thousand/two,zero a day.",
        spoken="Up to one thousand nine hundred five, one thousand/two thousand a day.",
    ),
    Fix(
        "comma_lists",
        "commas",
        rewrite(r"(?<=\d),(?=\d)", lambda match: ", "),
        written="Count 1,2,3 now.",
        released="Count one hundred twenty three now.",
        spoken="Count one, two, three now.",
    ),
)
YEAR_FIXES = (
    Fix(
        "decades",
        "years",
        rewrite(r"(?<![\d$£¥€.])(1[1-9]|20)(\d)0'?s\b", _say_decade),
        written="In the 1980s, the 1900s.",
        released="In the one thousand nine hundred eighty seconds, the nineteen hundred seconds.",
        spoken="In the nineteen eighties, the nineteen hundreds.",
    ),
    Fix(
        "short_decades",
        "years",
        rewrite(
            r"(\b(?:the|early|mid|late)\s'?|(?<!\w)['’‘])([2-9])0'?s\b",
            lambda match: match[1].rstrip("'’‘") + _tens(match[2]),
            ignore_case=True,
        ),
        written="Songs of the 80s and the late '90s.",
        released="Songs of the eighty seconds and the late 'ninetys.",
        spoken="Songs of the eighties and the late nineties.",
    ),
    Fix(
        "not_a_year",
        "years",
        rewrite(
            rf"((?:{YEAR_WORDS})\s?)((?:1[1-9]|20)\d\d(?:\.\d+)?)"
            rf"((?-i:{'|'.join(_MEASURES)}|%)(?![\w%])|(?<=\.\d)(?![\w%]))",
            _say_no_year,
            ignore_case=True,
        ),
        written="He ran from 1500m to 1905.5 in all.",
        released="He ran from fifteen oh zero meters to nineteen oh five point five in all.",
        spoken="He ran from fifteen hundred meters to one thousand nine hundred five point five "
        "in all.",
    ),
    Fix(
        "century_years",
        "years",
        lambda text: _say_centuries(_say_centuries(text)),
        written="It was built in 1900.",
        released="It was built in nineteen oh zero.",
        spoken="It was built in nineteen hundred.",
    ),
)
QUANTITY_FIXES = (
    Fix(
        "money",
        "quantities",
        say_money,
        written="It cost $5.50 (or £5), $2 million; not $5k.",
        released="It cost five dollars, five0 cents (or £five), two dollars million; not $fivek.",
        spoken="It cost five dollars, fifty cents (or five pounds), two million dollars; "
        "not five thousand dollars.",
    ),
    Fix(
        "percent",
        "quantities",
        rewrite(rf"{_NUMBER}\s?%", lambda match: apart(match, f"{say_number(match[1])} percent")),
        written="From 1% to 1.5% and 1000%.",
        released="From one % to one.five% and one thousand%.",
        spoken="From one percent to one point five percent and one thousand percent.",
    ),
    Fix(
        "number_signs",
        "quantities",
        rewrite(r"#(\d+(?:\.\d+)*)", lambda match: apart(match, f"number {say_number(match[1])}")),
        written="We are (#1)!",
        released="We are (#one)!",
        spoken="We are (number one)!",
    ),
    Fix(
        "ordinals",
        "quantities",
        rewrite(
            r"(?<!\d)(\d+)(?:st|nd|rd|th)(?![A-Za-z])",
            lambda match: apart(match, ordinal(match[1])),
            ignore_case=True,
        ),
        written="On the 21st: the 5th, the 2nd.",
        released="On the twenty onest: the fiveth, the twond.",
        spoken="On the twenty first: the fifth, the second.",
    ),
    Fix(
        "measures",
        "quantities",
        rewrite(_MEASURE, _say_measure),
        written="He ran it in 9.58s; she jumped (2m).",
        released="He ran it in nine.fifty eights; she jumped (twom).",
        spoken="He ran it in nine point five eight seconds; she jumped (two meters).",
    ),
    Fix(
        "fractions",
        "quantities",
        rewrite(
            rf"(?<![\d/.])(?:(\d+) )?(?<![\d/.])(\d{{1,2}})/({'|'.join(FRACTIONS)})(?![\d/]|\.\d)",
            _say_fraction,
        ),
        written="Take 2 1/2 or 3/4 of it.",
        released="Take two one/two or three/four of it.",
        spoken="Take two and one half or three quarters of it.",
    ),
    Fix(
        "decimals",
        "quantities",
        rewrite(
            rf"{_START}\d+(?:\.\d+)+|(?<![\w.])\.\d+",
            lambda match: apart(match, say_number(match[0])),
        ),
        written="Pi (3.14), version 1.2.3.",
        released="Pi (three.fourteen), version one.two.three.",
        spoken="Pi (three point one four), version one point two point three.",
    ),
    Fix(
        "whole_numbers",
        "quantities",
        rewrite(r"[0-9]+", lambda match: apart(match, say_whole(match[0]))),
        written="An MP3 in 1/12 of 12345678901234567890.",
        released="An MPthree in one/one2 of 12345678901234567890.",
        spoken="An MP three in one/twelve of one two three four five six seven eight nine zero "
        "one two three four five six seven eight nine zero.",
    ),
)
