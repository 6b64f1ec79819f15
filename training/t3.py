"""T3 over whole sequences: teacher forcing, with any mask and without a cache.

A sequence is [conditioning | text | speech], and speech begins with the start token. The prefix is
causal and padded on the right; speech sees all of its own prefix and of speech what `Layout.seen`
or the caller says. What comes of it is what the passes of the decoder compute (`decode.py`).

Shapes: R rows, n text ids, m speech ids, P positions of a padded prefix, W width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.t3 import T3

# What a row without condition lacks: the whole prefix, as in Chatterbox-Flash and in what is
# trained here, or the embeddings of its text alone, as in the autoregressive Chatterbox.
Untold = Literal["all", "text"]

HIDDEN = -1e9  # score of what is not seen


@dataclass(frozen=True)
class Prefix:
    """What is spoken, and who speaks.

    text: ids [R, n], padded on the right with anything; lengths: of the texts, [R].
    speaker: embeddings [R, speaker_dim]; prompt: speech ids [R, p]; exaggeration: [R].
    wordless: rows [R] bool of whose text only the positions are embedded; None: there are none.
    """

    text: Tensor
    lengths: Tensor
    speaker: Tensor
    prompt: Tensor
    exaggeration: Tensor
    wordless: Tensor | None = None

    def embed(self, model: T3) -> Tensor:
        """[R, P, W]."""
        voice = model.embed_speech(self.prompt)
        conditioning = model.conditioning(self.speaker, voice, self.exaggeration)
        text = model.embed_text(self.text)
        if self.wordless is not None:
            places = model.text_positions.weight[: text.shape[1]]
            text = torch.where(self.wordless[:, None, None], places, text)
        return torch.cat([conditioning, text], dim=1)

    def to(self, device: torch.device) -> Prefix:
        return Prefix(
            self.text.to(device),
            self.lengths.to(device),
            self.speaker.to(device),
            self.prompt.to(device),
            self.exaggeration.to(device),
            None if self.wordless is None else self.wordless.to(device),
        )


@dataclass(frozen=True)
class Layout:
    """Where speech ids stand, and in which block; each [m].

    offsets: RoPE positions, counted from the start token. learned: positions of the learned
    embedding. blocks: later blocks see earlier ones.
    """

    offsets: Tensor
    learned: Tensor
    blocks: Tensor

    @classmethod
    def causal(cls, length: int, device: str | torch.device = "cpu", period: int = 0) -> Layout:
        """Of an autoregressive model: every id is a block of its own. Learned positions begin anew
        after every `period` tokens, or never if it is 0."""
        if period:
            return cls.of_blocks(length, 1, device, period)
        places = torch.arange(length, device=device)
        return cls(places, places, places)

    @classmethod
    def of_blocks(
        cls, length: int, size: int, device: str | torch.device = "cpu", period: int | None = None
    ) -> Layout:
        """The start token, then blocks of `size`, in each of which learned positions begin anew;
        or after every `period` tokens."""
        places = torch.arange(length, device=device)
        inside = torch.where(places > 0, (places - 1) % (period or size), 0)
        return cls(places, inside, (places + size - 1) // size)

    def seen(self) -> Tensor:
        """[m, m] bool: a query (row) sees its own block, whole, and those before it."""
        return self.blocks <= self.blocks[:, None]


def hidden_states(
    model: T3,
    prefix: Prefix,
    speech: Tensor,
    layout: Layout,
    seen: Tensor | None = None,
    unconditional: Tensor | None = None,
) -> Tensor:
    """Hidden states of the speech positions, [R, m, W].

    speech: ids [R, m], the start token first. seen: what speech sees of speech, bool [m, m] or
    [R, m, m], the layout's if not given. unconditional: rows [R] bool whose prefix is the zeros
    of guidance.
    """
    device = speech.device
    front = prefix.embed(model)
    rows, length = front.shape[:2]
    begins = prefix.lengths + length - prefix.text.shape[1]  # where speech begins, [R]
    x = torch.cat([front, _embed(model, speech, layout)], dim=1)
    positions = torch.cat(
        [
            torch.arange(length, device=device).expand(rows, -1),
            begins[:, None] + layout.offsets,
        ],
        dim=1,
    )
    inside = torch.arange(length, device=device) < begins[:, None]
    mask = _mask(inside, layout.seen() if seen is None else seen)
    nothing = None
    if unconditional is not None:
        nothing = F.pad(unconditional[:, None].expand(-1, length), (0, speech.shape[1]))
    hidden: Tensor = model(x, positions, Masked(mask, nothing))
    return hidden[:, length:]


def logits(model: T3, hidden: Tensor) -> Tensor:
    """Hidden states [R, m, W] -> logits [R, m - 1, V] of the ids that follow each.

    A position is read from the hidden state before it, inside of blocks too (token shift).
    """
    scores: Tensor = model.speech_head(hidden[:, :-1])
    return scores


class Masked:
    """A pass (`cuda_backend.attention.Pass`) over whole sequences of Q positions.

    seen: [R, Q, Q] bool, of queries (rows) and keys. nothing: [R, Q] bool, positions that are
    seen as zeros. They would be zero anyway if their embeddings were (RMSNorm of zero is zero);
    but gradients grow 300-fold in an RMSNorm of zero (one over the root of its epsilon), and
    behind some layers nothing is left of them: so none get that far.
    """

    def __init__(self, seen: Tensor, nothing: Tensor | None = None) -> None:
        self._seen = seen[:, None]
        self._bias: Tensor | None = None
        self._nothing = None if nothing is None else nothing[:, :, None, None]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self._nothing is not None:
            k, v = (x.masked_fill(self._nothing, 0.0) for x in (k, v))
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        if q.device.type == "cpu":
            return self._products(q, k, v).transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, v, self._seen).transpose(1, 2)

    def _products(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention [R, H, Q, D] as plain products: a CPU's fused kernel takes twice as long,
        forwards and backwards, for sequences as short as these in bfloat16."""
        rows, heads, length, dims = q.shape
        if self._bias is None or self._bias.dtype != q.dtype:
            bias = torch.zeros_like(self._seen, dtype=q.dtype).masked_fill(~self._seen, HIDDEN)
            self._bias = bias.expand(-1, heads, -1, -1).reshape(-1, length, length)
        q, k, v = (x.reshape(rows * heads, length, dims) for x in (q, k, v))
        scores = torch.baddbmm(self._bias, q, k.transpose(1, 2), alpha=dims**-0.5)
        return torch.bmm(scores.softmax(dim=-1), v).view(rows, heads, length, dims)


def _embed(model: T3, speech: Tensor, layout: Layout) -> Tensor:
    embedded: Tensor = model.speech_embedding(speech)
    return embedded + model.speech_positions.weight[layout.learned]


def _mask(inside: Tensor, speech: Tensor) -> Tensor:
    """What is seen by whom: inside [R, P], which of a prefix is no padding; speech, bool
    [m, m] or [R, m, m] -> [R, P + m, P + m]. No row is empty: all see the first position."""
    rows, length = inside.shape
    own = speech.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=inside.device).tril()
    before = F.pad(causal & inside[:, None], (0, own))
    after = torch.cat(
        [inside[:, None].expand(-1, own, -1), speech.expand(rows, own, own)],
        dim=-1,
    )
    return torch.cat([before, after], dim=1)
