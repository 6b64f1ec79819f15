"""Filling masked positions: draw a token for each, score it, keep the best.

Shapes: B prompts, R rows (2B under guidance: the prompts, then their null rows), L positions
of a block, M of them masked, V vocabulary, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cbflash.config import T3Config
from cbflash.filling import LOG_FLOOR, FillKind, allowed_ids
from cuda_backend.noise import gumbel


class Fill:
    """One filling step of one kind. Nothing in it waits for the device.

    Sources: released model.py `_pmi_count_early_step_unmask`, calibration.py, cfg_guidance.py.
    """

    def __init__(
        self, kind: FillKind, head: nn.Module, config: T3Config, device: torch.device
    ) -> None:
        self._kind = kind
        self._head = head
        self._mask = config.mask
        self._vocabulary = config.speech_vocab
        self._allowed = torch.from_numpy(allowed_ids(config, kind.sound_only)).to(device)

    def __call__(
        self,
        tokens: Tensor,
        hidden: Tensor,
        shift: Tensor,
        log_prior: Tensor,
        options: Tensor,
        noise: tuple[Tensor, Tensor],
    ) -> Tensor:
        """The block with `count` more positions filled, [B, L].

        tokens [B, L]; hidden [R, L, W] of this block and shift [R, 1, W] from before it;
        log_prior [V]; options: temperature, guidance scale and threshold; noise: for tokens
        and for positions, keys [B, 2] or, injected, the numbers themselves [B, L, V] and [B, L].
        """
        temperature, scale = options[0], options[1]
        token_noise, position_noise = noise
        # Only masked positions get logits; there are as many in every row, so they fit one
        # rectangle. A stable sort leaves them in their order. With a threshold there may be
        # fewer, and filled ones make up the rest.
        order = (tokens != self._mask).to(torch.uint8).argsort(dim=1, stable=True)
        places = order[:, : self._kind.masked]  # [B, M]
        logp, priors = self._distributions(hidden, shift, places, log_prior)
        guided = self._guide(logp, scale)
        drawn = self._draw(guided, places, temperature, token_noise)
        rank = self._rank(logp, drawn, priors, scale)
        if self._kind.scattered:
            rank = rank + self._scatter(places, position_noise)
        if self._kind.thresholded:
            now = tokens.gather(1, places)
            sure = self._confidence(guided, drawn) >= options[2]
            filled = chosen(sure, rank, now == self._mask, self._kind.left)
            return tokens.scatter(1, places, drawn.where(filled, now))
        best = rank.argsort(dim=1, descending=True, stable=True)[:, : self._kind.count]
        return tokens.scatter(1, places.gather(1, best), drawn.gather(1, best))

    def _distributions(
        self, hidden: Tensor, shift: Tensor, places: Tensor, log_prior: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Log probabilities [R, M, V] in float32, and the priors of prompts and null rows.

        Position i is read from the hidden state before it.
        """
        shifted = torch.cat([shift, hidden[:, :-1]], dim=1)
        every = places.repeat(hidden.shape[0] // places.shape[0], 1)
        if self._kind.prior != "block":
            known = self._kind.prior == "unconditional"
            prior = log_prior if known else torch.zeros_like(log_prior)
            return self._log_softmax(_at(shifted, every)), [prior, prior]
        # The mean of the block itself takes all its positions, the filled ones too.
        logp = self._log_softmax(shifted)
        means = log_floored(logp.exp().mean(dim=1, keepdim=True))
        return _at(logp, every), [means[: places.shape[0]], means[places.shape[0] :]]

    def _log_softmax(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._head(hidden)
        return torch.log_softmax(logits, dim=-1, dtype=torch.float32)

    def _guide(self, logp: Tensor, scale: Tensor) -> Tensor:
        """Classifier-free guidance in log space."""
        if not self._kind.guided:
            return logp
        conditional, null = logp.chunk(2)
        return conditional + scale * (conditional - null)

    def _draw(self, guided: Tensor, places: Tensor, temperature: Tensor, noise: Tensor) -> Tensor:
        """A token for each masked position, [B, M]: Gumbel-max is a draw from the softmax."""
        scores = guided + self._allowed
        if not self._kind.greedy:
            scores = scores / temperature
            if self._kind.injected:
                scores = scores + _at(noise, places)
            else:
                ids = torch.arange(self._vocabulary, dtype=torch.int32, device=places.device)
                elements = places[..., None].to(torch.int32) * self._vocabulary + ids
                scores = scores + gumbel(elements, noise[:, None, None, :])
        return scores.argmax(dim=-1)

    def _rank(self, logp: Tensor, drawn: Tensor, priors: list[Tensor], scale: Tensor) -> Tensor:
        """Scores [B, M] of the drawn tokens, guided like the tokens; calibrated by the priors."""
        if not self._kind.guided:
            return _pmi(logp, drawn, priors[0])
        conditional, null = logp.chunk(2)
        guided = (1 + scale) * _pmi(conditional, drawn, priors[0])
        return guided - scale * _pmi(null, drawn, priors[1])

    def _confidence(self, guided: Tensor, drawn: Tensor) -> Tensor:
        """Probabilities [B, M] of the drawn tokens among all that may be drawn."""
        scores = guided + self._allowed
        chances = scores.gather(-1, drawn[..., None])[..., 0]
        return (chances - scores.logsumexp(dim=-1)).exp()

    def _scatter(self, places: Tensor, noise: Tensor) -> Tensor:
        if self._kind.injected:
            return noise.gather(1, places)
        return gumbel(places.to(torch.int32), noise[:, None, :])


def chosen(sure: Tensor, rank: Tensor, masked: Tensor, left: int) -> Tensor:
    """`cbflash.threshold.chosen` for B rows: which of M positions are filled, [B, M].

    sure: confident enough; rank: higher is sooner; masked: the others are never filled; left:
    how many may stay masked.
    """
    candidates = sure & masked
    one, other = rank[:, :, None], rank[:, None, :]
    place = torch.arange(rank.shape[1], device=rank.device)
    sooner = (other > one) | ((other == one) & (place < place[:, None]))
    surer = candidates[:, None, :] & ~candidates[:, :, None]
    equals = candidates[:, None, :] == candidates[:, :, None]
    before = ((surer | (equals & sooner)) & masked[:, None, :]).sum(dim=2)
    count = (masked.sum(dim=1, keepdim=True) - left).clamp(min=1)
    return masked & (sure | (before < count))


def log_floored(p: Tensor) -> Tensor:
    return p.clamp(min=1e-8).log()


def _at(x: Tensor, places: Tensor) -> Tensor:
    """x [B, L, ...] at places [B, M] of its second axis."""
    return x.take_along_dim(places[..., None], dim=1)


def _pmi(logp: Tensor, drawn: Tensor, log_prior: Tensor) -> Tensor:
    """Prior-calibrated score log p(x) - log prior(x) of the drawn ids [B, M].

    logp [B, M, V]; log_prior [V] or [B, 1, V], already floored.
    """
    chosen = logp.gather(-1, drawn[..., None])[..., 0]
    prior = log_prior[drawn] if log_prior.ndim == 1 else log_prior[:, 0].gather(-1, drawn)
    return chosen.clamp(min=LOG_FLOOR) - prior
