"""Where an English text may be cut: behind sentences, clauses and words."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]

_TITLES = "Mr|Mrs|Ms|Dr|Drs|Prof|St|Mt|Ft|Rev|Hon|Gen|Col|Maj|Capt|Lt|Sgt|Sen|Rep|Gov|Pres|Messrs"
_SHORT_WORDS = (
    "vs|cf|approx|Vol|Fig|Figs|Ch|Sec|Eq|Ph\\.D|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
)

# What is never cut. An abbreviation takes the space behind it along, and with that the next
# word; so do initials, but "I" only in front of another one.
_UNCUT = re.compile(
    rf"""
      \[[^\[\]\n]{{1,40}}\]                                    # [laughter]
    | \b(?![ap]\.m\.)(?:[A-Za-z]\.){{2,}}(?:\s+(?=\S))?        # e.g. U.S.
    | \b(?:{_TITLES}|{_SHORT_WORDS})\.\s+(?=\S)                # Dr. Smith
    | \bNo\.\s+(?=\d)                                          # No. 5
    | \b(?:[A-HJ-Z]|I(?=\.\s+[A-Z]\.))\.\s+(?=\S)              # J. R. R. Tolkien
    | [$£€¥]?\d+(?:[.,:/-]\d+)*                                # 3.14, 1,000
      (?:\s(?:thousand|[bmtr]+illion|[AaPp]\.?[Mm]\b))?        # $5 million, 5 pm
    """,
    re.VERBOSE,
)
_CLOSING = r"""["'”’»)\]}]*+"""
_STOP = rf"(?<![.!?…])[.!?…]++{_CLOSING}(?=\s|\Z)|[。！？]++{_CLOSING}"
_SENTENCE = re.compile(_STOP)
_CLAUSE = re.compile(
    rf"{_STOP}|[,;:]++{_CLOSING}(?=\s)|(?<=\s)-++(?=\s)|(?:[—–―]|--)++(?!\d)|[，、；：]"
)
_SPACE = re.compile(r"\s+")
# What may stand between a sentence and the first letter of the next.
_OPENING = re.compile(r"""(?:\[\w+\]|[\s"'“‘«(\[¿¡–—-])*+""")


@dataclass(frozen=True)
class Breaks:
    """Offsets at which a paragraph may be cut, in order; a cut falls in front of the space.

    uncut: spans without a cut.
    """

    sentences: Sequence[int]
    clauses: Sequence[int]
    words: Sequence[int]
    uncut: Sequence[Span]


def find_breaks(text: str, span: Span) -> Breaks:
    """The breaks of the paragraph `text[slice(*span)]`."""
    uncut = [match.span() for match in _UNCUT.finditer(text, *span)]

    def breaks(pattern: re.Pattern[str]) -> list[int]:
        stops = (match.end() for match in pattern.finditer(text, *span))
        return [stop for stop in stops if span_around(uncut, stop) is None]

    words = (match.start() for match in _SPACE.finditer(text, *span))
    return Breaks(
        sentences=_sentence_breaks(text, span, breaks(_SENTENCE)),
        clauses=breaks(_CLAUSE),
        words=[word for word in words if span_around(uncut, word) is None],
        uncut=uncut,
    )


def span_around(spans: Sequence[Span], offset: int) -> Span | None:
    """The one of the ordered spans that a cut at `offset` would fall into."""
    index = bisect_left(spans, (offset, offset)) - 1
    if index >= 0 and spans[index][0] < offset < spans[index][1]:
        return spans[index]
    return None


def _sentence_breaks(text: str, span: Span, stops: list[int]) -> list[int]:
    """A sentence begins with no small letter, unless the whole paragraph has no capital."""
    start, end = span
    if not any(map(str.isupper, text[start:end])):
        return stops
    return [stop for stop in stops if not _first_letter(text, stop, end).islower()]


def _first_letter(text: str, start: int, end: int) -> str:
    opening = _OPENING.match(text, start, end)
    begin = opening.end() if opening else start
    return text[begin : min(begin + 1, end)]
