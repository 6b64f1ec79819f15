"""T3, the text-to-token decoder: a Llama over [conditioning | text | start | speech].

Shapes: R rows (prompts, and their null rows under guidance), Q positions of this pass,
W width, H heads, D head dimension, S slots of the cache.

The layers are our own rather than mlx-lm's Llama: the cache is static and right-aligned with
a bias for every slot, a pass may hold a clean block and a masked one, positions differ from
row to row, and mlx-lm brings a whole tokenizer stack that nothing here needs.
"""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import T3Config
from cbflash.rope import inverse_frequencies
from mlx_port.attention import attend
from mlx_port.exp import silu


class Place(NamedTuple):
    """Where in the cache a pass lies, and what it sees.

    start: [1] int32, the slot of its first position; positions: [R] int32, the RoPE position
    of that in each row; mask: added to the scores, broadcastable to [R, H, Q, S].
    """

    start: mx.array
    positions: mx.array
    mask: mx.array


class Attention(nn.Module):
    """Multi-head attention over the cache, which takes this pass's keys and values first."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.qkv_proj = nn.Linear(config.width, 3 * inner, bias=False)
        self.o_proj = nn.Linear(inner, config.width, bias=False)
        self._heads = config.heads
        self._scale = config.head_dim**-0.5
        # MLX wants the inverse: positions per radian.
        self._periods = 1.0 / mx.array(inverse_frequencies(config))

    def __call__(
        self,
        x: mx.array,
        keys: mx.array,
        values: mx.array,
        place: Place,
    ) -> tuple[mx.array, mx.array, mx.array]:
        """x [R, Q, W] -> [R, Q, W], and the buffers with slots start .. start+Q written."""
        rows, length, _ = x.shape
        qkv = self.qkv_proj(x).reshape(rows, length, 3, self._heads, -1)
        q, k, v = (qkv[:, :, part].swapaxes(1, 2) for part in range(3))
        q, k = self._rotate(q, place.positions), self._rotate(k, place.positions)
        keys = mx.slice_update(keys, k, place.start, axes=(2,))
        values = mx.slice_update(values, v, place.start, axes=(2,))
        mixed = attend(q, keys, values, scale=self._scale, mask=place.mask)
        mixed = mixed.swapaxes(1, 2).reshape(rows, length, -1)
        return self.o_proj(mixed), keys, values

    def _rotate(self, x: mx.array, positions: mx.array) -> mx.array:
        return mx.fast.rope(
            x,
            x.shape[-1],
            traditional=False,
            base=None,
            scale=1.0,
            offset=positions,
            freqs=self._periods,
        )


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.width, 2 * config.mlp, bias=False)
        self.down_proj = nn.Linear(config.mlp, config.width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        gate_up = self.gate_up_proj(x)
        half = gate_up.shape[-1] // 2
        return self.down_proj(silu(gate_up[..., :half]) * gate_up[..., half:])


class Layer(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.mlp = MLP(config)
        self.attention_norm = nn.RMSNorm(config.width, eps=config.rms_eps)
        self.mlp_norm = nn.RMSNorm(config.width, eps=config.rms_eps)

    def __call__(
        self,
        x: mx.array,
        keys: mx.array,
        values: mx.array,
        place: Place,
    ) -> tuple[mx.array, mx.array, mx.array]:
        mixed, keys, values = self.attention(self.attention_norm(x), keys, values, place)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), keys, values


class Perceiver(nn.Module):
    """The prompt's tokens, however many, as a fixed number of rows.

    One attention is used twice: the queries read the prompt, then themselves. Both sides go
    through the same norm; the residual is on the query side; there is no MLP.
    """

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.queries = mx.zeros((1, config.perceiver_queries, config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-5)
        self.to_q = nn.Linear(config.width, config.width)
        self.to_k = nn.Linear(config.width, config.width)
        self.to_v = nn.Linear(config.width, config.width)
        self.proj_out = nn.Linear(config.width, config.width)
        self._heads = config.perceiver_heads

    def __call__(self, prompt: mx.array) -> mx.array:
        """[1, tokens, W] -> [1, queries, W]."""
        read = self._attend(self.queries, prompt)
        return self._attend(read, read)

    def _attend(self, x: mx.array, source: mx.array) -> mx.array:
        normed, source = self.norm(x), self.norm(source)
        q, k, v = (
            projected.reshape(1, projected.shape[1], self._heads, -1).swapaxes(1, 2)
            for projected in (self.to_q(normed), self.to_k(source), self.to_v(source))
        )
        mixed = attend(q, k, v, scale=q.shape[-1] ** -0.5)
        return x + self.proj_out(mixed.swapaxes(1, 2).reshape(x.shape))


class Conditioning(nn.Module):
    """Who speaks and how: [speaker | perceiver of the prompt | emotion]."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.speaker = nn.Linear(config.speaker_dim, config.width)
        self.perceiver = Perceiver(config)
        self.emotion = nn.Linear(1, config.width, bias=False)

    def __call__(self, speaker: mx.array, prompt: mx.array, exaggeration: float) -> mx.array:
        """speaker [speaker_dim], prompt embeddings [1, tokens, W] -> [1, 34, W]."""
        emotion = mx.full((1, 1, 1), exaggeration, dtype=prompt.dtype)
        return mx.concatenate(
            [
                self.speaker(speaker.astype(prompt.dtype))[None, None],
                self.perceiver(prompt),
                self.emotion(emotion),
            ],
            axis=1,
        )


