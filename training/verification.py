"""How well embeddings tell speakers apart, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Verification:
    """Over all pairs of utterances.

    error: the equal error rate, as many own pairs refused as others accepted, 0 to 1.
    margin: the mean cosine of own pairs above that of other pairs.
    """

    error: float
    margin: float


def can_verify(speakers: Sequence[str]) -> bool:
    """Whether there are a pair of utterances of one speaker and a pair of two."""
    return 1 < len(set(speakers)) < len(speakers)


def verify(embeddings: Array, speakers: Sequence[str]) -> Verification:
    """Unit vectors [n, D] and who spoke each.

    Raises ValueError where there is no pair of one speaker, or none of two.
    """
    if not can_verify(speakers):
        raise ValueError("pairs of one speaker and pairs of two are needed")
    _, numbers = np.unique(np.asarray(speakers), return_inverse=True)
    first, second = np.triu_indices(len(embeddings), k=1)
    cosines = (embeddings @ embeddings.T)[first, second]
    same = numbers[first] == numbers[second]
    own, others = cosines[same], cosines[~same]
    return Verification(equal_error_rate(own, others), float(own.mean() - others.mean()))


def equal_error_rate(own: Array, others: Array) -> float:
    """Where the two errors cross as the threshold goes up through all scores."""
    own, others = np.sort(own), np.sort(others)
    thresholds = np.concatenate([own, others])
    refused = np.searchsorted(own, thresholds, side="left") / len(own)
    accepted = 1 - np.searchsorted(others, thresholds, side="left") / len(others)
    nearest = np.argmin(np.abs(refused - accepted))
    return float(refused[nearest] + accepted[nearest]) / 2
