"""The flow's vector field: a one-level U-Net of causal convolutions and full attention.

It says how a noisy mel moves, given the mean of the encoder, the voice and the known frames.
Although it is built like a U-Net, nothing is ever downsampled: with one level the released
network keeps its frame rate.

Shapes: b batch, f frames, m mels, c channels, e time embedding, h heads, d head dimension.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import FlowConfig
from mlx_port.attention import attend
from mlx_port.exp import silu
from mlx_port.gelu import gelu
from mlx_port.layers import MLP, Conv1d, causal, mish


class TimeEmbedding(nn.Module):
    """The time t of the flow, and for a mean flow the time r it shall reach, [b] -> [b, e]."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        inputs, width = 4 * config.mels, config.time_dim
        self.mlp = TimeMLP(inputs, width)
        if config.meanflow:
            self.mixer = nn.Linear(2 * width, width, bias=False)
        self._inputs = inputs
        self._meanflow = config.meanflow

    def __call__(self, t: mx.array, r: mx.array) -> mx.array:
        start = self.mlp(self._waves(t))
        if not self._meanflow:
            return start
        return self.mixer(mx.concatenate([start, self.mlp(self._waves(r))], axis=-1))

    def _waves(self, t: mx.array) -> mx.array:
        """[b] -> [b, inputs]: sines, then cosines, of 1000 t at falling frequencies."""
        half = self._inputs // 2
        frequencies = mx.exp(mx.arange(half) * (-math.log(10_000.0) / (half - 1)))
        angles = 1000.0 * t[:, None] * frequencies
        return mx.concatenate([mx.sin(angles), mx.cos(angles)], axis=-1)


class TimeMLP(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(inputs, width)
        self.down_proj = nn.Linear(width, width)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(silu(self.up_proj(x)))


class ConvBlock(nn.Module):
    """Causal convolution, norm over channels, Mish."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = Conv1d(inputs, channels, 3, padding=causal(3))
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def __call__(self, x: mx.array) -> mx.array:
        return mish(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Two convolution blocks, the time between them, and a linear shortcut."""

    def __init__(self, inputs: int, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        self.first = ConvBlock(inputs, channels)
        self.time = nn.Linear(config.time_dim, channels)
        self.second = ConvBlock(channels, channels)
        self.shortcut = nn.Linear(inputs, channels)

    def __call__(self, x: mx.array, time: mx.array) -> mx.array:
        hidden = self.first(x) + self.time(mish(time))[:, None]
        return self.second(hidden) + self.shortcut(x)


class Attention(nn.Module):
    """Full attention among the frames. No positions: the convolutions tell them apart."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        inner = config.estimator_heads * config.estimator_head_dim
        self.q_proj = nn.Linear(channels, inner, bias=False)
        self.k_proj = nn.Linear(channels, inner, bias=False)
        self.v_proj = nn.Linear(channels, inner, bias=False)
        self.o_proj = nn.Linear(inner, channels)
        self._heads = config.estimator_heads
        self._scale = config.estimator_head_dim**-0.5

    def __call__(self, x: mx.array) -> mx.array:
        batch, frames, _ = x.shape
        q, k, v = (
            project(x).reshape(batch, frames, self._heads, -1).swapaxes(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = attend(q, k, v, scale=self._scale)
        return self.o_proj(mixed.swapaxes(1, 2).reshape(batch, frames, -1))


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.channels, eps=1e-5)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.channels, eps=1e-5)
        self.mlp = MLP(config.channels, config.estimator_mlp)

    def __call__(self, x: mx.array) -> mx.array:
        x = x + self.attention(self.attention_norm(x))
        hidden = gelu(self.mlp.up_proj(self.mlp_norm(x)))
        return x + self.mlp.down_proj(hidden)


class Stage(nn.Module):
    """A residual block and the transformer blocks behind it."""

    def __init__(self, inputs: int, config: FlowConfig) -> None:
        super().__init__()
        self.residual = ResidualBlock(inputs, config)
        self.transformers = [TransformerBlock(config) for _ in range(config.transformers)]

    def __call__(self, x: mx.array, time: mx.array) -> mx.array:
        x = self.residual(x, time)
        for block in self.transformers:
            x = block(x)
        return x


class Estimator(nn.Module):
    """The velocity of a noisy mel (released decoder.py, ConditionalDecoder)."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        self.time = TimeEmbedding(config)
        self.down = Stage(4 * config.mels, config)
        self.down_conv = Conv1d(channels, channels, 3, padding=causal(3))
        self.mid = [Stage(channels, config) for _ in range(config.mid_blocks)]
        self.up = Stage(2 * channels, config)
        self.up_conv = Conv1d(channels, channels, 3, padding=causal(3))
        self.final = ConvBlock(channels, channels)
        self.output = nn.Linear(channels, config.mels)

    def __call__(
        self,
        x: mx.array,
        mu: mx.array,
        speaker: mx.array,
        conditions: mx.array,
        t: mx.array,
        r: mx.array,
    ) -> mx.array:
        """x, mu, conditions [b, f, m], speaker [b, m], t and r [b] -> velocity [b, f, m].

        r, the end of the step, only speaks to a mean flow.
        """
        time = self.time(t, r)
        voice = mx.broadcast_to(speaker[:, None], x.shape)
        x = mx.concatenate([x, mu, voice, conditions], axis=-1)
        skip = self.down(x, time)
        x = self.down_conv(skip)
        for stage in self.mid:
            x = stage(x, time)
        x = self.up(mx.concatenate([x, skip], axis=-1), time)
        return self.output(self.final(self.up_conv(x)))
