"""A block as a function: what its passes depend on, and the tensors they read and write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cbflash.filling import Prior
from cuda_backend.attention import BlockAttention


@dataclass(frozen=True)
class BlockKind:
    """What a block's passes depend on besides tensors; a captured graph serves one kind.

    counts: filled at each step, zeros included; thresholded: at least, and whoever runs the
        block looks after every step whether that was the last one.
    """

    prompts: int
    before: int  # tokens that the first pass settles
    length: int
    counts: tuple[int, ...]
    guided: bool
    greedy: bool
    scattered: bool
    injected: bool
    prior: Prior
    sound_only: bool
    thresholded: bool

    @property
    def groups(self) -> int:
        """Rows for each prompt."""
        return 2 if self.guided else 1

    @property
    def rows(self) -> int:
        return self.groups * self.prompts

    @property
    def steps(self) -> tuple[int, ...]:
        """Those that take a forward pass: one that fills nothing changes nothing."""
        return tuple(step for step, count in enumerate(self.counts) if count)

    @property
    def stretches(self) -> tuple[tuple[int, ...], ...]:
        """Steps that nobody looks between: all, or each of those that may be the last one."""
        return tuple((step,) for step in self.steps) if self.thresholded else (self.steps,)


@dataclass(frozen=True)
class BlockInputs:
    """The tensors of a block. `tokens` [B, L], masks at first, is also its result.

    settled: [B, before] tokens; token_noise, position_noise: [K, B, 2] int32 keys for each
    step, or injected numbers [K, B, ...]; options: temperature, guidance scale and threshold;
    shift: [R, 1, W], the last hidden state of `settled`, which the first pass leaves here for
    the others, that may be recorded apart from it.
    """

    settled: Tensor
    token_noise: Tensor
    position_noise: Tensor
    options: Tensor
    tokens: Tensor
    shift: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in the order of the fields."""
        noise = self.token_noise, self.position_noise
        return (self.settled, *noise, self.options, self.tokens, self.shift)

    def padded(self, prompts: int) -> BlockInputs:
        """The same with room for more prompts, whose content is of no interest."""
        count = len(self.tokens)
        more = prompts - count
        groups = len(self.shift) // count

        def pad(x: Tensor, axis: int) -> Tensor:
            return torch.cat([x, *[x.narrow(axis, 0, 1)] * more], dim=axis)

        return BlockInputs(
            pad(self.settled, 0),
            pad(self.token_noise, 1),
            pad(self.position_noise, 1),
            self.options,
            pad(self.tokens, 0),
            self.shift.new_zeros(groups * prompts, *self.shift.shape[1:]),
        )


Passes = Callable[[BlockKind, BlockAttention, BlockInputs, Sequence[int]], Iterator[None]]
