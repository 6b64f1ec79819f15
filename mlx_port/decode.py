"""Block decoding in MLX: prefixes, denoising passes and the cache between them.

The loop over blocks, budgets and end tokens is `cbflash.decoding`; here is what needs
tensors. Within a block nothing is read back: which positions are filled is decided on the
device, and how many is known from the schedule. With a threshold that too is decided on the
device, and the loop looks whether anything is left.

Shapes: B prompts, R rows (2B under guidance: the prompts, then their null rows), L positions
of a block, V vocabulary, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np

from cbflash.decoding import BlockPlan
from cbflash.engine import Prompt
from cbflash.filling import FillKind
from cbflash.noise import noise_key
from cbflash.settings import Sampling
from mlx_port.cache import KVCache, join, sink_biases
from mlx_port.fill import Fill, log_floored
from mlx_port.t3 import T3, Place


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


class Decoder:
    """`cbflash.decoding.BlockModel` on a T3."""

    def __init__(self, model: T3) -> None:
        self.model = model
        self.config = model.config
        self._step = mx.compile(self._step_pass)
        self._settle = mx.compile(self._settle_pass)
        self._fills: dict[FillKind, Fill] = {}
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
        sinks = sink_biases(length - 1, model.dtype) if guided else []
        first, null = len(sinks), len(sinks) + length  # slots of the prefix and of the null row
        mask = np.full((length + guided, first + length + guided), -np.inf, np.float32)
        mask[:length, first:null][np.tril_indices(length)] = 0.0
        if guided:
            x = mx.concatenate([x, x[:, -1:]], axis=1)  # the start token is the same
            mask[length, :first] = sinks
            mask[length, null] = 0.0
        keys, values = self._buffers(1, mask.shape[1])
        hidden, keys, values = model(
            x,
            keys,
            values,
            Place(mx.array([first]), mx.array([0]), mx.array(mask).astype(x.dtype)),
        )
        caches = [self._prefix_cache(keys, values, list(range(first, null)), [0.0] * length)]
        if guided:
            row = self._prefix_cache(keys, values, [*range(first), null], [*sinks, 0.0])
            caches.append(replace(row, positions=mx.array([length + 1])))
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
        return self.model(x, keys, values, Place(start, positions, mask))

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
            x, keys, values, Place(start, positions, _visible(bias, start + ends))
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
            hidden, _, _ = self.model(x, keys, values, Place(mx.array([0]), mx.array([0]), mask))
            logits = self.model.speech_head(hidden[0, :-1]).astype(mx.float32)
            self._log_prior = log_floored(mx.softmax(logits, axis=-1).mean(axis=0))
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
            prior=s.prior,
            sound_only=s.end_rule != "released",
            thresholded=plan.threshold is not None,
        )
        if kind not in self._fills:
            self._fills[kind] = Fill(kind, self.model.speech_head, self.config)
        noise = self._noise(state.prompts, plan.index, step, kind)
        options = mx.array([s.temperature, s.cfg_scale, plan.threshold or 0.0], mx.float32)
        return self._fills[kind](
            state.tokens, hidden, state.shift, self.log_prior(), options, noise
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


def _visible(bias: mx.array, ends: mx.array) -> mx.array:
    """Mask [R, 1, Q, S]: query q sees the slots before ends[q], weighted by `bias`."""
    slots = mx.arange(bias.shape[-1])
    hidden = mx.array(-mx.inf, bias.dtype)
    return mx.where(slots[None, None, None] < ends[None, None, :, None], bias, hidden)
