"""The flow's encoder: speech tokens, 25 a second, to frames, 50 a second.

A conformer without its convolutions: pre-norm transformer layers with relative positions
(Transformer-XL, Dai et al. 2019), before and after an upsampling by two. Every layer sees the
whole sequence, past and future.

Shapes: b batch, n positions (tokens or frames), w width, h heads, d head dimension.
"""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import FlowConfig
from cbflash.tokens import FRAMES_PER_TOKEN
from mlx_port.attention import attend
from mlx_port.exp import silu
from mlx_port.layers import MLP, Conv1d, causal

# Inside a layer the released norms guard against zero variance only.
LAYER_EPS = 1e-12


class RelativeAttention(nn.Module):
    """Attention whose scores are (q + u) k + (q + v) p, p of the distance between positions."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.o_proj = nn.Linear(width, width)
        self.position_proj = nn.Linear(width, width, bias=False)
        self.content_bias = mx.zeros((heads, width // heads))
        self.position_bias = mx.zeros((heads, width // heads))
        self._heads = heads
        self._scale = (width // heads) ** -0.5

    def __call__(self, x: mx.array, distances: mx.array) -> mx.array:
        """x [b, n, w] and embedded distances [1, 2n - 1, w] -> [b, n, w]."""
        q, k, v, p = (
            self._split(projected)
            for projected in (
                self.q_proj(x),
                self.k_proj(x),
                self.v_proj(x),
                self.position_proj(distances),
            )
        )
        by_distance = (q + self.position_bias[:, None]) @ p.swapaxes(-1, -2)
        mixed = attend(
            q + self.content_bias[:, None],
            k,
            v,
            scale=self._scale,
            mask=self._scale * by_pair(by_distance),
        )
        return self.o_proj(mixed.swapaxes(1, 2).reshape(x.shape))

    def _split(self, x: mx.array) -> mx.array:
        """[b, n, w] -> [b, h, n, d]."""
        batch, length, _ = x.shape
        return x.reshape(batch, length, self._heads, -1).swapaxes(1, 2)


def by_pair(scores: mx.array) -> mx.array:
    """Scores of distances, n - 1 down to 1 - n, [b, h, n, 2n - 1] -> of pairs, [b, h, n, n].

    Pair (i, j) reads distance i - j, column n - 1 - i + j: every row starts one column before
    the row above it. One more column in front makes that a change of shape.
    """
    batch, heads, length, columns = scores.shape
    padded = mx.pad(scores, [(0, 0), (0, 0), (0, 0), (1, 0)])
    shifted = padded.reshape(batch, heads, columns + 1, length)[:, :, 1:]
    return shifted.reshape(batch, heads, length, columns)[..., :length]


def embed_distances(length: int, width: int) -> mx.array:
    """Sines and cosines, interleaved, of the distances length - 1 down to 1 - length.

    [1, 2 * length - 1, width].
    """
    frequencies = mx.exp(mx.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = mx.arange(length - 1, -length, -1)[:, None] * frequencies
    waves = mx.stack([mx.sin(angles), mx.cos(angles)], axis=-1)
    return waves.reshape(1, 2 * length - 1, width)


class EncoderLayer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=LAYER_EPS)
        self.attention = RelativeAttention(config)
        self.mlp_norm = nn.LayerNorm(config.width, eps=LAYER_EPS)
        self.mlp = MLP(config.width, config.mlp)

    def __call__(self, x: mx.array, distances: mx.array) -> mx.array:
        x = x + self.attention(self.attention_norm(x), distances)
        hidden = silu(self.mlp.up_proj(self.mlp_norm(x)))
        return x + self.mlp.down_proj(hidden)


class InputLayer(nn.Module):
    """What stands in front of each stack of layers: linear, norm, times sqrt(width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self._scale = math.sqrt(width)

    def __call__(self, x: mx.array) -> mx.array:
        return self.norm(self.linear(x)) * self._scale


class Lookahead(nn.Module):
    """Two convolutions: the first sees `lookahead` tokens ahead, the second two behind."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, ahead = config.width, config.lookahead
        self.ahead = Conv1d(width, width, ahead + 1, padding=(0, ahead))
        self.behind = Conv1d(width, width, 3, padding=causal(3))

    def __call__(self, x: mx.array) -> mx.array:
        return x + self.behind(nn.leaky_relu(self.ahead(x), 0.01))


class Encoder(nn.Module):
    """Embedded tokens [b, n, w] -> frames [b, 2n, w]."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, kernel = config.width, 2 * FRAMES_PER_TOKEN + 1
        self.input = InputLayer(width)
        self.lookahead = Lookahead(config)
        self.layers = [EncoderLayer(config) for _ in range(config.layers)]
        self.up_conv = Conv1d(width, width, kernel, padding=causal(kernel))
        self.up_input = InputLayer(width)
        self.up_layers = [EncoderLayer(config) for _ in range(config.up_layers)]
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def __call__(self, x: mx.array) -> mx.array:
        x = self.lookahead(self.input(x))
        x = self._run(self.layers, x)
        x = self.up_input(self.up_conv(mx.repeat(x, FRAMES_PER_TOKEN, axis=1)))
        return self.norm(self._run(self.up_layers, x))

    @staticmethod
    def _run(layers: list[EncoderLayer], x: mx.array) -> mx.array:
        distances = embed_distances(x.shape[1], x.shape[2])
        for layer in layers:
            x = layer(x, distances)
        return x
