"""The flow's vector field: a one-level U-Net of causal convolutions and full attention.

It says how a noisy mel moves, given the mean of the encoder, the voice and the known frames.
Although it is built like a U-Net, nothing is ever downsampled: with one level the released
network keeps its frame rate.

Shapes: b batch, f frames, m mels, c channels, e time embedding, h heads, d head dimension. Rows
of different lengths are padded on the right; `mask` [b, 1, 1, f] is false in the padding, and
None when there is none. Only attention needs it: convolutions look back.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbflash.config import FlowConfig
from cuda_backend.attend import attend
from cuda_backend.layers import MLP, Conv1d, Linear, causal, clear, frames_beyond


class TimeEmbedding(nn.Module):
    """The time t of the flow, and for a mean flow the time r it shall reach, [b] -> [b, e].

    Times are float32; what comes of them is in the dtype that is asked for.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        inputs, width = 4 * config.mels, config.time_dim
        self.mlp = TimeMLP(inputs, width)
        if config.meanflow:
            self.mixer = Linear(2 * width, width, bias=False)
        self._inputs = inputs
        self._meanflow = config.meanflow

    def forward(self, t: Tensor, r: Tensor, dtype: torch.dtype) -> Tensor:
        time: Tensor = self.mlp(self._waves(t).to(dtype))
        if self._meanflow:
            reached = self.mlp(self._waves(r).to(dtype))
            time = self.mixer(torch.cat([time, reached], dim=-1))
        return time

    def _waves(self, t: Tensor) -> Tensor:
        """[b] -> [b, inputs]: sines, then cosines, of 1000 t at falling frequencies."""
        half = self._inputs // 2
        falling = torch.arange(half, device=t.device) * (-math.log(10_000.0) / (half - 1))
        angles = 1000.0 * t[:, None] * falling.exp()
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class TimeMLP(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.up_proj = Linear(inputs, width, activation="silu")
        self.down_proj = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.up_proj(x))
        return out


class ConvBlock(nn.Module):
    """Causal convolution, norm over channels, Mish."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv = Conv1d(inputs, channels, 3, padding=causal(3))
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(self.norm(self.conv(x)), inplace=True)


class ResidualBlock(nn.Module):
    """Two convolution blocks, the time between them, and a linear shortcut."""

    def __init__(self, inputs: int, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        self.first = ConvBlock(inputs, channels)
        self.time = Linear(config.time_dim, channels)
        self.second = ConvBlock(channels, channels)
        self.shortcut = Linear(inputs, channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.first(x) + self.time(F.mish(time))[:, None]
        out: Tensor = self.shortcut(x, residual=self.second(hidden))
        return out


class Attention(nn.Module):
    """Full attention among the frames. No positions: the convolutions tell them apart."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        inner = config.estimator_heads * config.estimator_head_dim
        self.q_proj = Linear(channels, inner, bias=False)
        self.k_proj = Linear(channels, inner, bias=False)
        self.v_proj = Linear(channels, inner, bias=False)
        self.o_proj = Linear(inner, channels)
        self._heads = config.estimator_heads

    def forward(self, x: Tensor, mask: Tensor | None, residual: Tensor) -> Tensor:
        """[b, f, c] -> [b, f, c], added to `residual`."""
        q, k, v = (
            project(x).view(*x.shape[:2], self._heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = attend(q, k, v, mask)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2), residual)
        return out


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.channels, eps=1e-5)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.channels, eps=1e-5)
        self.mlp = MLP(config.channels, config.estimator_mlp, "gelu")

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(self.attention_norm(x), mask, residual=x)
        out: Tensor = self.mlp(self.mlp_norm(x), residual=x)
        return out


class Stage(nn.Module):
    """A residual block and the transformer blocks behind it."""

    def __init__(self, inputs: int, config: FlowConfig) -> None:
        super().__init__()
        self.residual = ResidualBlock(inputs, config)
        self.transformers = nn.ModuleList(
            TransformerBlock(config) for _ in range(config.transformers)
        )

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        x = self.residual(x, time)
        for block in self.transformers:
            x = block(x, mask)
        return x


class Estimator(nn.Module):
    """The velocity of a noisy mel (released decoder.py, ConditionalDecoder)."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        channels = config.channels
        self.time = TimeEmbedding(config)
        self.down = Stage(4 * config.mels, config)
        self.down_conv = Conv1d(channels, channels, 3, padding=causal(3))
        self.mid = nn.ModuleList(Stage(channels, config) for _ in range(config.mid_blocks))
        self.up = Stage(2 * channels, config)
        self.up_conv = Conv1d(channels, channels, 3, padding=causal(3))
        self.final = ConvBlock(channels, channels)
        self.output = Linear(channels, config.mels)

    def forward(
        self,
        x: Tensor,
        mu: Tensor,
        speaker: Tensor,
        conditions: Tensor,
        t: Tensor,
        r: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """x, mu, conditions [b, f, m], speaker [b, m], t and r [1] or [b] -> velocity [b, f, m].

        r, the end of the step, only speaks to a mean flow. lengths: of the rows in frames,
        [b]; None if nothing is padded. What comes in and out is float32, whatever the weights.
        """
        beyond = frames_beyond(lengths, x.shape[1])
        mask = None if beyond is None else ~beyond[:, None, None, :, 0]
        dtype = self.final.norm.weight.dtype
        time = self.time(t, r, dtype)
        voice = speaker[:, None].expand_as(x)
        x = torch.cat([x, mu, voice, conditions], dim=-1).to(dtype)
        x = clear(x, beyond)
        skip = self.down(x, time, mask)
        x = self.down_conv(skip)
        for stage in self.mid:
            x = stage(x, time, mask)
        x = self.up(torch.cat([x, skip], dim=-1), time, mask)
        velocity: Tensor = self.output(self.final(self.up_conv(x)))
        return velocity.float()
