"""The short Fourier transform and its inverse as matrix products.

The transforms of this model are tiny (16 samples), so a product with a table of sines and
cosines beats an FFT, and it is the same on every device. Hann window, centred frames,
reflected ends, as torch.stft and torch.istft, but each row of a batch ends where it ends.

Shapes: b batch, s samples, f frames = s / hop + 1, n size of a frame.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.layers import Table, clear, frames_beyond, overlap_add


class STFT:
    """Samples [b, s] to real and imaginary bins, [b, f, n + 2] together, and back.

    lengths: samples of each row [b], where they differ; what lies beyond them is never read.
    """

    def __init__(self, size: int, hop: int) -> None:
        self._size = size
        self._hop = hop
        angles = 2 * np.pi / size * np.outer(np.arange(size), np.arange(size // 2 + 1))
        window = 0.5 - 0.5 * np.cos(2 * np.pi / size * np.arange(size))
        waves = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
        # The bins between the first and the last stand for two, themselves and their mirror.
        weight = np.full(size // 2 + 1, 2.0)
        weight[[0, -1]] = 1.0
        back = (waves * np.tile(weight, 2)).T / size
        self._analysis = Table(window[:, None] * waves)
        self._synthesis = Table(back * window)
        self._power = Table(window**2)

    def __call__(self, samples: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[b, s] -> [b, f, n + 2], the real parts, then the imaginary ones; zero beyond a row."""
        padded = self._reflected(samples, lengths)
        bins = padded.unfold(1, self._size, self._hop) @ self._analysis.like(samples)
        return clear(bins, self._beyond(lengths, bins.shape[1]))

    def inverse(self, bins: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[b, f, n + 2] -> [b, (f - 1) * hop]: windowed, overlapped, divided by the windows."""
        frames = bins @ self._synthesis.like(bins)
        beyond = self._beyond(lengths, frames.shape[1])
        frames = clear(frames, beyond)
        rows = 1 if beyond is None else len(beyond)
        windows = self._power.like(bins).repeat(rows, frames.shape[1], 1)
        windows = overlap_add(clear(windows, beyond), self._hop)
        side = self._size // 2
        samples = overlap_add(frames, self._hop)[:, side:-side] / windows[:, side:-side]
        # There are no windows to divide by far beyond a row's end.
        return clear(samples[..., None], frames_beyond(lengths, samples.shape[1]))[..., 0]

    def _reflected(self, samples: Tensor, lengths: Tensor | None) -> Tensor:
        """Half a frame more on both sides: [b, s + n], mirrored at each row's own ends."""
        side = self._size // 2
        if lengths is None:
            return F.pad(samples, (side, side), mode="reflect")
        last = lengths[:, None] - 1
        positions = torch.arange(-side, samples.shape[1] + side, device=samples.device)
        positions = last - (last - positions.abs()).abs()
        return samples.gather(1, positions.clamp(min=0))

    def _beyond(self, lengths: Tensor | None, frames: int) -> Tensor | None:
        return frames_beyond(None if lengths is None else lengths // self._hop + 1, frames)
