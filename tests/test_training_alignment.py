"""Which letter a token is spoken in: the best path through a text is found, and shared out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cbflash.errors import UsageError
from training.alignment import align, read_alignment
from training.letters import BLANK

Array = npt.NDArray[np.int64]


def log_probs(tokens: str, sure: float = 0.9) -> npt.NDArray[np.float64]:
    """Log probabilities [T, 4] of "." for nothing, a, b and c, as a head would have them."""
    found = np.full((len(tokens), 4), (1 - sure) / 3)
    found[np.arange(len(tokens)), [".abc".index(one) for one in tokens]] = sure
    return np.log(found)


def ids(text: str) -> Array:
    return np.array([".abc".index(one) for one in text])


@pytest.mark.parametrize(
    ("tokens", "text", "places"),
    [
        ("a.b..c", "abc", [0, 1, 1, 1, 2, 2]),
        ("....ab", "ab", [0, 0, 0, 0, 0, 1]),
        ("ab....", "ab", [0, 1, 1, 1, 1, 1]),
        ("aaa..b", "ab", [0, 0, 0, 1, 1, 1]),
        ("a.a.", "aa", [0, 1, 1, 1]),
        ("......", "a", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_a_token_belongs_to_the_letter_that_is_named_nearest(
    tokens: str, text: str, places: list[int]
) -> None:
    assert align(log_probs(tokens), ids(text)).tolist() == places


def best_path(scores: npt.NDArray[np.float64], letters: Array) -> float:
    """Of all paths there are, the log probability of the likeliest that says the letters."""
    tokens, vocabulary = scores.shape
    best = -np.inf
    for path in itertools.product(range(vocabulary), repeat=tokens):
        said = [one for one, _ in itertools.groupby(path) if one != BLANK]
        if said == letters.tolist():
            best = max(best, scores[np.arange(tokens), path].sum())
    return best


@pytest.mark.parametrize("text", ["a", "ab", "aab", "cbc"])
@pytest.mark.parametrize("seed", range(8))
def test_letters_are_named_where_the_likeliest_path_names_them(text: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.log(rng.dirichlet(np.full(4, 0.5), 6))
    places = align(scores, ids(text))
    assert (places[0], places[-1]) == (0, len(text) - 1)
    assert set(np.diff(places)) <= {0, 1}
    # Of all ways to name each letter in a token of its own, ours is on a path as likely.
    wanted = best_path(scores, ids(text))
    found = max(
        held(scores, ids(text), named)
        for named in itertools.combinations(range(6), len(text))
        if shared(named).tolist() == places.tolist()
    )
    assert found == pytest.approx(wanted)


def shared(named: tuple[int, ...]) -> Array:
    """The nearest of the tokens that name letters, the later of two as near."""
    distances = np.abs(np.arange(6)[:, None] - np.array(named)[::-1])
    found: Array = len(named) - 1 - distances.argmin(axis=1)
    return found


def held(scores: npt.NDArray[np.float64], letters: Array, named: tuple[int, ...]) -> float:
    """The likeliest path that names each letter in its token, or in neighbours of it too."""
    held = scores.copy()
    for letter, token in zip(letters, named, strict=True):
        held[token, np.arange(4) != letter] = -np.inf
    return best_path(held, letters)


def test_of_tokens_that_name_a_letter_the_surest_counts() -> None:
    scores = log_probs("aa..b")
    scores[0] = np.log([0.02, 0.6, 0.2, 0.18])
    assert align(scores, ids("ab")).tolist() == [0, 0, 0, 1, 1]
    assert align(scores[[1, 0, 2, 3, 4]], ids("ab")).tolist() == [0, 0, 1, 1, 1]


def test_too_many_letters_are_spread_evenly() -> None:
    assert align(log_probs("..."), ids("abcabc")).tolist() == [0, 2, 4]
    # Two of one kind need nothing between them.
    assert align(log_probs("..."), ids("aab")).tolist() == [0, 1, 2]


def test_places_are_the_codecs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"alignment\.npy is missing.*training\.codec"):
        read_alignment(tmp_path)
    (tmp_path / "codec").mkdir()
    np.save(tmp_path / "codec" / "alignment.npy", np.arange(5, dtype=np.uint16))
    assert read_alignment(tmp_path).tolist() == [0, 1, 2, 3, 4]
