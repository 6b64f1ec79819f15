"""Cutting a long text into pieces that are spoken one after another.

A piece is a sentence. Where a sentence is longer than the budget it is cut at its clauses,
where that is not enough between words, and a single word only as a last resort.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from cbflash.errors import UsageError
from cbflash.text.breaks import Breaks, Span, find_breaks, span_around
from cbflash.text.pauses import LONGEST_PAUSE, find_pauses

PARAGRAPH_PAUSE = 0.4  # seconds; after a sentence the model makes its own
SHORT = 15  # characters; shorter sentences go with a neighbour, the model speaks them badly

Length = Callable[[str], int]

_SPACE = re.compile(r"\s*")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True)
class Piece:
    """A stretch of text to be spoken at once.

    text: `original[start:end]`, without white space at its ends; empty where a text begins
        with a pause.
    pause: seconds of silence wanted after it.
    """

    text: str
    start: int
    end: int
    pause: float = 0.0


def split(text: str, *, budget: int, length: Length = len) -> list[Piece]:
    """Pieces of at most `budget`, as `length` measures them, in order.

    The spans of the pieces leave out nothing but white space and pause tags. No cut falls
    into an event tag, a number or an abbreviation, unless that alone is over the budget.

    length: must not shrink as a text grows. A single character may be over the budget.

    Raises UsageError for a budget below one and for a pause that cannot be read.
    """
    if budget < 1:
        raise UsageError(f"A piece cannot have a length of {budget}.", "Use 1 or more.")
    pieces: list[Piece] = []
    start = 0
    for pause in find_pauses(text):
        ahead = _speech(text, (start, pause.start), budget, length)
        if ahead:
            pieces += [*ahead[:-1], replace(ahead[-1], pause=pause.seconds)]
        elif pieces:
            both = min(pieces[-1].pause + pause.seconds, LONGEST_PAUSE)
            pieces[-1] = replace(pieces[-1], pause=both)
        else:
            pieces.append(Piece("", pause.start, pause.start, pause.seconds))
        start = pause.end
    return pieces + _speech(text, (start, len(text)), budget, length)


def _speech(text: str, span: Span, budget: int, length: Length) -> list[Piece]:
    """The pieces of a stretch without pause tags."""
    pieces: list[Piece] = []
    for paragraph in _paragraphs(text, span):
        if pieces:
            pieces[-1] = replace(pieces[-1], pause=PARAGRAPH_PAUSE)
        breaks = find_breaks(text, paragraph)
        fits = _Fits(text, budget, length)
        for sentence in _join_short(fits, list(_cut_at(text, paragraph, breaks.sentences))):
            for start, end in _cut_to_budget(fits, sentence, breaks):
                pieces.append(Piece(text[start:end], start, end))
    return pieces


def _paragraphs(text: str, span: Span) -> Iterator[Span]:
    blanks = [match.start() for match in _BLANK_LINE.finditer(text, *span)]
    return _cut_at(text, span, blanks)


def _cut_at(text: str, span: Span, cuts: Iterable[int]) -> Iterator[Span]:
    """The parts of a span between cuts, without the white space around them."""
    start, end = span
    for cut in (*cuts, end):
        part = _trim(text, start, cut)
        if part:
            yield part
        start = cut


def _trim(text: str, start: int, end: int) -> Span | None:
    bare = text[start:end].strip()
    if not bare:
        return None
    first = text.index(bare[0], start)
    return first, first + len(bare)


@dataclass(frozen=True)
class _Fits:
    """Whether a span of the text is within the budget."""

    text: str
    budget: int
    length: Length

    def __call__(self, start: int, end: int) -> bool:
        return self.length(self.text[start:end]) <= self.budget


def _join_short(fits: _Fits, sentences: list[Span]) -> list[Span]:
    """Put short sentences in front of the next one, a short last one behind the one before."""
    joined: list[Span] = []
    for start, end in sentences:
        short = bool(joined) and joined[-1][1] - joined[-1][0] < SHORT
        if short and (fits(joined[-1][0], end) or not fits(start, end)):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    if len(joined) > 1 and joined[-1][1] - joined[-1][0] < SHORT:
        start, end = joined[-2][0], joined[-1][1]
        if fits(start, end):
            joined[-2:] = [(start, end)]
    return joined


def _cut_to_budget(fits: _Fits, span: Span, breaks: Breaks) -> Iterator[Span]:
    start, end = span
    while (reach := _reach(fits, start, end)) < end:
        cut = _best_cut(fits, start, reach, breaks)
        yield start, start + len(fits.text[start:cut].rstrip())
        space = _SPACE.match(fits.text, cut, end)
        start = space.end() if space else cut
    if start < end:
        yield start, end


def _reach(fits: _Fits, start: int, end: int) -> int:
    """The furthest offset up to which the text from `start` fits, at most `end`.

    Looks twice as far each time, then halves what is left: the work is that of the piece and
    not that of the text.
    """
    good, bad = start, start + fits.budget
    while bad < end and fits(start, bad):
        good, bad = bad, start + 2 * (bad - start)
    if bad >= end:
        if fits(start, end):
            return end
        bad = end
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(start, middle) else (good, middle)
    return good


def _best_cut(fits: _Fits, start: int, reach: int, breaks: Breaks) -> int:
    """The last clause that fits, else the last word, else as many characters as do."""
    for level in breaks.clauses, breaks.words:
        index = bisect_right(level, reach) - 1
        while index >= 0 and level[index] > start:
            if fits(start, level[index]):
                return level[index]
            index -= 1
    uncut = span_around(breaks.uncut, reach)
    if uncut and uncut[0] > start:
        return uncut[0]
    return max(reach, start + 1)
