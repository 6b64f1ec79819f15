"""Forced alignment, which letter a token is spoken in: the codec's letters (CTC) held against the
known text.

A head that was trained by CTC names each letter in one token and says nothing in the others. The
best path through a text that is known (Viterbi) tells in which token each letter is named; every
token belongs to the letter that is named nearest to it.

Shapes: T tokens, V vocabulary, n letters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbflash.errors import UsageError
from training.letters import BLANK

Array = npt.NDArray[Any]


def align(log_probs: Array, letters: Array) -> Array:
    """For each token the place [T] of its letter in the text.

    log_probs: [T, V], those of `BLANK` for nothing; letters: ids [n], at least one.
    Where there are more letters than tokens can name, letters are spread evenly.
    """
    if len(letters) + int((letters[1:] == letters[:-1]).sum()) > len(log_probs):
        return np.arange(len(log_probs)) * len(letters) // len(log_probs)
    named = _named(log_probs, letters)
    middles = (named[1:] + named[:-1] + 1) // 2  # from here on a token is the next letter's
    return np.searchsorted(middles, np.arange(len(log_probs)), side="right")


def _named(log_probs: Array, letters: Array) -> Array:
    """In which token each letter is named, [n]."""
    states = np.full(2 * len(letters) + 1, BLANK)
    states[1::2] = letters
    scores = log_probs[:, states]
    leaps = np.zeros(len(states), bool)  # from letter to letter, over the blank between
    leaps[3::2] = letters[1:] != letters[:-1]
    best = np.full(len(states), -np.inf)
    best[:2] = scores[0, :2]
    came = np.zeros(scores.shape, np.int8)  # from how many states before
    for token in range(1, len(scores)):
        ways = np.full((3, len(states)), -np.inf)
        ways[0] = best
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(leaps[2:], best[:-2], -np.inf)
        came[token] = ways.argmax(axis=0)
        best = ways.max(axis=0) + scores[token]
    state = len(states) - (2 if best[-2] > best[-1] else 1)
    path = np.empty(len(scores), np.int64)
    for token in range(len(scores) - 1, -1, -1):
        path[token] = state
        state -= int(came[token, state])
    places = np.arange(len(letters)) * 2 + 1
    return _loudest(path, scores, places)


def _loudest(path: Array, scores: Array, places: Array) -> Array:
    """Of the tokens that name a letter, the one that is surest of it; for each letter."""
    found = np.zeros(len(places), np.int64)
    for index, place in enumerate(places):
        tokens = np.flatnonzero(path == place)
        found[index] = tokens[scores[tokens, place].argmax()]
    return found


def read_alignment(work: Path) -> Array:
    """For all tokens the places of their letters in their texts, as `training.codec` wrote them.
    Raises UsageError."""
    path = work / "codec" / "alignment.npy"
    if not path.exists():
        raise UsageError(f"{path} is missing.", "Run the stage of the codec again: training.codec.")
    found: Array = np.load(path)
    return found
