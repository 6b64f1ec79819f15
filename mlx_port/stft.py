"""The short Fourier transform and its inverse as matrix products.

The transforms of this model are tiny (16 samples), so a product with a table of sines and
cosines beats an FFT, and it is the same on every device. Hann window, centred frames,
reflected ends, as torch.stft and torch.istft.

Shapes: b batch, s samples, f frames = s / hop + 1, n size of a frame.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from mlx_port.layers import overlap_add


class STFT:
    """Samples [b, s] to real and imaginary bins, [b, f, n + 2] together, and back."""

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
        self._analysis = mx.array((window[:, None] * waves).astype(np.float32))
        self._synthesis = mx.array((back * window).astype(np.float32))
        self._power = mx.array((window**2).astype(np.float32))

    def __call__(self, samples: mx.array) -> mx.array:
        """[b, s] -> [b, f, n + 2], the real parts, then the imaginary ones."""
        side = self._size // 2
        before = samples[:, side:0:-1]
        after = samples[:, -2 : -2 - side : -1]
        padded = mx.concatenate([before, samples, after], axis=1)
        batch, length = padded.shape
        count = (length - self._size) // self._hop + 1
        frames = mx.as_strided(padded, (batch, count, self._size), strides=(length, self._hop, 1))
        return frames @ self._analysis

    def inverse(self, bins: mx.array) -> mx.array:
        """[b, f, n + 2] -> [b, (f - 1) * hop]: windowed, overlapped, divided by the windows."""
        frames = bins @ self._synthesis
        windows = mx.broadcast_to(self._power, (1, *frames.shape[1:]))
        samples = self._overlap(frames) / self._overlap(windows)
        side = self._size // 2
        return samples[:, side : samples.shape[1] - side]

    def _overlap(self, frames: mx.array) -> mx.array:
        return overlap_add(frames[..., None], self._hop)[..., 0]
