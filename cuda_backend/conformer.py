"""The flow's encoder: speech tokens, 25 a second, to frames, 50 a second.

A conformer without its convolutions: pre-norm transformer layers with relative positions
(Transformer-XL, Dai et al. 2019), before and after an upsampling by two. Every layer sees the
whole sequence, past and future.

Shapes: b batch, n positions (tokens or frames), w width, h heads, d head dimension. Rows of
different lengths are padded on the right; `mask` [b, 1, 1, n] is false in the padding, and
None when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbflash.config import FlowConfig
from cbflash.tokens import FRAMES_PER_TOKEN
from cuda_backend.layers import MLP, Conv1d, Linear, causal, clear, frames_beyond, parameter

# Inside a layer the released norms guard against zero variance only.
LAYER_EPS = 1e-12
QUERIES = 192  # that are looked at together


class RelativeAttention(nn.Module):
    """Attention whose scores are (q + u) k + (q + v) p, p of the distance between positions."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.q_proj = Linear(width, width)
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.o_proj = Linear(width, width)
        self.position_proj = Linear(width, width, bias=False)
        self.content_bias = parameter(heads, width // heads)
        self.position_bias = parameter(heads, width // heads)
        self._heads = heads
        self._scale = (width // heads) ** -0.5

    def forward(
        self, x: Tensor, distances: Tensor, mask: Tensor | None, residual: Tensor
    ) -> Tensor:
        """x [b, n, w] and embedded distances [1, 2n - 1, w] -> [b, n, w], added to `residual`."""
        q, k, v, p = (
            self._split(projected)
            for projected in (
                self.q_proj(x),
                self.k_proj(x),
                self.v_proj(x),
                self.position_proj(distances),
            )
        )
        length = x.shape[1]
        parts = []
        # Together all queries meet 2n - 1 distances; a few of them meet little more than n.
        for begin in range(0, length, QUERIES):
            end = min(begin + QUERIES, length)
            met = p[:, :, length - end : 2 * length - 1 - begin]
            parts.append(self._mix(q[:, :, begin:end], k, v, met, mask))
        out: Tensor = self.o_proj(torch.cat(parts, dim=1), residual)
        return out

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, p: Tensor, mask: Tensor | None) -> Tensor:
        """For c queries [b, h, c, d] and the c + n - 1 distances that they meet -> [b, c, w]."""
        by_distance = self._scale * (q + self.position_bias[:, None]) @ p.transpose(-1, -2)
        bias = by_pair(by_distance)
        if mask is not None:
            bias = bias.masked_fill(~mask, -torch.inf)
        mixed = F.scaled_dot_product_attention(
            q + self.content_bias[:, None], k, v, bias, scale=self._scale
        )
        return mixed.transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        """[b, n, w] -> [b, h, n, d]."""
        return x.view(*x.shape[:2], self._heads, -1).transpose(1, 2)


def by_pair(scores: Tensor) -> Tensor:
    """Scores of c queries by distance, [b, h, c, c + n - 1], -> by pair, [b, h, c, n].

    Query i meets key j in column c - 1 - i + j: every row starts one column before the row
    above it. So it is the same memory read in shorter rows, and nothing is copied.
    """
    batch, heads, queries, columns = scores.shape
    shape = (batch, heads, queries, columns - queries + 1)
    strides = (heads * queries * columns, queries * columns, columns - 1, 1)
    scores = scores.contiguous()
    return scores.as_strided(shape, strides, scores.storage_offset() + queries - 1)


def embed_distances(length: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines, interleaved, of the distances length - 1 down to 1 - length.

    [1, 2 * length - 1, width].
    """
    falling = torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width)
    angles = torch.arange(length - 1, -length, -1, device=device)[:, None] * falling.exp()
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None]


class EncoderLayer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, eps=LAYER_EPS)
        self.attention = RelativeAttention(config)
        self.mlp_norm = nn.LayerNorm(config.width, eps=LAYER_EPS)
        self.mlp = MLP(config.width, config.mlp, "silu")

    def forward(self, x: Tensor, distances: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(self.attention_norm(x), distances, mask, residual=x)
        out: Tensor = self.mlp(self.mlp_norm(x), residual=x)
        return out


class InputLayer(nn.Module):
    """What stands in front of each stack of layers: linear, norm, times sqrt(width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self._scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.linear(x)) * self._scale
        return out


class Lookahead(nn.Module):
    """Two convolutions: the first sees `lookahead` tokens ahead, the second two behind."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, ahead = config.width, config.lookahead
        self.ahead = Conv1d(width, width, ahead + 1, padding=(0, ahead))
        self.behind = Conv1d(width, width, 3, padding=causal(3))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """[b, n, w] -> [b, n, w]; what lies beyond the lengths [b] is cleared."""
        x = clear(x, frames_beyond(lengths, x.shape[1]))
        out: Tensor = self.behind(F.leaky_relu(self.ahead(x), 0.01), residual=x)
        return out


class Encoder(nn.Module):
    """Embedded tokens [b, n, w] -> frames [b, 2n, w]."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        width, kernel = config.width, 2 * FRAMES_PER_TOKEN + 1
        self.input = InputLayer(width)
        self.lookahead = Lookahead(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.up_conv = Conv1d(width, width, kernel, padding=causal(kernel))
        self.up_input = InputLayer(width)
        self.up_layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.up_layers))
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths: of the rows in tokens, [b]; None if nothing is padded."""
        x = self.lookahead(self.input(x), lengths)
        x = self._run(self.layers, x, lengths)
        x = self.up_input(self.up_conv(x.repeat_interleave(FRAMES_PER_TOKEN, dim=1)))
        lengths = None if lengths is None else FRAMES_PER_TOKEN * lengths
        out: Tensor = self.norm(self._run(self.up_layers, x, lengths))
        return out

    @staticmethod
    def _run(layers: Iterable[nn.Module], x: Tensor, lengths: Tensor | None) -> Tensor:
        distances = embed_distances(x.shape[1], x.shape[2], x.device)
        beyond = frames_beyond(lengths, x.shape[1])
        mask = None if beyond is None else ~beyond[:, None, None, :, 0]
        for layer in layers:
            x = layer(x, distances, mask)
        return x
