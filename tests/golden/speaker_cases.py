"""Inputs of the reference-clip encoders: the golden parts and the tests build the same."""

from __future__ import annotations

import numpy as np

# Layers -> (mel frames, seed of the input). The seeds are chosen so that no value lies within
# 1e-3 of a rounding boundary.
TOKENIZER = {2: (101, 4), 6: (96, 1)}

# fbank frames: below one segment, an exact multiple of it, and in between.
XVECTOR = (150, 400, 333)

WINDOWS = 3


def log_mel(layers: int) -> np.ndarray:
    """[1, frames, 128], about -1 to 1.5 as of speech."""
    frames, seed = TOKENIZER[layers]
    return 0.4 + 0.5 * _smooth(np.random.default_rng([1, seed]), frames, 128)


def fbank(frames: int) -> np.ndarray:
    """[1, frames, 80], mean over time zero."""
    rng = np.random.default_rng([2, frames])
    envelope = np.exp(_smooth(rng, 1, 80))  # every case has loud and quiet bands of its own
    x = 2.0 * envelope * _smooth(rng, frames, 80)
    return x - x.mean(axis=1, keepdims=True)


def windows() -> np.ndarray:
    """[windows, 160, 40], mel power: positive, most of it near zero."""
    rng = np.random.default_rng(3)
    return np.concatenate([np.exp(2.0 * _smooth(rng, 160, 40) - 2.0) for _ in range(WINDOWS)])


def _smooth(rng: np.random.Generator, frames: int, mels: int) -> np.ndarray:
    """[1, frames, mels], unit variance, drifting over some ten frames and a few bands."""
    x = rng.standard_normal((frames + 8, mels + 4))
    x = np.apply_along_axis(np.convolve, 0, x, np.hanning(11)[1:-1], "valid")
    x = np.apply_along_axis(np.convolve, 1, x, np.hanning(7)[1:-1], "valid")
    x += 0.5 * x.std() * rng.standard_normal(x.shape)
    return ((x - x.mean()) / x.std()).astype(np.float32)[None]
