"""Speech tokens of an autoregressive T3, one after another, many rows at once.

Shapes: R rows, P positions of the padded prefix, V vocabulary; H heads, D head dimension.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from cbflash.filling import allowed_ids
from cuda_backend.t3 import T3
from training.t3 import Layout, Prefix, Untold


@dataclass(frozen=True)
class Draw:
    """How tokens are drawn.

    top_p, min_p: what is left of a distribution: the likeliest ids that are so much of it, those
    that are so much of the likeliest. repetition: what ids are divided by that were drawn before
    (Keskar et al. 2019), 1 does nothing. scale: of guidance, 0 is none; untold: what its other rows
    are not told. limit: tokens of the longest row. period: of the model's learned positions, see
    `training.t3.Layout.causal`.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    scale: float = 0.0
    limit: int = 300
    min_p: float = 0.0
    repetition: float = 1.0
    untold: Untold = "all"
    period: int = 0


class _Cache:
    """A pass (`cuda_backend.attention.Pass`) that appends keys and values, and hides padding."""

    def __init__(self, inside: Tensor) -> None:
        self._inside = inside  # [R, positions so far] bool
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}

    def grow(self, count: int = 1) -> None:
        """To be called before a pass over `count` more positions."""
        self._inside = F.pad(self._inside, (0, count), value=True)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[R, Q, H, D] each; the first pass is causal, later ones are of one position."""
        mask = self._inside[:, None, None]
        if layer in self._keys:
            k = torch.cat([self._keys[layer], k], dim=1)
            v = torch.cat([self._values[layer], v], dim=1)
        else:
            mask = mask & torch.ones(k.shape[1], k.shape[1], dtype=torch.bool).tril().to(k.device)
        self._keys[layer], self._values[layer] = k, v
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)


@torch.inference_mode()
def speak(
    model: T3, prefix: Prefix, draw: Draw, generator: torch.Generator | None = None
) -> list[Tensor]:
    """The tokens of each row, without start and stop; as many as `limit` where none came.

    Ids that are neither sound nor the stop are never drawn.
    """
    config = model.config
    front = prefix.embed(model)
    rows, length = front.shape[:2]
    begins = prefix.lengths + length - prefix.text.shape[1]
    if draw.scale:
        front = torch.cat([front, _without(model, prefix, front, draw.untold)])
        begins = begins.repeat(2)
    places = torch.arange(length, device=front.device)
    cache = _Cache(places < begins[:, None])
    model(front, places.expand(len(front), -1), cache)
    allowed = torch.from_numpy(allowed_ids(config, sound_only=True)).to(front.device)
    last = torch.full((rows,), config.start_speech, device=front.device)
    found: list[Tensor] = []
    drawn = torch.zeros(rows, config.speech_vocab, dtype=torch.bool, device=front.device)
    ended = torch.zeros(rows, dtype=torch.bool, device=front.device)
    learned = Layout.causal(draw.limit + 1, front.device, draw.period).learned
    for place in range(draw.limit + 1):
        x = model.speech_embedding(last) + model.speech_positions.weight[learned[place]]
        both = x.repeat(len(front) // rows, 1)[:, None]
        cache.grow()
        hidden = model(both, (begins + place)[:, None], cache)
        scores = _guided(model.speech_head(hidden[:, 0]).float(), draw)
        last = _draw(_rarer(scores, drawn, draw.repetition) + allowed, draw, generator)
        drawn.scatter_(1, last[:, None], True)
        found.append(last)
        ended |= last == config.stop_speech
        if bool(ended.all()):
            break
    tokens = torch.stack(found, dim=1)
    return [_until_stop(row, config.stop_speech)[: draw.limit] for row in tokens]


def _without(model: T3, prefix: Prefix, front: Tensor, untold: Untold) -> Tensor:
    """The prefixes [R, P, W] of the rows that guide."""
    if untold == "text":
        every = torch.ones(len(front), dtype=torch.bool, device=front.device)
        return replace(prefix, wordless=every).embed(model)
    return torch.zeros_like(front)  # and so in every layer: an RMSNorm of zero is zero


def _guided(scores: Tensor, draw: Draw) -> Tensor:
    """Logits of the rows, and of those that are not told, -> logits [R, V]."""
    if not draw.scale:
        return scores
    told, untold = scores.chunk(2)
    return told + draw.scale * (told - untold)


def _rarer(scores: Tensor, drawn: Tensor, repetition: float) -> Tensor:
    """Make less likely what was drawn before, [R, V] bool."""
    if repetition == 1:
        return scores
    less = torch.where(scores > 0, scores / repetition, scores * repetition)
    return torch.where(drawn, less, scores)


def _draw(scores: Tensor, draw: Draw, generator: torch.Generator | None) -> Tensor:
    """Logits [R, V] -> ids [R]."""
    if not draw.temperature:
        return scores.argmax(dim=-1)
    chances = torch.softmax(scores / draw.temperature, dim=-1)
    ranked, ids = chances.sort(dim=-1, descending=True)
    if draw.min_p:
        ranked = ranked.masked_fill(ranked < draw.min_p * ranked[:, :1], 0.0)
        ranked = ranked / ranked.sum(dim=-1, keepdim=True)
    before = ranked.cumsum(dim=-1) - ranked
    ranked = ranked.masked_fill(before > draw.top_p, 0.0)
    chosen = torch.multinomial(ranked, 1, generator=generator)
    return ids.gather(-1, chosen)[:, 0]


def _until_stop(row: Tensor, stop: int) -> Tensor:
    [places] = torch.nonzero(row == stop, as_tuple=True)
    return row[: int(places[0])] if len(places) else row
