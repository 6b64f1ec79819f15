"""Mel to sound: HiFi-GAN with a harmonic source and an inverse Fourier transform (HiFTNet).

Shapes: f mel frames, s samples = 480 f, m mels, c channels, q spectral frames = s / hop + 1.
"""

from __future__ import annotations

import math
from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import HiFTConfig
from mlx_port.layers import Conv1d, ConvTranspose1d, Snake, centred
from mlx_port.source import HarmonicSource
from mlx_port.stft import STFT

LOUDEST_BIN = 100.0  # magnitudes of the inverse transform stop here


class F0Predictor(nn.Module):
    """Mel [1, f, m] -> pitch [1, f] in Hz; near zero where there is no voice."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        widths = [config.mels] + [config.f0_channels] * config.f0_layers
        self.layers = [
            layer
            for inputs, outputs in pairwise(widths)
            for layer in (Conv1d(inputs, outputs, 3, padding=centred(3)), nn.ELU())
        ]
        self.output = nn.Linear(config.f0_channels, 1)

    def __call__(self, mel: mx.array) -> mx.array:
        x = mel
        for layer in self.layers:
            x = layer(x)
        return mx.abs(self.output(x)[..., 0])


class ResidualLayer(nn.Module):
    """Snake, dilated convolution, snake, plain convolution, and the input again."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv1 = Conv1d(
            channels, channels, kernel, dilation=dilation, padding=centred(kernel, dilation)
        )
        self.snake2 = Snake(channels)
        self.conv2 = Conv1d(channels, channels, kernel, padding=centred(kernel))

    def __call__(self, x: mx.array) -> mx.array:
        return x + self.conv2(self.snake2(self.conv1(self.snake1(x))))


class ResidualBlock(nn.Module):
    """A layer for each dilation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = [ResidualLayer(channels, kernel, dilation) for dilation in dilations]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = layer(x)
        return x


class HiFT(nn.Module):
    """The vocoder of S3Gen (released hifigan.py and f0_predictor.py)."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        rates, dilations = config.upsample_rates, config.resblock_dilations
        widths = [config.channels // 2**stage for stage in range(len(rates) + 1)]
        self.f0_predictor = F0Predictor(config)
        self.excitation = HarmonicSource(config)
        self.input = Conv1d(config.mels, widths[0], 7, padding=centred(7))
        self.upsamplers = [
            ConvTranspose1d(inputs, outputs, kernel, rate, (kernel - rate) // 2)
            for inputs, outputs, kernel, rate in zip(
                widths[:-1], widths[1:], config.upsample_kernels, rates, strict=True
            )
        ]
        # The source comes at the last rate; each stage takes it down to its own.
        self.source_convs = [
            _source_conv(config.n_fft + 2, width, math.prod(rates[stage + 1 :]))
            for stage, width in enumerate(widths[1:])
        ]
        self.source_blocks = [
            ResidualBlock(width, kernel, dilations)
            for width, kernel in zip(widths[1:], config.source_kernels, strict=True)
        ]
        self.blocks = [
            ResidualBlock(width, kernel, dilations)
            for width in widths[1:]
            for kernel in config.resblock_kernels
        ]
        self.output = Conv1d(widths[-1], config.n_fft + 2, 7, padding=centred(7))
        self._stft = STFT(config.n_fft, config.hop)
        self._slope = config.slope
        self._limit = config.limit

    def __call__(self, mel: mx.array, phase: mx.array, noise: mx.array) -> mx.array:
        """A whole utterance: mel [1, f, m], phase [h], noise [1, s, h] -> samples [1, s]."""
        source, _ = self.source(self.f0(mel), phase, noise)
        return self.decode(mel, source)

    def f0(self, mel: mx.array) -> mx.array:
        """Mel [1, f, m] -> pitch [1, f] in Hz."""
        return self.f0_predictor(mel)

    def source(
        self, f0: mx.array, phase: mx.array, noise: mx.array, turns: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """Pitch [1, f], phase [h], noise [1, s, h] -> excitation [1, s, 1] and the end phase.

        turns: [1] uint32, the end phase of what came before; none at the start.
        """
        if turns is None:
            turns = mx.zeros((1,), mx.uint32)
        return self.excitation(f0, phase, noise, turns)

    def decode(self, mel: mx.array, source: mx.array) -> mx.array:
        """Mel [1, f, m] and excitation [1, s, 1] -> samples [1, s], within +-limit."""
        spectrum = self._stft(source[..., 0])
        x = self.input(mel)
        for stage, upsample in enumerate(self.upsamplers):
            x = upsample(nn.leaky_relu(x, self._slope))
            if stage == len(self.upsamplers) - 1:
                # There is one spectral frame more than the rates give: the first is mirrored.
                x = mx.concatenate([x[:, 1:2], x], axis=1)
            x = x + self.source_blocks[stage](self.source_convs[stage](spectrum))
            x = self._fuse(stage, x)
        bins = self.output(nn.leaky_relu(x, 0.01))
        return mx.clip(self._stft.inverse(to_rectangular(bins)), -self._limit, self._limit)

    def _fuse(self, stage: int, x: mx.array) -> mx.array:
        """The mean of the residual blocks of a stage, which differ in their kernels."""
        count = len(self.blocks) // len(self.upsamplers)
        blocks = self.blocks[stage * count : (stage + 1) * count]
        return sum(block(x) for block in blocks) / count


def _source_conv(inputs: int, outputs: int, rate: int) -> Conv1d:
    if rate == 1:
        return Conv1d(inputs, outputs, 1)
    return Conv1d(inputs, outputs, 2 * rate, stride=rate, padding=(rate // 2, rate // 2))


def to_rectangular(bins: mx.array) -> mx.array:
    """Log magnitudes and raw phases [1, q, n + 2] -> real and imaginary parts.

    The phase goes through a sine before it is used as an angle, as the model was trained.
    """
    log_magnitude, raw = mx.split(bins, 2, axis=-1)
    magnitude = mx.minimum(mx.exp(log_magnitude), LOUDEST_BIN)
    angle = mx.sin(raw)
    return mx.concatenate([magnitude * mx.cos(angle), magnitude * mx.sin(angle)], axis=-1)
