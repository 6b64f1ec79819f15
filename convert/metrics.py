"""How far two results are apart: numpy arrays in, one number out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]

_DECIBELS = 20.0 / np.log(10.0)  # of a natural logarithm of magnitudes


def cosine(one: Floats, other: Floats) -> float:
    """Of the arrays as two long vectors; 0 where one of them is zero or not finite."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if np.isfinite(norms) and norms > 0 else 0.0


def divergence(reference: Floats, other: Floats) -> Floats:
    """Kullback-Leibler divergence of `other` from `reference` in nats.

    Logits [positions, vocabulary] -> [positions].
    """
    p, q = log_softmax(reference), log_softmax(other)
    divergences: Floats = np.sum(np.exp(p) * (p - q), axis=-1).astype(np.float32)
    return divergences


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def agreement(one: Ints, other: Ints) -> float:
    """Share of equal entries."""
    return float(np.mean(one == other))


def top_agreement(one: Floats, other: Floats) -> float:
    """Share of positions whose likeliest token is the same; logits [positions, vocabulary]."""
    return agreement(one.argmax(-1), other.argmax(-1))


def log_mel_distance(one: Floats, other: Floats) -> float:
    """Mean absolute difference of two log-mels (natural logarithm of magnitudes), in dB."""
    return float(np.mean(np.abs(one.astype(np.float64) - other)) * _DECIBELS)
