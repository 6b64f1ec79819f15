"""The normaliser: equal to the release where asked, right where the release is wrong."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbflash.text import is_speakable, normalise
from cbflash.text.abbreviations import EXPANSIONS, ORDER
from cbflash.text.clean import STAGES, run_stages
from cbflash.text.fixes import FIXES, Fix
from cbflash.text.numbers import cardinal, ordinal

GOLDEN: dict[str, list[dict[str, str]]] = json.loads(
    (Path(__file__).parent / "golden" / "text.json").read_text("utf-8")
)
PAIRS = [(row["input"], row["output"]) for rows in GOLDEN.values() for row in rows]
names = pytest.mark.parametrize("fix", FIXES, ids=lambda fix: fix.name)

# Pieces that mean something to a stage or a fix, to be put together in any way.
PIECES = (
    *(
        "$",
        "£",
        "¥",
        "€",
        "#",
        "%",
        "(",
        ")",
        ".",
        ",",
        ":",
        ";",
        "-",
        "–",
        "—",
        "/",
        "'",
        "[",
        "+",
    ),
    *("0", "5", "00", "12", "1900", "2005", "1,000", "3.14", "555-1234", "1e5", "½", "²", "٣", "①"),
    *("st", "th", "kg", "s", "m", "M", "bn", " million", "am", " p.m.", "in ", "since ", "to "),
    *("Dr.", "St.", "e.g.", "etc.", "AI", "USD", "mar", "the ", "a", "\x00", "\u200b", "🙂", "\n"),
)
texts = st.one_of(st.text(), st.lists(st.sampled_from((*PIECES, " ")), max_size=14).map("".join))


def without(fix: Fix, text: str) -> str:
    return run_stages(text, [other for other in FIXES if other is not fix])


@pytest.mark.parametrize("kind", GOLDEN)
def test_released_form_is_the_release(kind: str) -> None:
    for row in GOLDEN[kind]:
        assert normalise(row["input"], released=True) == row["output"]


def test_golden_list_is_long_enough() -> None:
    assert len(PAIRS) >= 800


@names
def test_example_of_fix(fix: Fix) -> None:
    assert normalise(fix.written, released=True) == fix.released
    assert normalise(fix.written) == fix.spoken


@names
def test_fix_is_needed_for_its_example(fix: Fix) -> None:
    assert without(fix, fix.written) != fix.spoken


def test_fixes_are_named_once_and_know_their_stage() -> None:
    assert len({fix.name for fix in FIXES}) == len(FIXES)
    assert {fix.stage for fix in FIXES} <= set(STAGES)


def test_every_golden_difference_is_due_to_a_fix() -> None:
    different = [(text, released) for text, released in PAIRS if normalise(text) != released]
    assert len(different) > 100
    for text, _ in different:
        assert any(without(fix, text) != normalise(text) for fix in FIXES), text


def test_plain_text_is_the_same_in_both_forms() -> None:
    for row in GOLDEN["plain"]:
        assert normalise(row["input"]) == row["output"]


def test_numbers_the_release_says_right_stay() -> None:
    simple = [row for row in GOLDEN["numbers"] if re.fullmatch(r"It is \d{1,5}\W?", row["input"])]
    assert len(simple) > 20
    for row in simple:
        assert normalise(row["input"]) == row["output"]


@given(texts)
@example("£.5 and -123456 and $1,000$1,000")  # the release raises on each
@example("9" * 5000 + "." + "9" * 5000)
@example("\ud800")
def test_default_form_leaves_no_digit(text: str) -> None:
    assert not any(map(str.isdecimal, normalise(text)))


@given(texts)
def test_released_form_does_not_raise(text: str) -> None:
    assert "\n" not in normalise(text, released=True)


@given(texts)
def test_silent_characters_are_gone(text: str) -> None:
    categories = {unicodedata.category(character) for character in normalise(text)}
    assert not categories & {"Cc", "Cf", "Cs"}


@given(
    st.lists(st.sampled_from(("well", "She", "went,", "home;", "[laughter]", "No!")), min_size=1)
)
def test_words_are_left_alone(words: list[str]) -> None:
    text = " ".join(words)
    assert normalise(text) == normalise(text, released=True) == text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("from 1850-1900", "from eighteen fifty to nineteen hundred"),
        ("the years 1800–1900", "the years eighteen hundred to nineteen hundred"),
        ("at 3 p.m. Monday", "at three PM Monday"),
        ("at 3 p.m. He left", "at three PM. He left"),
        ("MP3s", "MP three s"),
        ("$0.05", "five cents"),
        ("£0.01", "one penny"),
        ("$1.5bn", "one point five billion dollars"),
        ("192.168.1.1", "one nine two, one six eight, one, one"),
        ("24/7", "twenty four/seven"),
        ("074-4694-708: yes", "zero seven four, four six nine four, seven zero eight: yes"),
        ("the 1st/2nd", "the first/second"),
        ("to 1500M", "to fifteen hundred M"),
        ("Gen. Gal", "general Gal"),
        ("5 gal of it", "five gallon of it"),
        ("St. Louis", "saint Louis"),
        ("a" * 3 + "\ufeff\x07b", "aaab"),
    ],
)
def test_default_form(text: str, spoken: str) -> None:
    assert normalise(text) == spoken


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("000", "zero"),
        ("15", "fifteen"),
        ("1500", "fifteen hundred"),
        ("3100", "three thousand one hundred"),
        ("1000001", "one million one"),
        ("999999999999999999", None),
        ("0001000000000000000000", "1000000000000000000"),
    ],
)
def test_cardinal(digits: str, words: str | None) -> None:
    if words is None:
        assert cardinal(digits).count("nine hundred ninety nine") == 6
    else:
        assert cardinal(digits) == words


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("1", "first"),
        ("12", "twelfth"),
        ("20", "twentieth"),
        ("53", "fifty third"),
        ("0", "zeroth"),
    ],
)
def test_ordinal(digits: str, words: str) -> None:
    assert ordinal(digits) == words


def test_every_abbreviation_has_its_turn() -> None:
    assert sorted(ORDER.split()) == sorted(EXPANSIONS)


@pytest.mark.parametrize("text", ["Hi", "5", "é", "½", "[laughter]", "…ok", "日本"])
def test_speakable(text: str) -> None:
    assert is_speakable(text)


@pytest.mark.parametrize("text", ["", " \n\t", "🙂", "?!...", "$%&", "— « »", "\x00\u200b"])
def test_not_speakable(text: str) -> None:
    assert not is_speakable(text)
