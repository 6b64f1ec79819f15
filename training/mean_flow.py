"""A flow in two steps: the command python -m training.mean_flow WORK --recipe mini

A mean flow (Geng et al. 2025) says how a mel moves on average from a time t to a time r, so that
one step goes as far as many small ones. It is learnt from the flow of `training.flow`, which is
frozen: that flow is followed from t to r in a few Euler steps, and the average of its velocities
is what is asked for, as in progressive distillation (Salimans and Ho 2022). Guidance is in it,
and so is a temperature: the teacher begins in quieter noise than its student, and makes of it
what is more likely.

Why not by the identity u = v - (t - r) du/dt, without a teacher? It differentiates the network
in its input, and its target is a random pair of noise and mel: Boffi et al. 2025 find such
(Eulerian) losses highly unstable, Lu and Wang 2026 their gradients of unbounded variance, Kim et
al. 2025 that averages are learnt only behind good velocities. What a frozen teacher says of a
given x is one number: nothing has to be averaged over many batches, which a small model that is
trained for minutes does not have. And what is asked in use is all that has to be learnt: the steps
of solutions in 1, 2, 4 .. steps, and of some rows the instant (r = t).

Only the estimator is trained here; what it is told stays the same.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.flow import Flow
from training.assemble import read_codec
from training.checkpoints import Checkpoints
from training.command import Command
from training.devices import find_device
from training.flow import MATCHING, FlowStage, Pace, open_speech, read_flow
from training.origin import digest
from training.prompted import Prompted, draw_noise
from training.recipe import Recipe, read_recipe
from training.told import Told
from training.velocity import average_velocity, between, draw_steps

MEAN_FLOW = Path("flow")  # what this stage leaves


@dataclass(frozen=True)
class MeanFlowSettings:
    """tokens and prompt: as of `training.flow`; counts: steps from noise to mel that may be asked
    for, each as often as it is here; instant: part of the rows with r = t; substeps: of the
    teacher in one step; guidance: of the teacher, 0 is none; temperature: of its noise."""

    steps: int = 1500
    rate: float = 2e-3
    tokens: int = 500
    prompt: tuple[int, int] = (25, 75)
    counts: tuple[int, ...] = (1, 2, 2, 2, 4)
    instant: float = 0.1
    substeps: int = 4
    guidance: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True)
class Distillation:
    """The loss of this stage: the average of the teacher's velocities."""

    teacher: Flow
    settings: MeanFlowSettings

    def __call__(self, flow: Flow, batch: Prompted, numbers: np.random.Generator) -> Tensor:
        settings = self.settings
        t, r = (
            times.to(batch.mel.device)
            for times in draw_steps(numbers, len(batch.mel), settings.counts, settings.instant)
        )
        noise = draw_noise(batch, numbers)
        x = between(settings.temperature * noise, batch.mel, t)
        with torch.no_grad():
            told = Told.of(flow, batch)
            along = told.guided(self.teacher, settings.guidance)
            wanted = average_velocity(along, x, t, r, settings.substeps)
        # Whoever asks begins in the whole noise. The first step leaves some of it behind.
        begins = (t == 0)[:, None, None]
        wanted = torch.where(begins, wanted + (x - noise) / (r - t)[:, None, None], wanted)
        x = torch.where(begins, noise, x)
        return F.mse_loss(told.field(flow)(x, t, r), wanted)


def open_stage(work: Path, recipe: Recipe, device: str = "cpu") -> FlowStage:
    """The run of distillation, from what flow matching came to. Raises ModelError."""
    settings = recipe.settings("mean_flow", MeanFlowSettings)
    teacher = read_flow(work / MATCHING, recipe.sizes).to(find_device(device))
    flow = copy.deepcopy(teacher)
    flow.estimator.requires_grad_(True)
    config = asdict(settings) | {"sizes": recipe.some_sizes("flow"), "seed": recipe.seed}
    del config["steps"]  # a run may be lengthened
    config["of the flow"] = digest(teacher)
    return FlowStage(
        flow,
        Distillation(teacher, settings),
        open_speech(work, read_codec(work, recipe.sizes), settings.prompt),
        Pace(settings.steps, settings.rate, settings.tokens, recipe.seed),
        Checkpoints(work / MEAN_FLOW, config),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("mean_flow", __doc__)
    return command.run(
        arguments,
        lambda given: open_stage(given.work, read_recipe(given.recipe), given.device).train(),
    )


if __name__ == "__main__":
    sys.exit(main())
