"""The excitation of the vocoder: harmonics of the pitch where there is a voice, else noise.

Phase is counted as a uint32, 2**32 to the turn. Such a counter wraps by itself, adds without
rounding and in any order, and one serves all harmonics: the h-th is at h times the phase. The
pitch is rounded once, to 6 microhertz; after that nothing is lost, however long the sound, and
a stream that passes the counter on gets, bit for bit, what the whole would have got. (The
released code adds up floating-point turns, which grow coarser as the utterance goes on.)

Shapes: f frames, s samples = f * samples of a frame, h harmonics with the fundamental.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import HiFTConfig
from cbflash.tokens import SAMPLE_RATE

TURN = 2.0**32  # of the phase counter


class HarmonicSource(nn.Module):
    """Sines and noise, merged into one signal (NSF, Wang et al. 2019; released hifigan.py)."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        self.merge = nn.Linear(config.harmonics + 1, 1)
        self._frame = math.prod(config.upsample_rates) * config.hop
        self._harmonics = config.harmonics + 1
        self._amplitude = config.sine_amplitude
        self._noise_std = config.noise_std
        self._threshold = config.voiced_threshold

    def __call__(
        self, f0: mx.array, phase: mx.array, noise: mx.array, turns: mx.array
    ) -> tuple[mx.array, mx.array]:
        """f0 [1, f] in Hz, phase [h] in radians, noise [1, s, h], turns [1] uint32, where the
        fundamental stands -> excitation [1, s, 1] and where it stands afterwards, [1] uint32.
        """
        walk, turns = self._walk(f0, turns)
        harmonics = walk[..., None] * mx.arange(1, self._harmonics + 1, dtype=mx.uint32)
        angles = harmonics.astype(mx.float32) * (2 * math.pi / TURN) + phase
        voiced = mx.repeat(f0 > self._threshold, self._frame, axis=1)[..., None]
        # Where there is no voice the noise is as loud as the sines were.
        loudness = mx.where(voiced, self._noise_std, self._amplitude / 3)
        waves = mx.where(voiced, self._amplitude * mx.sin(angles), 0.0) + loudness * noise
        return mx.tanh(self.merge(waves)), turns

    def _walk(self, f0: mx.array, turns: mx.array) -> tuple[mx.array, mx.array]:
        """The phase of the fundamental at every sample, [1, s], and at the last of them, [1]."""
        cycles = mx.remainder(f0 / SAMPLE_RATE, 1.0)  # in one sample; below 1 to fit a uint32
        step = mx.round(cycles * TURN).astype(mx.uint32)
        ends = turns[:, None] + mx.cumsum(step * self._frame, axis=1)
        offsets = mx.arange(1, self._frame + 1, dtype=mx.uint32)
        walk = (ends - step * self._frame)[..., None] + step[..., None] * offsets
        return walk.reshape(1, -1), ends[:, -1]
