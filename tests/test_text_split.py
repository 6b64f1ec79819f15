"""Cutting text into pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbflash.errors import UsageError
from cbflash.text import Piece, split
from cbflash.text.pauses import PAUSE_TAG

WORDS = (
    *("Yes.", "No!", "It rained.", "Dr. Smith", "J. R. R. Tolkien", "e.g. this", "the U.S. Army"),
    *("a", "word", "clause,", "colon:", "semi;", "dash —", "tight—dash", "(aside)", '"Quote."'),
    *("3.14", "1,000", "$5 million", "[laughter]", "[pause 0.5s]", "etc.", "？", "…", "x" * 30),
    *("\n", "\n\n", " ", "  ", "\t", "[", "]", "So did I. Then"),
)
texts = st.one_of(
    st.text(st.characters(exclude_characters="[")),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
    st.lists(st.sampled_from(WORDS)).map("".join),
)


def spoken(text: str, budget: int = 200) -> list[str]:
    return [piece.text for piece in split(text, budget=budget)]


@given(text=texts, budget=st.integers(1, 80))
@example(text="Dr.  " * 9, budget=4)
def test_nothing_is_lost_and_nothing_is_over_budget(text: str, budget: int) -> None:
    done = 0
    for piece in split(text, budget=budget):
        assert piece.text == text[piece.start : piece.end] == piece.text.strip()
        assert len(piece.text) <= budget
        assert not PAUSE_TAG.sub("", text[done : piece.start]).strip()
        done = piece.end
    assert not PAUSE_TAG.sub("", text[done:]).strip()


@given(text=texts, budget=st.integers(1, 6))
def test_budget_in_words(text: str, budget: int) -> None:
    def count(part: str) -> int:
        return len(part.split())

    for piece in split(text, budget=budget, length=count):
        assert count(piece.text) <= budget


@given(
    text=st.lists(st.sampled_from(WORDS)).map(" ".join),
    budget=st.integers(41, 90),  # more than any of the words
)
def test_no_cut_inside_tags_numbers_and_names(text: str, budget: int) -> None:
    cuts = {piece.end for piece in split(text, budget=budget)}
    whole = r"\[laughter\]|3\.14|1,000|\$5 million|Dr\. Smith|J\. R\. R\. Tolkien|e\.g\.|U\.S\."
    for match in re.finditer(rf"(?<!\S)(?:{whole})(?!\S)", text):
        assert not any(match.start() < cut < match.end() for cut in cuts)


def test_one_piece_a_sentence() -> None:
    text = (
        'The rain had stopped. "Where is everybody?" she asked! '
        "(Nobody was left to answer.) “Gone…” It was over."
    )
    assert spoken(text) == [
        "The rain had stopped.",
        '"Where is everybody?" she asked!',
        "(Nobody was left to answer.)",
        "“Gone…” It was over.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Yesterday Dr. Smith met Mrs. J. R. R. Tolkien at St. James Park, No. 5.",
        "It costs 3.14 or 1,000.50 and $5.2 million e.g. in London.",
        "He served in the U.S. Army from Jan. 5 to Sept. 6 vs. Prof. Brown.",
        "The train leaves at 5 p.m. or not at all, they said... and left.",
        '"Is that really so?" he asked. ',
        "Use cbflash.text vs. example.org for all of it.",
    ],
)
def test_no_sentence_ends_here(text: str) -> None:
    assert spoken(text) == [text.strip()]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("So did I, and so did I. Then came the long rain.", 2),
        ("The plane left the country at 5 p.m. Nobody had noticed it.", 2),
        ("this is all in small letters. and so is this one here.", 2),
        ("We had bread, cheese, etc. Nobody complained about it.", 2),
        ("これは長い文章ですからここで切れます。これは長い文章ですからここで切れます。", 2),
        ("The first line of it\nis broken. The second one is not.", 2),
        ("It all ended in laughter. [laughter] and then there was more.", 1),
        ("It all ended in laughter. [laughter] Then there was more.", 2),
    ],
)
def test_sentence_ends(text: str, pieces: int) -> None:
    assert len(split(text, budget=200)) == pieces


def test_short_sentences_join_a_neighbour() -> None:
    assert spoken("Yes. No. I do not know what to say. Bye.") == [
        "Yes. No. I do not know what to say. Bye."
    ]
    assert spoken("Yes.\n\nI do not know what to say.") == ["Yes.", "I do not know what to say."]
    assert spoken("Yes. I do not know it all.", budget=22) == ["Yes.", "I do not know it all."]
    assert spoken("I do not know it all. Yes.", budget=22) == ["I do not know it all.", "Yes."]


def test_long_sentence_is_cut_at_clauses_then_words() -> None:
    text = "When the rain stopped, we walked; nobody said a word about anything at all"
    assert spoken(text, budget=40) == [
        "When the rain stopped, we walked;",
        "nobody said a word about anything at all",
    ]
    assert spoken(text, budget=25) == [
        "When the rain stopped,",
        "we walked;",
        "nobody said a word about",
        "anything at all",
    ]


@pytest.mark.parametrize("dash", [" - ", " — ", "—", " – ", "--"])
def test_dash_is_a_clause(dash: str) -> None:
    first, second = spoken(f"he walked on{dash}nobody followed", budget=18)
    assert (first, second) == (f"he walked on{dash}".strip(), "nobody followed")


def test_range_is_no_clause() -> None:
    assert spoken("the years of 1939–1945", budget=17) == ["the years of", "1939–1945"]


def test_long_word_is_cut_hard_but_not_its_tag() -> None:
    assert spoken("abcdefghij", budget=4) == ["abcd", "efgh", "ij"]
    assert spoken("abcdefg[sigh]h", budget=9) == ["abcdefg", "[sigh]h"]
    assert spoken("abc", budget=2) == ["ab", "c"]


def test_a_character_over_the_budget_is_still_a_piece() -> None:
    pieces = split("ab", budget=1, length=lambda part: 5)
    assert [piece.text for piece in pieces] == ["a", "b"]


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [
        ("[pause 0.8s]", 0.8),
        ("[pause:0.8]", 0.8),
        ("[pause 800ms]", 0.8),
        ("[PAUSE: .8 sec ]", 0.8),
        ("[pause 2]", 2.0),
        ("[pause 0]", 0.0),
        ("[pause 99s]", 30.0),
        ("[pause -1s]", 0.0),
    ],
)
def test_pause_is_that_of_the_piece_before(tag: str, seconds: float) -> None:
    first, second = split(f"Wait for it {tag} and there it is.", budget=200)
    assert (first.text, first.pause) == ("Wait for it", pytest.approx(seconds))
    assert (second.text, second.pause) == ("and there it is.", 0.0)


def test_pause_in_front_is_a_piece_of_its_own() -> None:
    first, second = split(" [pause 1s] Hello.", budget=200)
    assert first == Piece("", 1, 1, 1.0)
    assert second.text == "Hello."


def test_pauses_add_up_and_replace_that_of_a_paragraph() -> None:
    text = "The first one.\n\n[pause 20s][pause 1s]\n\nThe second one. [pause 29s] [pause 9s]"
    assert [piece.pause for piece in split(text, budget=200)] == [21.0, 30.0]


def test_paragraphs_pause() -> None:
    text = "The first part of it.\nStill the first one. \n \t\n The second part of it.\r\n\r\nEnd"
    pieces = split(text, budget=200)
    assert [(piece.text[:9], piece.pause) for piece in pieces] == [
        ("The first", 0.0),
        ("Still the", 0.4),
        ("The secon", 0.4),
        ("End", 0.0),
    ]


@pytest.mark.parametrize(
    "tag", ["[pause]", "[pause long]", "[pause 1,5s]", "[pause 1h]", "[pause:]", "[pause 1 2]"]
)
def test_pause_that_cannot_be_read(tag: str) -> None:
    with pytest.raises(UsageError, match=re.escape(tag)):
        split(f"Hello {tag} there.", budget=200)


def test_other_tags_are_no_pause() -> None:
    assert spoken("We [paused] it [laughter] here.") == ["We [paused] it [laughter] here."]


@pytest.mark.parametrize("text", ["", " ", "\n\n \n"])
def test_nothing_to_say(text: str) -> None:
    assert split(text, budget=10) == []


def test_budget_must_be_positive() -> None:
    with pytest.raises(UsageError, match="length of 0"):
        split("Hello.", budget=0)


@pytest.mark.parametrize("text", ["word " * 40_000, "x" * 200_000, "a, " * 60_000, "Hi. " * 50_000])
def test_work_grows_with_the_text_alone(text: str) -> None:
    measured = 0

    def length(part: str) -> int:
        nonlocal measured
        measured += len(part)
        return len(part)

    split(text, budget=100, length=length)
    assert measured < 25 * len(text)
