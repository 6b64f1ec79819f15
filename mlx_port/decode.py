"""Block decoding in MLX: prefix, denoising passes and the filling of masked positions.

The loop over blocks, budgets and end tokens is `cbflash.decoding`; here is what needs
tensors. Within a block nothing is read back: which positions are filled is decided on the
device, and how many is known from the schedule.

Shapes: B prompts, R rows (2B under guidance: the prompts, then their null rows), L positions
of a block, M of them masked, V vocabulary, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np

from cbflash.decoding import BlockPlan
from cbflash.engine import Prompt
from cbflash.noise import noise_key
from cbflash.settings import Sampling
from mlx_port.cache import KVCache, join
from mlx_port.noise import gumbel
from mlx_port.t3 import T3

LOG_FLOOR = math.log(1e-8)  # probabilities are not taken below this (released calibration.py)


@dataclass
class Batch:
    """Prompts on their way. `tokens` is the present block [B, L]; None before the first.

    shift: [R, 1, W], the last hidden state of the settled context: the first position of a
    block is read from it.
    """

    prompts: list[Prompt]
    sampling: Sampling
    cache: KVCache
    shift: mx.array
    tokens: mx.array | None = None

    @property
    def guided(self) -> bool:
        return self.sampling.cfg_scale > 0


@dataclass(frozen=True)
class FillKind:
    """What a filling step is compiled for; all else is an argument."""

    masked: int
    count: int
    guided: bool
    greedy: bool
    scattered: bool  # Gumbel noise on the ranking of positions
    injected: bool  # noise comes from outside
    calibrated: bool  # against the unconditional prior, else against the block's own mean
    sound_only: bool  # never draw an id that is neither sound nor the end token


class Decoder:
    """`cbflash.decoding.BlockModel` on a T3."""

    def __init__(self, model: T3) -> None:
        self.model = model
        self.config = model.config
        self._step = mx.compile(self._step_pass)
        self._settle = mx.compile(self._settle_pass)
        self._fills: dict[FillKind, Callable[..., mx.array]] = {}
        self._log_prior: mx.array | None = None

    # -- the four verbs of BlockModel -------------------------------------------------

    def prefill(self, prompts: Sequence[Prompt], sampling: Sampling) -> Batch:
        conditional, null, shifts, null_shifts = [], [], [], []
        for prompt in prompts:
            caches, hidden = self._prefix(prompt, sampling)
            conditional.append(caches[0])
            shifts.append(hidden[:, -len(caches)][:, None])
            null += caches[1:]
            null_shifts += [hidden[:, -1:]] * (len(caches) - 1)
        cache = join(conditional + null, self.config)
        shift = mx.concatenate(shifts + null_shifts)
        mx.async_eval(cache.keys, cache.values, shift)
        return Batch(list(prompts), sampling, cache, shift)

    def keep(self, state: Batch, rows: Sequence[int]) -> Batch:
        count = len(state.prompts)
        doubled = [*rows, *(row + count for row in rows)] if state.guided else list(rows)
        every = mx.array(doubled)
        return Batch(
            prompts=[state.prompts[row] for row in rows],
            sampling=state.sampling,
            cache=state.cache.take(every),
            shift=state.shift[every],
            tokens=None if state.tokens is None else state.tokens[mx.array(list(rows))],
        )

    def denoise(self, state: Batch, plan: BlockPlan) -> Iterator[int]:
        settled = state.tokens
        state.tokens = mx.full((len(state.prompts), plan.length), self.config.mask, mx.int32)
        masked = plan.length
        for step, count in enumerate(plan.counts):
            if not count:
                continue  # a pass that fills nothing changes nothing
            before = state.tokens
            hidden = self._hidden(state, settled)
            settled = None
            state.tokens = self._fill(state, hidden, plan, step, masked)
            masked -= count
            mx.async_eval(state.tokens, state.cache.keys, state.cache.values)
            yield step
            # Stay one pass ahead of the device and no more, so that closing takes effect.
            mx.eval(before)

    def tokens(self, state: Batch) -> list[list[int]]:
        assert state.tokens is not None, "a block has been denoised"
        blocks: list[list[int]] = state.tokens.tolist()
        return blocks

    # -- passes ------------------------------------------------------------------------

    def _prefix(self, prompt: Prompt, sampling: Sampling) -> tuple[list[KVCache], mx.array]:
        """One pass over a prompt's prefix and, under guidance, the null row's start token.

        The null row needs nothing but its start token, so that rides along as one more
        position, which sees itself and the sink. It is rotated as position lp instead of
        lp - 1, and so is all that follows in that row: rotations only count relatively.
        """
        model, voice = self.model, prompt.voice
        x = model.embed_prefix(
            mx.array([prompt.text_tokens]),
            mx.array(voice.speaker_embedding),
            mx.array(voice.prompt_tokens)[None],
            sampling.exaggeration,
        )
        length = x.shape[1]
        guided = sampling.cfg_scale > 0
        mask = np.full((length + guided, 1 + length + guided), -np.inf, np.float32)
        mask[:length, 1 : length + 1][np.tril_indices(length)] = 0.0
        if guided:
            x = mx.concatenate([x, x[:, -1:]], axis=1)  # the start token is the same
            mask[length, 0] = math.log(length - 1)
            mask[length, length + 1] = 0.0
        keys, values = self._buffers(1, mask.shape[1])
        hidden, keys, values = model(
            x, keys, values, mx.array([1]), mx.array([0]), mx.array(mask).astype(x.dtype)
        )
        caches = [self._prefix_cache(keys, values, list(range(1, length + 1)), [0.0] * length)]
        if guided:
            sink = [math.log(length - 1), 0.0]
            null = self._prefix_cache(keys, values, [0, length + 1], sink)
            caches.append(replace(null, positions=mx.array([length + 1])))
        return caches, hidden

    def _prefix_cache(
        self, keys: list[mx.array], values: list[mx.array], slots: list[int], bias: list[float]
    ) -> KVCache:
        chosen = mx.array(slots)
        return KVCache(
            keys=[k[:, :, chosen] for k in keys],
            values=[v[:, :, chosen] for v in values],
            bias=mx.array(bias).reshape(1, 1, 1, -1).astype(self.model.dtype),
            positions=mx.array([len(slots)]),
            prefix=len(slots),
            offset=len(slots),
        )

    def _hidden(self, state: Batch, settled: mx.array | None) -> mx.array:
        """Hidden states [R, L, W] of the present block; settles the one before, if given."""
        assert state.tokens is not None
        length = state.tokens.shape[1]
        before = 0 if settled is None else settled.shape[1]
        cache = state.cache.reserve(before + length)
        state.cache = cache
        start = mx.array([cache.offset])
        positions = cache.positions + (cache.offset - cache.prefix)
        arguments = (cache.keys, cache.values, start, positions, cache.bias)
        if settled is None:
            hidden, keys, values = self._step(state.tokens, *arguments)
        else:
            hidden, state.shift, keys, values = self._settle(settled, state.tokens, *arguments)
        state.cache = replace(cache, keys=keys, values=values).advance(before)
        return hidden

    def _step_pass(
        self,
        tokens: mx.array,
        keys: list[mx.array],
        values: list[mx.array],
        start: mx.array,
        positions: mx.array,
        bias: mx.array,
    ) -> tuple[mx.array, list[mx.array], list[mx.array]]:
        """The present block sees the context and all of itself."""
        x = self._rows(self.model.embed_speech(tokens), keys)
        mask = _visible(bias, start + mx.full((tokens.shape[1],), tokens.shape[1], mx.int32))
        return self.model(x, keys, values, start, positions, mask)

    def _settle_pass(
        self,
        settled: mx.array,
        tokens: mx.array,
        keys: list[mx.array],
        values: list[mx.array],
        start: mx.array,
        positions: mx.array,
        bias: mx.array,
    ) -> tuple[mx.array, mx.array, list[mx.array], list[mx.array]]:
        """The finished block is written to the cache in the same pass: it does not see the
        present one, which sees it."""
        before, length = settled.shape[1], tokens.shape[1]
        embed = self.model.embed_speech
        x = self._rows(mx.concatenate([embed(settled), embed(tokens)], axis=1), keys)
        ends = mx.array([before] * before + [before + length] * length)
        hidden, keys, values = self.model(
            x, keys, values, start, positions, _visible(bias, start + ends)
        )
        return hidden[:, before:], hidden[:, before - 1 : before], keys, values

    def _rows(self, x: mx.array, keys: list[mx.array]) -> mx.array:
        """Null rows hold the same speech as their prompts."""
        return mx.concatenate([x, x]) if keys[0].shape[0] == 2 * x.shape[0] else x

    def _buffers(self, rows: int, slots: int) -> tuple[list[mx.array], list[mx.array]]:
        c = self.config
        empty = mx.zeros((rows, c.heads, slots, c.head_dim), self.model.dtype)
        return [empty] * c.layers, [empty] * c.layers

    # -- filling -----------------------------------------------------------------------

    def log_prior(self) -> mx.array:
        """log of the mean distribution over [start, MASK x block] with no condition, [V].

        One causal pass, the masks at positions 1..16 of it: as released, although the
        masks of a real block see each other and begin at position 0.
        """
        if self._log_prior is None:
            c = self.config
            tokens = mx.array([[c.start_speech] + [c.mask] * c.block_size])
            length = tokens.shape[1]
            x = self.model.embed_speech(tokens)
            mask = mx.triu(mx.full((length, length), -mx.inf), k=1).astype(x.dtype)
            keys, values = self._buffers(1, length)
            hidden, _, _ = self.model(x, keys, values, mx.array([0]), mx.array([0]), mask)
            logits = self.model.speech_head(hidden[0, :-1]).astype(mx.float32)
            self._log_prior = _log_floored(mx.softmax(logits, axis=-1).mean(axis=0))
            mx.eval(self._log_prior)
        return self._log_prior

    def _fill(
        self, state: Batch, hidden: mx.array, plan: BlockPlan, step: int, masked: int
    ) -> mx.array:
        """The block with `plan.counts[step]` more positions filled."""
        s = state.sampling
        kind = FillKind(
            masked=masked,
            count=plan.counts[step],
            guided=state.guided,
            greedy=s.temperature == 0,
            scattered=s.position_temperature > 0,
            injected=any(prompt.noise is not None for prompt in state.prompts),
            calibrated=s.prior_calibration,
            sound_only=s.end_rule != "released",
        )
        if kind not in self._fills:
            self._fills[kind] = mx.compile(self._filling(kind))
        noise = self._noise(state.prompts, plan.index, step, kind)
        options = mx.array([s.temperature, s.cfg_scale], mx.float32)
        return self._fills[kind](
            hidden, state.shift, state.tokens, self.log_prior(), options, *noise
        )

    def _noise(
        self, prompts: list[Prompt], block: int, step: int, kind: FillKind
    ) -> tuple[mx.array, mx.array]:
        """Keys [B, 2] of both draws, or the injected numbers themselves."""
        if kind.injected:
            given = [prompt.noise for prompt in prompts if prompt.noise is not None]
            assert len(given) == len(prompts), "inject noise into all prompts or none"
            return (
                mx.array(np.stack([noise.token[block][step] for noise in given])),
                mx.array(np.stack([noise.position[block][step] for noise in given])),
            )
        keys = [
            [noise_key(prompt.seed, block, step, stream) for prompt in prompts]
            for stream in ("token", "position")
        ]
        return mx.array(keys[0], mx.uint32), mx.array(keys[1], mx.uint32)

    def _filling(self, kind: FillKind) -> Callable[..., mx.array]:
        """The function that fills `kind.count` of `kind.masked` positions."""
        allowed = self._allowed(kind.sound_only)
        vocabulary = self.config.speech_vocab

        def fill(
            hidden: mx.array,
            shift: mx.array,
            tokens: mx.array,
            log_prior: mx.array,
            options: mx.array,
            token_noise: mx.array,
            position_noise: mx.array,
        ) -> mx.array:
            batch, length = tokens.shape
            temperature, scale = options[0], options[1]
            # Position i is read from the hidden state before it. Only masked positions get
            # logits; there are as many in every row, so they fit one rectangle.
            shifted = mx.concatenate([shift, hidden[:, :-1]], axis=1)
            order = mx.argsort(tokens != self.config.mask, axis=1)
            places = mx.sort(order[:, : kind.masked], axis=1)  # [B, M]
            wanted = places if kind.calibrated else mx.broadcast_to(mx.arange(length), tokens.shape)
            logp = self._log_probabilities(shifted, wanted)  # [R, M or L, V]
            priors = [log_prior] * (2 if kind.guided else 1)
            if not kind.calibrated:
                means = mx.exp(logp).mean(axis=1, keepdims=True)
                priors = [_log_floored(means[:batch]), _log_floored(means[batch:])]
                logp = _at(logp, mx.concatenate([places] * (logp.shape[0] // batch)))
            conditional = logp[:batch]
            guided = conditional
            if kind.guided:
                guided = conditional + scale * (conditional - logp[batch:])

            scores = guided + allowed
            if not kind.greedy:
                scores = scores / temperature
                if kind.injected:
                    scores = scores + _at(token_noise, places)
                else:
                    elements = places[..., None] * vocabulary + mx.arange(vocabulary)
                    scores = scores + gumbel(
                        elements.astype(mx.uint32), token_noise[:, None, None, :]
                    )
            drawn = mx.argmax(scores, axis=-1)  # [B, M]

            rank = _pmi(conditional, drawn, priors[0])
            if kind.guided:
                null = _pmi(logp[batch:], drawn, priors[1])
                rank = (1 + scale) * rank - scale * null
            if kind.scattered:
                if kind.injected:
                    rank = rank + mx.take_along_axis(position_noise, places, axis=1)
                else:
                    rank = rank + gumbel(places.astype(mx.uint32), position_noise[:, None, :])
            best = mx.argsort(-rank, axis=1)[:, : kind.count]
            return mx.put_along_axis(
                tokens,
                mx.take_along_axis(places, best, axis=1),
                mx.take_along_axis(drawn, best, axis=1).astype(tokens.dtype),
                axis=1,
            )

        return fill

    def _log_probabilities(self, hidden: mx.array, places: mx.array) -> mx.array:
        """log softmax of the head at `places` [B, M] of hidden [R, L, W]: [R, M, V] float32."""
        every = mx.concatenate([places] * (hidden.shape[0] // places.shape[0]))
        logits = self.model.speech_head(_at(hidden, every)).astype(mx.float32)
        return logits - mx.logsumexp(logits, axis=-1, keepdims=True)

    def _allowed(self, sound_only: bool) -> mx.array:
        """0 for ids that may be drawn, -inf for the others, [V]."""
        ids = np.arange(self.config.speech_vocab)
        sound = (ids < self.config.start_speech) | (ids == self.config.stop_speech)
        return mx.array(np.where(sound | (not sound_only), 0.0, -np.inf).astype(np.float32))


def _visible(bias: mx.array, ends: mx.array) -> mx.array:
    """Mask [R, 1, Q, S]: query q sees the slots before ends[q], weighted by `bias`."""
    slots = mx.arange(bias.shape[-1])
    hidden = mx.array(-mx.inf, bias.dtype)
    return mx.where(slots[None, None, None] < ends[None, None, :, None], bias, hidden)


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


def _log_floored(p: mx.array) -> mx.array:
    return mx.log(mx.maximum(p, 1e-8))
