"""Block decoding in PyTorch: prefixes, denoising passes and the cache between them.

The loop over blocks, budgets and end tokens is `cbflash.decoding`; here is what needs
tensors. A block is a function of the tokens it settles, of the cache, and of keys for its
random numbers; how many positions each step fills is known from the schedule. So nothing in it
waits for the device, and a runner (`graph.py`) may capture it whole. With a threshold that is so
for each of its steps, and the loop of the core looks between them whether anything is left.

Shapes: B prompts, R rows (2B under guidance: the prompts, then their null rows), L positions
of a block, V vocabulary, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cbflash.decoding import BlockPlan
from cbflash.engine import Prompt
from cbflash.filling import FillKind
from cbflash.noise import Stream, noise_key
from cbflash.schedule import unmask_schedule
from cbflash.settings import Sampling
from cuda_backend.attention import BlockAttention, Causal, Pass
from cuda_backend.block import BlockInputs, BlockKind
from cuda_backend.cache import SINKS, KVCache, fitting_prompts
from cuda_backend.fill import Fill, log_floored
from cuda_backend.graph import Runner
from cuda_backend.t3 import T3


@dataclass
class Batch:
    """Prompts on their way. `tokens` [B, L] is the present block; at first, the start token."""

    prompts: list[Prompt]
    sampling: Sampling
    cache: KVCache
    tokens: Tensor

    @property
    def guided(self) -> bool:
        return self.sampling.cfg_scale > 0


class Decoder:
    """`cbflash.decoding.BlockModel` on a T3."""

    def __init__(self, model: T3, runner: Runner) -> None:
        self.model = model
        self.config = model.config
        self._runner = runner
        self._fills: dict[FillKind, Fill] = {}
        self._log_prior: Tensor | None = None

    # -- the four verbs of BlockModel -------------------------------------------------

    def prefill(self, prompts: Sequence[Prompt], sampling: Sampling) -> Batch:
        """Prefixes without their start token: the first block settles it, like any block the
        one before. So a null row, zero up to its start token, needs no pass at all."""
        count = len(prompts)
        prefixes = [self._embed(prompt, sampling) for prompt in prompts]
        lengths = [len(prefix) for prefix in prefixes]
        sinks = lengths if sampling.cfg_scale > 0 else []
        needed = max(n + 1 + prompt.max_tokens for n, prompt in zip(lengths, prompts, strict=True))
        cache = self._runner.allocate(
            lengths=(*lengths, *(SINKS for _ in sinks)),
            sinks=(*(0 for _ in lengths), *sinks),
            slots=needed,
        )
        x = pad_sequence(prefixes, batch_first=True)
        positions = torch.arange(x.shape[1], device=x.device).expand(count, -1)
        firsts = torch.tensor(cache.rows[:count], device=x.device) * cache.buffers.slots
        slots = (firsts[:, None] + positions).flatten()
        self.model(x, positions, Causal(cache.buffers, slots))
        start = torch.full((count, 1), self.config.start_speech, device=x.device)
        return Batch(list(prompts), sampling, cache, start)

    def keep(self, state: Batch, rows: Sequence[int]) -> Batch:
        count = len(state.prompts)
        doubled = [*rows, *(row + count for row in rows)] if state.guided else list(rows)
        return Batch(
            prompts=[state.prompts[row] for row in rows],
            sampling=state.sampling,
            cache=self._runner.keep(state.cache, doubled),
            tokens=state.tokens[torch.tensor(list(rows), device=state.tokens.device)],
        )

    def denoise(self, state: Batch, plan: BlockPlan) -> Iterator[int]:
        kind, inputs = self._kind(state, plan), self._inputs(state, plan)
        cache = state.cache
        state.cache = cache.advance(kind.before)
        state.tokens = inputs.tokens
        steps = self._runner.run(kind, cache, inputs, self._passes)
        yield from (step for step, _ in zip(kind.steps, steps, strict=True))

    def tokens(self, state: Batch) -> list[list[int]]:
        blocks: list[list[int]] = state.tokens.tolist()
        return blocks

    def warm(self, prompt: Prompt, sampling: Sampling) -> None:
        """Do what is done only once: the prior and, where work is recorded, a first and a later
        block."""
        self.log_prior()
        if not self._runner.records:
            return
        counts = unmask_schedule(
            self.config.block_size,
            sampling.num_steps,
            sampling.omnivoice_schedule_t_shift,
            sampling.time_shift_tau,
        )
        state = self.prefill([prompt], sampling)
        for block in range(2):
            plan = BlockPlan(block, self.config.block_size, counts, sampling.threshold)
            for _ in self.denoise(state, plan):
                pass

    def smaller_batch(self, prompts: Sequence[Prompt], sampling: Sampling) -> str:
        """What to do when these prompts do not fit into the GPU's memory."""
        longest = max(len(prompt.text_tokens) + prompt.max_tokens for prompt in prompts)
        slots = self.config.conditioning + longest + 1
        rows = 2 if sampling.cfg_scale > 0 else 1
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        fits = fitting_prompts(self.config, self.model.dtype, slots, rows, free)
        if fits < 1:
            return "Not even one such text fits: close other programs that use the GPU."
        return f"A batch of {fits} would fit."

    # -- a block -----------------------------------------------------------------------

    def _kind(self, state: Batch, plan: BlockPlan) -> BlockKind:
        s = state.sampling
        injected = any(prompt.noise is not None for prompt in state.prompts)
        return BlockKind(
            prompts=len(state.prompts),
            before=state.tokens.shape[1],
            length=plan.length,
            counts=plan.counts,
            guided=state.guided,
            greedy=s.temperature == 0,
            scattered=s.position_temperature > 0,
            injected=injected,
            prior=s.prior,
            sound_only=s.end_rule != "released",
            thresholded=plan.threshold is not None,
        )

    def _inputs(self, state: Batch, plan: BlockPlan) -> BlockInputs:
        s = state.sampling
        device = state.tokens.device
        masked = (len(state.prompts), plan.length)
        rows = (2 if state.guided else 1) * len(state.prompts)
        options = (s.temperature, s.cfg_scale, plan.threshold or 0.0)
        return BlockInputs(
            settled=state.tokens,
            token_noise=self._noise(state.prompts, plan, "token").to(device),
            position_noise=self._noise(state.prompts, plan, "position").to(device),
            options=torch.tensor(options, dtype=torch.float32, device=device),
            tokens=torch.full(masked, self.config.mask, device=device),
            shift=torch.zeros(rows, 1, self.config.width, dtype=self.model.dtype, device=device),
        )

    def _passes(
        self, kind: BlockKind, attention: BlockAttention, inputs: BlockInputs, steps: Sequence[int]
    ) -> Iterator[None]:
        """Some steps of a block: fill `inputs.tokens` in place, a forward pass at a time."""
        embed = self.model.embed_speech
        place = None
        for step in steps:
            x = embed(inputs.tokens)
            if step == kind.steps[0]:
                settled = embed(inputs.settled)
                hidden = self._pass(kind, torch.cat([settled, x], dim=1), *attention.settle())
                inputs.shift.copy_(hidden[:, kind.before - 1 : kind.before])
                hidden = hidden[:, kind.before :]
            else:
                place = attention.step() if place is None else place
                hidden = self._pass(kind, x, *place)
            tokens = self._fill(kind, step)(
                inputs.tokens,
                hidden,
                inputs.shift,
                self.log_prior(),
                inputs.options,
                (inputs.token_noise[step], inputs.position_noise[step]),
            )
            inputs.tokens.copy_(tokens)
            yield

    def _pass(self, kind: BlockKind, x: Tensor, positions: Tensor, attend: Pass) -> Tensor:
        """Hidden states [R, Q, W]. Null rows hold the same speech as their prompts."""
        hidden: Tensor = self.model(torch.cat([x, x]) if kind.guided else x, positions, attend)
        return hidden

    def _fill(self, kind: BlockKind, step: int) -> Fill:
        wanted = FillKind(
            masked=kind.length - sum(kind.counts[:step]),
            count=kind.counts[step],
            guided=kind.guided,
            greedy=kind.greedy,
            scattered=kind.scattered,
            injected=kind.injected,
            prior=kind.prior,
            sound_only=kind.sound_only,
            thresholded=kind.thresholded,
        )
        if wanted not in self._fills:
            self._fills[wanted] = Fill(
                wanted, self.model.speech_head, self.config, self.model.device
            )
        return self._fills[wanted]

    # -- what a block is given ---------------------------------------------------------

    def _embed(self, prompt: Prompt, sampling: Sampling) -> Tensor:
        """[conditioning | text] of a prompt, [lp - 1, W]."""
        voice, device = prompt.voice, self.model.device
        return self.model.embed_prefix(
            torch.tensor([prompt.text_tokens], device=device),
            torch.from_numpy(voice.speaker_embedding.copy()).to(device),
            torch.from_numpy(voice.prompt_tokens.copy()).to(device)[None],
            sampling.exaggeration,
        )[0]

    def log_prior(self) -> Tensor:
        """log of the mean distribution over [start, MASK x block] with no condition, [V].

        One causal pass, the masks at positions 1..16 of it: as released, although the
        masks of a real block see each other and begin at position 0.
        """
        if self._log_prior is None:
            c, device = self.config, self.model.device
            tokens = torch.tensor([[c.start_speech] + [c.mask] * c.block_size], device=device)
            positions = torch.arange(tokens.shape[1], device=device)[None]
            hidden = self.model(self.model.embed_speech(tokens), positions, Causal())
            logits = self.model.speech_head(hidden[0, :-1])
            probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32)
            self._log_prior = log_floored(probabilities.mean(dim=0))
        return self._log_prior

    def _noise(self, prompts: list[Prompt], plan: BlockPlan, stream: Stream) -> Tensor:
        """For each step the keys [B, 2] of a draw, or the injected numbers themselves."""
        steps = range(len(plan.counts))
        given = [prompt.noise for prompt in prompts if prompt.noise is not None]
        if given:
            assert len(given) == len(prompts), "inject noise into all prompts or none"
            rows = [one.token if stream == "token" else one.position for one in given]
            numbers = [[row[plan.index][step] for row in rows] for step in steps]
            return torch.from_numpy(np.array(numbers, np.float32))
        keys = [
            [noise_key(prompt.seed, plan.index, step, stream) for prompt in prompts]
            for step in steps
        ]
        return torch.from_numpy(np.array(keys, np.uint32).view(np.int32))
