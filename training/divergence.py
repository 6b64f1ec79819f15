"""How far what a student expects is from what its teacher does.

Shapes: n positions, V vocabulary, k ids.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cbflash.errors import UsageError


@dataclass(frozen=True)
class Divergence:
    """beta: see `jensen_shannon`. top: only the ids that the teacher finds likeliest are told one
    from another, as many as this, and the others are one; 0 tells all.

    Raises UsageError for a number that makes no sense."""

    beta: float = 0.5
    top: int = 0

    def __post_init__(self) -> None:
        # At either end it is zero, whatever the student expects. A NaN fails the comparison too.
        if not 0 < self.beta < 1:
            raise UsageError(f"beta is {self.beta}; it must be more than 0 and less than 1.")
        if self.top < 0:
            raise UsageError(f"top is {self.top}; it must be at least 0.")

    def __call__(self, told: Tensor, scores: Tensor) -> Tensor:
        """Logits of the teacher and the student [n, V] -> nats [n]."""
        if 0 < self.top < told.shape[-1]:
            told, scores = likeliest(told, scores, self.top)
        return jensen_shannon(told, scores, self.beta)


def jensen_shannon(p: Tensor, q: Tensor, beta: float) -> Tensor:
    """Generalised Jensen-Shannon divergence of distributions with logits p, q [n, V], in nats,
    [n]: beta KL(P || M) + (1 - beta) KL(Q || M), M = beta P + (1 - beta) Q; 0 < beta < 1."""
    p, q = p.log_softmax(dim=-1), q.log_softmax(dim=-1)
    weight = torch.tensor([beta, 1 - beta], device=p.device).log()
    mixed = torch.logaddexp(p + weight[0], q + weight[1])
    to_p = (p.exp() * (p - mixed)).sum(dim=-1)
    to_q = (q.exp() * (q - mixed)).sum(dim=-1)
    return beta * to_p + (1 - beta) * to_q


def likeliest(p: Tensor, q: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Logits [n, count + 1] of the ids that are likeliest by p, and of all others together."""
    ids = p.topk(count, dim=-1).indices
    return _gathered(p, ids), _gathered(q, ids)


def _gathered(scores: Tensor, ids: Tensor) -> Tensor:
    rest = scores.scatter(-1, ids, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return torch.cat([scores.gather(-1, ids), rest], dim=-1)
