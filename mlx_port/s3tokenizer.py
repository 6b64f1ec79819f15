"""S3 v2: a reference clip's log-mel to speech tokens, 25 a second (CosyVoice 2, released
s3tokenizer/model_v2.py).

Shapes: B batch, F mel frames (100 a second), T tokens = ceil(ceil(F / 2) / 2), W width.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import S3TokenizerConfig
from mlx_port.attention import attend
from mlx_port.device import on_gpu
from mlx_port.gelu import gelu
from mlx_port.layers import centred

NORM_EPS = 1e-5
# Keeps tanh off the exact ends of the scale (released FSQCodebook).
FSQ_RANGE = 0.9990000128746033


def depthwise(x: mx.array, weight: mx.array) -> mx.array:
    """x [B, T, W] and a kernel for each channel [W, taps, 1], no padding -> [B, T - taps + 1, W].

    Metal has a kernel for this. MLX's CPU build makes a small product for each channel, so
    there shifted multiply-adds are seven times faster.
    """
    if on_gpu():
        return mx.conv1d(x, weight, groups=weight.shape[0])
    return depthwise_by_taps(x, weight)


def depthwise_by_taps(x: mx.array, weight: mx.array) -> mx.array:
    """`depthwise` as one multiply-add for each tap of the kernels."""
    taps = mx.contiguous(weight[..., 0].T)
    frames = x.shape[1] - taps.shape[0] + 1
    return sum(taps[at] * x[:, at : at + frames] for at in range(taps.shape[0]))


class Memory(nn.Module):
    """FSMN memory: a depthwise convolution over time, added to its input."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.weight = mx.zeros((width, kernel, 1))
        self.padding = centred(kernel)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, W] -> [B, T, W]; zeros beyond both ends."""
        return x + depthwise(mx.pad(x, [(0, 0), self.padding, (0, 0)]), self.weight)


class Attention(nn.Module):
    """Self-attention over the whole clip with rotary positions, plus the memory of its values."""

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.rope_theta = config.rope_theta
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.memory = Memory(width, config.fsmn_kernel)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, W] -> [B, T, W]."""
        value = self.value(x)
        query, key = (self._rotate(self._split(part)) for part in (self.query(x), self.key(x)))
        scale = query.shape[-1] ** -0.5
        mixed = attend(query, key, self._split(value), scale=scale)
        mixed = mixed.swapaxes(1, 2).reshape(x.shape)
        return self.out(mixed) + self.memory(value)

    def _split(self, x: mx.array) -> mx.array:
        """[B, T, W] -> [B, heads, T, W / heads]."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def _rotate(self, x: mx.array) -> mx.array:
        """Rotary positions from 0; the first half of a head is paired with the second."""
        return mx.fast.rope(
            x, x.shape[-1], traditional=False, base=self.rope_theta, scale=1.0, offset=0
        )


class MLP(nn.Module):
    """Two layers with the exact GELU between them."""

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.mlp)
        self.down = nn.Linear(config.mlp, config.width)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, W] -> [B, T, W]."""
        return self.down(gelu(self.up(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = MLP(config)

    def __call__(self, x: mx.array) -> mx.array:
        """[B, T, W] -> [B, T, W]."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class S3Tokenizer(nn.Module):
    """Log-mel to token ids below `config.codebook`.

    For clips of up to 30 s: the released code cuts longer ones into windows.
    """

    def __init__(self, config: S3TokenizerConfig) -> None:
        super().__init__()
        self.levels = config.fsq_levels
        self.conv1 = nn.Conv1d(config.mels, config.width, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.blocks = [Block(config) for _ in range(config.layers)]
        self.project_down = nn.Linear(config.width, config.fsq_dims)

    def __call__(self, log_mel: mx.array) -> mx.array:
        """log-mel [B, F, mels] -> token ids [B, T], int32."""
        digits = (mx.round(self.project(log_mel)) + self.levels // 2).astype(mx.int32)
        places = mx.array([self.levels**place for place in range(digits.shape[-1])])
        return mx.sum(digits * places, axis=-1)  # the first digit is the lowest

    def project(self, log_mel: mx.array) -> mx.array:
        """log-mel [B, F, mels] -> FSQ values before rounding [B, T, dims] (FSQ, eq. 1).

        Each lies within levels // 2 of zero.
        """
        x = self.encode(log_mel)
        return mx.tanh(self.project_down(x)) * (FSQ_RANGE * (self.levels // 2))

    def encode(self, log_mel: mx.array) -> mx.array:
        """log-mel [B, F, mels] -> [B, T, W]."""
        x = gelu(self.conv1(log_mel))
        x = gelu(self.conv2(x))
        for block in self.blocks:
            x = block(x)
        return x
