"""The excitation of the vocoder: harmonics of the pitch where there is a voice, else noise.

Phase is counted in 32 bits, 2**32 to the turn. Such a counter wraps by itself, adds without
rounding and in any order, and one serves all harmonics: the h-th is at h times the phase. The
pitch is rounded once, to 6 microhertz; after that nothing is lost, however long the sound, and
a stream that passes the counter on gets, bit for bit, what the whole would have got. (The
released code adds up floating-point turns, which grow coarser as the utterance goes on.)
PyTorch does not calculate with uint32: the counter is the lower half of an int64.

Shapes: b batch, f frames, s samples = f * samples of a frame, h harmonics with the fundamental.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cbflash.config import HiFTConfig
from cbflash.tokens import SAMPLE_RATE
from cuda_backend.layers import Linear

TURN = 2**32  # of the phase counter


class HarmonicSource(nn.Module):
    """Sines and noise, merged into one signal (NSF, Wang et al. 2019; released hifigan.py)."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        self.merge = Linear(config.harmonics + 1, 1)
        self._frame = math.prod(config.upsample_rates) * config.hop
        self._harmonics = config.harmonics + 1
        self._amplitude = config.sine_amplitude
        self._noise_std = config.noise_std
        self._threshold = config.voiced_threshold

    def forward(
        self, f0: Tensor, phase: Tensor, noise: Tensor, turns: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f0 [b, f] in Hz, phase [b, h] in radians, noise [b, s, h], turns [b] int64, where the
        fundamental stands -> excitation [b, s, 1] and where it stands afterwards, [b] int64.

        A pitch of zero leaves it where it is.
        """
        walk, turns = self._walk(f0, turns)
        harmonics = walk[..., None] * torch.arange(1, self._harmonics + 1, device=f0.device)
        angles = _wrapped(harmonics).to(f0.dtype).mul_(2 * math.pi / TURN).add_(phase[:, None])
        voiced = (f0 > self._threshold).repeat_interleave(self._frame, dim=1)[..., None]
        # Where there is no voice the noise is as loud as the sines were.
        loudness = torch.where(voiced, self._noise_std, self._amplitude / 3)
        waves = torch.where(voiced, angles.sin_().mul_(self._amplitude), 0.0)
        return torch.tanh(self.merge(waves.addcmul_(loudness, noise))), turns

    def _walk(self, f0: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """The phase of the fundamental at every sample, [b, s], and at the last of them, [b]."""
        # By a tensor: CUDA multiplies with a number's reciprocal, which is another result.
        cycles = f0 / torch.full_like(f0, SAMPLE_RATE)  # in one sample
        step = _wrapped(torch.round(cycles * TURN).to(torch.int64))
        ends = _wrapped(turns[:, None] + torch.cumsum(step * self._frame, dim=1))
        offsets = torch.arange(1 - self._frame, 1, device=f0.device)
        walk = _wrapped(ends[..., None] + step[..., None] * offsets)
        return walk.flatten(1), ends[:, -1]


def _wrapped(phase: Tensor) -> Tensor:
    """The counter's 32 bits of an int64, in place."""
    return phase.bitwise_and_(TURN - 1)
