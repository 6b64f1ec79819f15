"""From a causal decoder to one of blocks, step by step.

Three things change while a run is annealed: blocks grow from one token to whole ones; what is
hidden of a block is its end at first, and anything at last; and of the two copies that hide each
position once, both hide half of a block at first, where at last one may hide all of it and the
other nothing.

Shapes: R rows, L positions, whole blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Annealing:
    """block: tokens of a block in the end; until: the step from which nothing changes any more."""

    block: int
    until: float = 0.0

    def done(self, step: int) -> float:
        """How much of it lies behind, 0 to 1."""
        return 1.0 if step >= self.until else step / self.until

    def size(self, step: int) -> int:
        """Tokens of a block at a step: twice as many after equal numbers of steps."""
        if step >= self.until:
            return self.block
        doublings = self.block.bit_length() - 1
        return self.block >> (doublings - int(step / self.until * doublings))


def annealed_masks(
    rows: int, length: int, size: int, done: float, generator: torch.Generator | None = None
) -> Tensor:
    """Two masks that hide each position once, [R, 2, L] bool.

    done: of the annealing. At 0 the first copy hides the last half of each block, the second the
    first half; at 1 the first hides any part of it, drawn evenly between none and all.
    """
    shape = (rows, length // size, size)
    from_end = torch.arange(size - 1, -1, -1) / size
    first = (1 - done) * from_end + done * torch.rand(shape, generator=generator)
    share = 0.5 + done * (torch.rand(shape[:2], generator=generator) - 0.5)
    # Rounded up or down by chance, so that the mean is the share.
    count = (share * size + torch.rand(shape[:2], generator=generator)).floor()
    rank = first.argsort(dim=-1).argsort(dim=-1)
    mask = (rank < count[..., None]).flatten(1)
    return torch.stack([mask, ~mask], dim=1)
