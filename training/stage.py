"""A run over utterances: batches, steps, checkpoints, and a judgement now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.batches import Batches
from training.blocks import Masked
from training.checkpoints import Checkpoints, Run
from training.corpus.plan import Part
from training.loop import Losses, train
from training.optimisers import take_step
from training.parallel import rows_of
from training.schedule import Schedule
from training.spoken import Spoken


class Material(Protocol):
    """What is learnt from: utterances at places."""

    def places(self, part: Part) -> list[int]: ...

    def length(self, place: int) -> int:
        """Of an utterance, in tokens."""
        ...

    def batch(self, places: Sequence[int], numbers: np.random.Generator) -> Spoken: ...


class Lesson(Protocol):
    """What is taught."""

    def masked(self, spoken: Spoken, step: int) -> Masked:
        """What is hidden of a batch."""
        ...

    def loss(self, batch: Masked) -> Tensor:
        """The mean over all that is to be learnt, with gradients."""
        ...

    def judge(self) -> Losses:
        """How good the student is at what it was not trained on."""
        ...


@dataclass(frozen=True)
class Course:
    """steps: of the run; rate: of learning; tokens: in a batch; seed: of the data's order; decay:
    part of the run, at its end, in which the rate falls to zero."""

    steps: int
    rate: float
    tokens: int
    seed: int
    decay: float = Schedule.decay


class Stage:
    """The run itself. models, optimisers: what changes in it, and is saved."""

    def __init__(
        self,
        lesson: Lesson,
        material: Material,
        course: Course,
        models: Mapping[str, nn.Module],
        optimisers: Mapping[str, Optimizer],
        checkpoints: Checkpoints,
    ) -> None:
        self._lesson = lesson
        self._material = material
        self._course = course
        self._run = Run(models, optimisers, np.random.default_rng(course.seed))
        self._checkpoints = checkpoints
        self._batches = Batches(
            material.places("train"), material.length, course.tokens, course.seed
        )

    def train(self, until: Callable[[], bool] | None = None) -> bool:
        """Take the steps that are left; False if it was stopped, by a signal or by `until`."""
        return train(
            self._run,
            self._take,
            Schedule(self._course.steps, decay=self._course.decay),
            self._course.rate,
            self._checkpoints,
            judge=self._lesson.judge,
            judged=500,
            until=until,
        )

    def resume(self) -> bool:
        """Take the last checkpoint."""
        return self._checkpoints.resume(self._run)

    @property
    def step(self) -> int:
        """How many were taken."""
        return self._run.step

    def _take(self) -> Losses:
        places = self._batches(self._run.step)
        spoken = self._material.batch(places, self._run.numbers)
        batch = self._lesson.masked(spoken, self._run.step).rows(rows_of(len(places)))
        loss = self._lesson.loss(batch)
        torch.autograd.backward(loss)
        norm = take_step(self._run.optimisers, weight=float(batch.learnt.sum()))
        return {"loss": loss.item(), "gradient": norm}
