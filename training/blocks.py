"""Block diffusion over whole sequences: the clean speech, and masked copies of it beside.

A masked block sees its prefix, the clean blocks before it and itself, as in decoding, where the
blocks before are settled. So one row trains all its blocks at once, in as many copies as wanted:
[prefix | start, clean blocks | masked blocks | masked blocks].

Shapes: R rows, L speech positions behind the start token, a multiple of the block size; C copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.t3 import T3
from training.spoken import Spoken
from training.t3 import Layout, hidden_states


@dataclass(frozen=True)
class Masked:
    """A batch with masks. clean: ids [R, 1 + L], the start token first; masks: which of them are
    hidden in each copy, [R, C, L] bool; counted: which are to be learnt, [R, L] bool. size: of
    blocks; period: tokens after which learned positions begin anew, where it is not the size."""

    spoken: Spoken
    clean: Tensor
    masks: Tensor
    counted: Tensor
    size: int
    period: int | None = None

    def rows(self, chosen: slice) -> Masked:
        """Some rows of it."""
        return Masked(
            self.spoken.rows(chosen),
            self.clean[chosen],
            self.masks[chosen],
            self.counted[chosen],
            self.size,
            self.period,
        )

    @property
    def targets(self) -> Tensor:
        """The ids that are to be learnt, one for each row of `masked_logits`."""
        return self.clean[:, None, 1:].expand_as(self.masks)[self.learnt]

    @property
    def learnt(self) -> Tensor:
        """[R, C, L] bool: masked, and not beyond the last block of the row."""
        return self.masks & self.counted[:, None]


def to_blocks(spoken: Spoken, size: int, stop: int) -> tuple[Tensor, Tensor]:
    """Ids [R, 1 + L] of whole blocks, and which of the L are of a block that is needed.

    What is behind the stop in its block is stops too: they are learnt, so that an end is an end
    wherever it is filled first.
    """
    length = spoken.speech.shape[1] - 1
    whole = -(-length // size) * size
    clean = F.pad(spoken.speech, (0, whole - length), value=stop)
    blocks = -(-(spoken.lengths + 1) // size)
    counted = torch.arange(whole, device=clean.device) < (blocks * size)[:, None]
    return clean, counted


def complementary(rows: int, length: int, size: int, generator: torch.Generator | None) -> Tensor:
    """Two masks that hide each position once, [R, 2, L]: of a part of each block that is drawn
    evenly between none and all, and of the rest."""
    rates = torch.rand(rows, length // size, generator=generator).repeat_interleave(size, dim=1)
    mask = torch.rand(rows, length, generator=generator) < rates
    return torch.stack([mask, ~mask], dim=1)


def masked_logits(model: T3, batch: Masked) -> Tensor:
    """Logits [n, V] of the n positions that are to be learnt, in the order of `targets`.

    A position is read from the hidden state before it; the first of a block from the last one of
    the clean block before.
    """
    clean, masks, size = batch.clean, batch.masks, batch.size
    copies, length = masks.shape[1:]
    noisy = torch.where(masks, model.config.mask, clean[:, None, 1:]).flatten(1)
    single = Layout.of_blocks(1 + length, size, clean.device, batch.period)
    layout, seen = _arrange(single, copies)
    hidden = hidden_states(
        model,
        batch.spoken.prefix,
        torch.cat([clean, noisy], dim=1),
        layout,
        seen,
        batch.spoken.unconditional,
    )
    settled = hidden[:, : 1 + length]
    masked = hidden[:, 1 + length :].view(len(clean), copies, length, -1)
    shifted = torch.cat([settled[:, None, :1].expand(-1, copies, -1, -1), masked[:, :, :-1]], dim=2)
    first = torch.arange(length, device=clean.device) % size == 0
    read = torch.where(first[:, None], settled[:, None, :-1], shifted)
    scores: Tensor = model.speech_head(read[batch.learnt])
    return scores


def _arrange(clean: Layout, copies: int) -> tuple[Layout, Tensor]:
    """Places of [start, clean | copies], and what sees what, bool [M, M]."""
    length, device = len(clean.offsets), clean.offsets.device
    offsets, learned, blocks = (
        torch.cat([part, *[part[1:]] * copies])
        for part in (clean.offsets, clean.learned, clean.blocks)
    )
    which = torch.arange(copies, device=device).repeat_interleave(length - 1)
    which = torch.cat([torch.full((length,), -1, device=device), which])
    settled = which == -1
    earlier = blocks < blocks[:, None]
    own = (blocks == blocks[:, None]) & (which == which[:, None])
    return Layout(offsets, learned, blocks), own | (earlier & settled)