class T3(nn.Module):
    """The decoder: embeddings, layers and head. The block loop is in `decode.py`."""

    def __init__(self, config: T3Config) -> None:
        super().__init__()
        self.config = config
        self.text_embedding = nn.Embedding(config.text_vocab, config.width)
        self.text_positions = nn.Embedding(config.text_positions, config.width)
        self.speech_embedding = nn.Embedding(config.speech_vocab + 1, config.width)
        self.speech_positions = nn.Embedding(config.speech_positions, config.width)
        self.conditioning = Conditioning(config)
        self.layers = [Layer(config) for _ in range(config.layers)]
        self.norm = nn.RMSNorm(config.width, eps=config.rms_eps)
        self.speech_head = nn.Linear(config.width, config.speech_vocab, bias=False)

    @property
    def dtype(self) -> mx.Dtype:
        """Of the activations: that of the norms, which are never quantised."""
        return self.norm.weight.dtype

    def embed_speech(self, tokens: mx.array) -> mx.array:
        """[R, Q] -> [R, Q, W]. Learned positions begin at 0 in every block."""
        return self.speech_embedding(tokens) + self.speech_positions.weight[: tokens.shape[1]]

    def embed_prefix(
        self, text: mx.array, speaker: mx.array, prompt: mx.array, exaggeration: float
    ) -> mx.array:
        """[conditioning | text | start] of one prompt, [1, lp, W].

        text, prompt: token ids [1, n]; speaker: embedding [speaker_dim].
        """
        start = mx.array([[self.config.start_speech]])
        return mx.concatenate(
            [
                self.conditioning(speaker, self.embed_speech(prompt), exaggeration),
                self.text_embedding(text) + self.text_positions.weight[: text.shape[1]],
                self.embed_speech(start),
            ],
            axis=1,
        )

    def __call__(
        self,
        x: mx.array,
        keys: list[mx.array],
        values: list[mx.array],
        place: Place,
    ) -> tuple[mx.array, list[mx.array], list[mx.array]]:
        """One pass of the layers over embeddings x [R, Q, W].

        keys, values: a buffer [R, H, S, D] for each layer.
        Gives the hidden states after the last norm, and the buffers with Q slots written.
        """
        keys, values = list(keys), list(values)
        for i, layer in enumerate(self.layers):
            x, keys[i], values[i] = layer(x, keys[i], values[i], place)
        return self.norm(x), keys, values
