"""Utterances in batches of about one length, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cbflash.errors import UsageError

Array = npt.NDArray[Any]

NEAR = 64  # places that an utterance may be moved by among the sorted ones, so that batches differ


class Batches:
    """Which utterances each step of a run is given; each epoch has every one once.

    It depends on the seed and the step alone: a run that goes on is given what it would have
    been given. length: of a place, in tokens; about `tokens` of them are in each batch, so
    short utterances come in large ones. Raises UsageError where there are no places.
    """

    def __init__(
        self, places: Sequence[int], length: Callable[[int], int], tokens: int, seed: int
    ) -> None:
        if not places:
            raise UsageError("There is nothing to train on.", "Make a larger corpus.")
        self._places = np.array(places)
        self._lengths = np.array([length(place) for place in places])
        self._tokens = tokens
        self._seed = seed
        self._epoch = -1
        self._batches: list[Array] = []
        self._begin = 0  # the step that this epoch began with

    def __call__(self, step: int) -> list[int]:
        """The places of the batch of a step, which may not be before the step asked for last."""
        if step < self._begin:
            raise ValueError("steps are asked for in order")
        while step >= self._begin + len(self._batches):
            self._begin += len(self._batches)
            self._epoch += 1
            self._batches = self._draw(np.random.default_rng([self._seed, self._epoch]))
        return [int(place) for place in self._batches[step - self._begin]]

    def _draw(self, numbers: np.random.Generator) -> list[Array]:
        ranks = np.argsort(np.argsort(self._lengths, kind="stable"), kind="stable")
        order = np.argsort(ranks + numbers.uniform(0, NEAR, len(ranks)), kind="stable")
        batches = []
        begin = 0
        while begin < len(order):
            count = max(1, self._tokens // max(1, int(self._lengths[order[begin]])))
            batches.append(self._places[order[begin : begin + count]])
            begin += count
        return [batches[at] for at in numbers.permutation(len(batches))]
