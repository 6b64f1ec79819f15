"""What the flow's estimator is told beside a noisy mel and its times.

Shapes: B batch, F frames, m mels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cuda_backend.flow import Flow
from training.prompted import Prompted
from training.velocity import Field


@dataclass(frozen=True)
class Told:
    """mu, the encoder's guess, and known, the mel of the prompt: [B, F, m]; speaker: [B, m]."""

    mu: Tensor
    speaker: Tensor
    known: Tensor

    @classmethod
    def of(cls, flow: Flow, batch: Prompted) -> Told:
        return cls(flow.encode(batch.tokens), flow.embed_speaker(batch.x_vector), batch.known)

    def without(self, rows: Tensor) -> Told:
        """Nothing is told to those rows of [B] that are true: zeros, as `Flow.solve` has it."""
        kept = ~rows
        return Told(
            self.mu * kept[:, None, None],
            self.speaker * kept[:, None],
            self.known * kept[:, None, None],
        )

    def field(self, flow: Flow) -> Field:
        """The velocities of the estimator."""

        def velocity(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
            found: Tensor = flow.estimator(x, self.mu, self.speaker, self.known, t, r)
            return found

        return velocity

    def guided(self, flow: Flow, scale: float) -> Field:
        """Velocities away from those of an estimator that is told nothing, in the direction of
        what is told (Ho and Salimans 2022). scale: how far; 0 is none."""
        told = self.field(flow)
        if not scale:
            return told
        untold = self.without(
            torch.ones(len(self.mu), dtype=torch.bool, device=self.mu.device)
        ).field(flow)

        def velocity(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
            known = told(x, t, r)
            return known + scale * (known - untold(x, t, r))

        return velocity
