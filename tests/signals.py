"""Test signals from a seed, in numpy alone: the golden script and the tests make the same."""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def voice_like(seconds: float, rate: int, seed: int = 1) -> np.ndarray:
    """Something like speech: gliding harmonics, noise bursts, pauses, quiet ends.

    float32 [seconds * rate] on the grid of 16-bit PCM, so that the last bit of a sine cannot
    differ between two versions of numpy. A faint noise fills pauses and ends. Read-only.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    count = round(seconds * rate)
    time = np.arange(count) / rate
    pitch = 130.0 + 40.0 * np.sin(2 * np.pi * 0.7 * time) + 15.0 * np.sin(2 * np.pi * 5.1 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    signal = np.zeros(count)
    for harmonic in range(1, 25):
        glide = 0.5 + 0.5 * np.sin(2 * np.pi * (0.3 + 0.17 * harmonic) * time)
        below_nyquist = pitch * harmonic < 0.45 * rate
        signal += glide * below_nyquist * np.sin(harmonic * phase) / harmonic
    syllables = np.clip(3 * np.sin(2 * np.pi * 2.3 * time) + 1.5, 0.0, 1.0)
    bursts = np.clip(4 * np.sin(2 * np.pi * 1.1 * time + 2.0) - 3.0, 0.0, 1.0)
    signal = 0.5 * syllables * signal + 0.3 * bursts * rng.standard_normal(count)
    edge = min(0.25, seconds / 10)
    signal *= (time > edge) & (time < seconds - 1.3 * edge)
    signal = 0.6 * signal / np.abs(signal).max() + 3e-4 * rng.standard_normal(count)
    samples = (np.round(signal * 32768) / 32768).astype(np.float32)
    samples.flags.writeable = False
    return samples


def stereo(seconds: float, rate: int) -> np.ndarray:
    """Two different channels: float32 [seconds * rate, 2]."""
    return np.stack([voice_like(seconds, rate, seed) for seed in (2, 3)], axis=1)


# Reference clips of the golden file: seconds, rate, channels. The first two end in a part of
# a speech token, with and without a mel frame; the last is longer than what the flow hears.
CLIPS = ((2.98, 44_100, 2), (7.01, 48_000, 1), (3.0, 8_000, 1), (11.0, 24_000, 1))


def clip(number: int) -> np.ndarray:
    """Reference clip `number` of `CLIPS`: float32 [n] or [n, 2]."""
    seconds, rate, channels = CLIPS[number]
    return stereo(seconds, rate) if channels == 2 else voice_like(seconds, rate)


# Rates that are changed in the golden file: from, to.
RATES = ((24_000, 16_000), (44_100, 24_000), (8_000, 24_000), (96_000, 24_000), (11_025, 24_000))
