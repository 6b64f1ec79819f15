"""What a student of a user's model is taught: to expect what its teacher does, blocks at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cuda_backend.t3 import T3
from training.annealing import Annealing, annealed_masks
from training.blocks import Masked, masked_logits, to_blocks
from training.distill.script import SpokenScript
from training.distill.settings import Settings
from training.divergence import Divergence
from training.frugal import make_frugal
from training.loop import Losses
from training.lora import adapt, merge
from training.optimisers import make_optimisers
from training.spoken import Spoken
from training.student import begin_student, teacher_logits

JUDGED = 64  # utterances


@dataclass(frozen=True)
class Student:
    """model: what decodes; trained: what of it learns, and is saved; optimisers: of that."""

    model: T3
    trained: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]

    @classmethod
    def of(cls, teacher: T3, settings: Settings) -> Student:
        """As it begins. With adapters it shares its teacher's weights."""
        trained: nn.Module
        if settings.rank is None:
            model = trained = begin_student(teacher)
            apart = ("speech_head", "emotion")
        else:
            model = share(teacher)
            trained = adapt(model, settings.rank)
            apart = ("up", "down")
        if settings.frugal:
            make_frugal(model)
        return cls(model, {"t3": trained}, make_optimisers([trained], settings.rate, plain=apart))

    def finish(self) -> T3:
        """A plain decoder with what was learnt."""
        return merge(self.model)


class Lesson:
    """`training.stage.Lesson` of a student and its teacher."""

    def __init__(self, student: T3, teacher: T3, speech: SpokenScript, settings: Settings) -> None:
        self._student = student
        self._teacher = teacher
        self._speech = speech
        self._settings = settings
        self._annealing = Annealing(settings.block, settings.annealed)
        self._divergence = Divergence(settings.beta, settings.top)

    def masked(self, spoken: Spoken, step: int) -> Masked:
        return self._masked(spoken, self._annealing.size(step), self._annealing.done(step))

    def loss(self, batch: Masked) -> Tensor:
        return self._apart(batch).mean()

    @torch.no_grad()
    def judge(self) -> Losses:
        """The divergence on utterances that are not trained on, always with the same masks."""
        numbers, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
        places = sorted(self._speech.places("valid")[:JUDGED], key=self._speech.length)
        found = [
            self._apart(
                self._masked(
                    self._speech.batch(places[begin : begin + 8], numbers),
                    self._settings.block,
                    1.0,
                    generator,
                )
            )
            for begin in range(0, len(places), 8)
        ]
        return {"divergence": torch.cat(found).mean().item()}

    def _masked(
        self, spoken: Spoken, size: int, done: float, generator: torch.Generator | None = None
    ) -> Masked:
        """Learned positions are those of whole blocks, however small the blocks are yet."""
        clean, counted = to_blocks(spoken, size, self._student.config.stop_speech)
        masks = annealed_masks(len(clean), clean.shape[1] - 1, size, done, generator)
        return Masked(spoken, clean, masks.to(clean.device), counted, size, self._settings.block)

    def _apart(self, batch: Masked) -> Tensor:
        """The divergence at each position that is to be learnt, in nats, [n]."""
        narrow = self._settings.bf16
        draw = self._settings.draw
        told = teacher_logits(self._teacher, batch, draw.untold, narrow, draw.period)
        with torch.autocast(batch.clean.device.type, torch.bfloat16, enabled=narrow):
            scores = masked_logits(self._student, batch)
        return self._divergence(told, scores.float())


def share(teacher: T3) -> T3:
    """A decoder of its own with the teacher's parameters, which are the same memory."""
    with torch.device("meta"):
        model = T3(teacher.config)
    model.load_state_dict(teacher.state_dict(), strict=True, assign=True)
    return model.requires_grad_(False)
