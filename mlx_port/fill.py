"""Filling masked positions: draw a token for each, score it, keep the best.

Shapes: B prompts, R rows (2B under guidance: the prompts, then their null rows), L positions
of a block, M of them masked, V vocabulary, W width.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import T3Config
from cbflash.filling import LOG_FLOOR, FillKind, allowed_ids
from mlx_port.noise import gumbel


class Fill:
    """One filling step of one kind, compiled.

    Sources: released model.py `_pmi_count_early_step_unmask`, calibration.py, cfg_guidance.py.
    """

    def __init__(self, kind: FillKind, head: nn.Module, config: T3Config) -> None:
        self._kind = kind
        self._head = head
        self._mask = config.mask
        self._vocabulary = config.speech_vocab
        self._allowed = mx.array(allowed_ids(config, kind.sound_only))
        self._compiled = mx.compile(self._fill)

    def __call__(
        self,
        tokens: mx.array,
        hidden: mx.array,
        shift: mx.array,
        log_prior: mx.array,
        options: mx.array,
        noise: tuple[mx.array, mx.array],
    ) -> mx.array:
        """The block with `count` more positions filled, [B, L].

        tokens [B, L]; hidden [R, L, W] of this block and shift [R, 1, W] from before it;
        log_prior [V]; options: temperature, guidance scale and threshold; noise: for tokens
        and for positions, keys [B, 2] or, injected, the numbers themselves [B, L, V] and [B, L].
        """
        return self._compiled(tokens, hidden, shift, log_prior, options, *noise)

    def _fill(
        self,
        tokens: mx.array,
        hidden: mx.array,
        shift: mx.array,
        log_prior: mx.array,
        options: mx.array,
        token_noise: mx.array,
        position_noise: mx.array,
    ) -> mx.array:
        temperature, scale = options[0], options[1]
        # Only masked positions get logits; there are as many in every row, so they fit one
        # rectangle. With a threshold there may be fewer, and filled ones make up the rest.
        order = mx.argsort(tokens != self._mask, axis=1)
        places = mx.sort(order[:, : self._kind.masked], axis=1)  # [B, M]
        logp, priors = self._distributions(hidden, shift, places, log_prior)
        guided = self._guide(logp, scale)
        drawn = self._draw(guided, places, temperature, token_noise)
        rank = self._rank(logp, drawn, priors, scale)
        if self._kind.scattered:
            rank = rank + self._scatter(places, position_noise)
        if self._kind.thresholded:
            now = mx.take_along_axis(tokens, places, axis=1)
            sure = self._confidence(guided, drawn) >= options[2]
            filled = chosen(sure, rank, now == self._mask, self._kind.left)
            values = mx.where(filled, drawn.astype(tokens.dtype), now)
            return mx.put_along_axis(tokens, places, values, axis=1)
        best = mx.argsort(-rank, axis=1)[:, : self._kind.count]
        return mx.put_along_axis(
            tokens,
            mx.take_along_axis(places, best, axis=1),
            mx.take_along_axis(drawn, best, axis=1).astype(tokens.dtype),
            axis=1,
        )

    def _distributions(
        self, hidden: mx.array, shift: mx.array, places: mx.array, log_prior: mx.array
    ) -> tuple[mx.array, list[mx.array]]:
        """Log probabilities [R, M, V] in float32, and the priors of prompts and null rows.

        Position i is read from the hidden state before it.
        """
        shifted = mx.concatenate([shift, hidden[:, :-1]], axis=1)
        every = mx.concatenate([places] * (hidden.shape[0] // places.shape[0]))
        if self._kind.prior != "block":
            known = self._kind.prior == "unconditional"
            prior = log_prior if known else mx.zeros_like(log_prior)
            return self._log_softmax(_at(shifted, every)), [prior, prior]
        # The mean of the block itself takes all its positions, the filled ones too.
        logp = self._log_softmax(shifted)
        means = log_floored(mx.exp(logp).mean(axis=1, keepdims=True))
        return _at(logp, every), [means[: places.shape[0]], means[places.shape[0] :]]

    def _log_softmax(self, hidden: mx.array) -> mx.array:
        logits = self._head(hidden).astype(mx.float32)
        return logits - mx.logsumexp(logits, axis=-1, keepdims=True)

    def _guide(self, logp: mx.array, scale: mx.array) -> mx.array:
        """Classifier-free guidance in log space."""
        if not self._kind.guided:
            return logp
        conditional, null = _halves(logp)
        return conditional + scale * (conditional - null)

    def _draw(
        self, guided: mx.array, places: mx.array, temperature: mx.array, noise: mx.array
    ) -> mx.array:
        """A token for each masked position, [B, M]: Gumbel-max is a draw from the softmax."""
        scores = guided + self._allowed
        if not self._kind.greedy:
            scores = scores / temperature
            if self._kind.injected:
                scores = scores + _at(noise, places)
            else:
                elements = places[..., None] * self._vocabulary + mx.arange(self._vocabulary)
                scores = scores + gumbel(elements.astype(mx.uint32), noise[:, None, None, :])
        return mx.argmax(scores, axis=-1)

    def _rank(
        self, logp: mx.array, drawn: mx.array, priors: list[mx.array], scale: mx.array
    ) -> mx.array:
        """Scores [B, M] of the drawn tokens, guided like the tokens; calibrated by the priors."""
        if not self._kind.guided:
            return _pmi(logp, drawn, priors[0])
        conditional, null = _halves(logp)
        guided = (1 + scale) * _pmi(conditional, drawn, priors[0])
        return guided - scale * _pmi(null, drawn, priors[1])

    def _confidence(self, guided: mx.array, drawn: mx.array) -> mx.array:
        """Probabilities [B, M] of the drawn tokens among all that may be drawn."""
        scores = guided + self._allowed
        chances = mx.take_along_axis(scores, drawn[..., None], axis=-1)[..., 0]
        return mx.exp(chances - mx.logsumexp(scores, axis=-1))

    def _scatter(self, places: mx.array, noise: mx.array) -> mx.array:
        if self._kind.injected:
            return mx.take_along_axis(noise, places, axis=1)
        return gumbel(places.astype(mx.uint32), noise[:, None, :])


def chosen(sure: mx.array, rank: mx.array, masked: mx.array, left: int) -> mx.array:
    """`cbflash.threshold.chosen` for B rows: which of M positions are filled, [B, M].

    sure: confident enough; rank: higher is sooner; masked: the others are never filled; left:
    how many may stay masked.
    """
    candidates = sure & masked
    one, other = rank[:, :, None], rank[:, None, :]
    place = mx.arange(rank.shape[1])
    sooner = (other > one) | ((other == one) & (place[None, :] < place[:, None]))
    surer = candidates[:, None, :] & ~candidates[:, :, None]
    equals = candidates[:, None, :] == candidates[:, :, None]
    before = ((surer | (equals & sooner)) & masked[:, None, :]).sum(axis=2)
    count = mx.maximum(masked.sum(axis=1, keepdims=True) - left, 1)
    return masked & (sure | (before < count))


def _halves(x: mx.array) -> tuple[mx.array, mx.array]:
    """Prompts and null rows. By slices: MLX 0.32 cannot compile two equal splits."""
    half = x.shape[0] // 2
    return x[:half], x[half:]


def log_floored(p: mx.array) -> mx.array:
    return mx.log(mx.maximum(p, 1e-8))


def _at(x: mx.array, places: mx.array) -> mx.array:
    """x [B, L, ...] at places [B, M] of its second axis."""
    return mx.take_along_axis(x, places[..., None], axis=1)


def _pmi(logp: mx.array, drawn: mx.array, log_prior: mx.array) -> mx.array:
    """Prior-calibrated score log p(x) - log prior(x) of the drawn ids [B, M].

    logp [B, M, V]; log_prior [V] or [B, 1, V], already floored.
    """
    chosen = mx.take_along_axis(logp, drawn[..., None], axis=-1)[..., 0]
    if log_prior.ndim == 1:
        prior = log_prior[drawn]
    else:
        prior = mx.take_along_axis(log_prior[:, 0], drawn, axis=-1)
    return mx.maximum(chosen, LOG_FLOOR) - prior
