"""From an autoregressive decoder to a block-diffusion decoder: the command
python -m training.student WORK --recipe mini --by paper

Two ways, from the same teacher:

paper     Chatterbox-Flash's own: the corpus' tokens, cross-entropy of masked positions; blocks
          of one size from the beginning or, where the recipe says so (`annealed`), growing to it.
distill   without data: the teacher speaks (`training.teacher_speech`), and what it would have
          said next is what each masked position shall expect; the generalised Jensen-Shannon
          divergence of the two distributions. Where the recipe anneals, not only blocks grow:
          which part of them is hidden, and how much, changes with them (`training.annealing`).

Both hide each position once, in one of two complementary copies.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_backend.t3 import T3
from training.annealing import Annealing, annealed_masks
from training.blocks import Masked, complementary, masked_logits, to_blocks
from training.checkpoints import Checkpoints
from training.command import Command
from training.divergence import Divergence
from training.loop import Losses
from training.optimisers import make_optimisers
from training.origin import digest
from training.parallel import joined, launched
from training.recipe import Recipe, read_recipe
from training.spoken import Speech, Spoken
from training.stage import Course, Stage
from training.t3 import Layout, Untold, hidden_states, logits
from training.teacher import TeacherSettings, open_speech, open_teacher, taught
from training.teacher_speech import read_teacher_speech

By = Literal["paper", "distill"]


@dataclass(frozen=True)
class StudentSettings:
    """tokens: in a batch. annealed: steps in which blocks grow to the size of the model's, doubling
    at equal distances. beta: of the divergence. decay: see `Course`."""

    by: By = "paper"
    steps: int = 2000
    rate: float = 1e-3
    tokens: int = 800
    pairs: float = 0.15
    unconditional: float = 0.1
    annealed: int = 0
    beta: float = 0.5
    decay: float = Course.decay


class StudentStage:
    """The run of this stage. teacher: what the student begins as, and what it is told by."""

    def __init__(
        self,
        recipe: Recipe,
        settings: StudentSettings,
        teacher: T3,
        speech: Speech,
        folder: Path,
    ) -> None:
        self.settings = settings
        self._annealing = Annealing(recipe.sizes.t3.block_size, settings.annealed)
        taught_by = recipe.settings("teacher", TeacherSettings)
        self._period = taught_by.period
        self.teacher = teacher.requires_grad_(False)
        self.model = begin_student(teacher)
        self._speech = speech
        self._divergence = Divergence(settings.beta)
        config = asdict(settings) | {"t3": asdict(recipe.sizes.t3), "seed": recipe.seed}
        config["period"] = self._period
        config["voices"] = [*taught_by.voices, taught_by.strangers]
        del config["steps"]  # a run may be lengthened
        config["of the teacher"] = digest(teacher)
        config["of tokens and voices"] = speech.digest()
        self._stage = Stage(
            self,
            speech,
            Course(settings.steps, settings.rate, settings.tokens, recipe.seed, settings.decay),
            {"t3": self.model},
            make_optimisers([self.model], settings.rate, plain=("speech_head", "emotion")),
            Checkpoints(folder, config),
        )

    def train(self) -> bool:
        return self._stage.train()

    def resume(self) -> bool:
        """Take the last checkpoint."""
        return self._stage.resume()

    def masked(self, spoken: Spoken, step: int) -> Masked:
        """See `training.stage.Lesson`."""
        return self._masked(spoken, self._annealing.size(step), self._annealing.done(step))

    def loss(self, batch: Masked) -> Tensor:
        """See `training.stage.Lesson`."""
        with torch.autocast(batch.clean.device.type, torch.bfloat16):
            scores = masked_logits(self.model, batch).float()
        if self.settings.by == "paper":
            return F.cross_entropy(scores, batch.targets)
        told = teacher_logits(self.teacher, batch, period=self._period)
        return self._divergence(told, scores).mean()

    @torch.no_grad()
    def judge(self) -> Losses:
        """Cross-entropy of masked positions on unseen texts, by known speakers and others."""
        found: dict[str, float] = {}
        for part in ("valid", "test", "closed"):
            numbers, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
            places = sorted(self._speech.places(part)[:96], key=self._speech.length)
            losses: list[float] = []
            for begin in range(0, len(places), 16):
                spoken = self._speech.batch(places[begin : begin + 16], numbers)
                batch = self._masked(spoken, self._annealing.block, 1.0, generator)
                with torch.autocast(batch.clean.device.type, torch.bfloat16):
                    scores = masked_logits(self.model, batch).float()
                losses.append(F.cross_entropy(scores, batch.targets).item())
            if losses:
                found[part] = float(np.mean(losses))
        return found

    def _masked(
        self, spoken: Spoken, size: int, done: float, generator: torch.Generator | None = None
    ) -> Masked:
        """done: of the annealing; without data, masks are annealed too until it is."""
        spoken = spoken.to(self.model.device)
        clean, counted = to_blocks(spoken, size, self.model.config.stop_speech)
        rows, length = len(clean), clean.shape[1] - 1
        if self.settings.by == "distill" and done < 1:
            masks = annealed_masks(rows, length, size, done, generator)
        else:
            masks = complementary(rows, length, size, generator)
        return Masked(spoken, clean, masks.to(clean.device), counted, size, self._annealing.block)


def begin_student(teacher: T3) -> T3:
    """The teacher's weights in a model of its own. The row of the mask, which no teacher has
    learnt, begins as the mean of all tokens."""
    with torch.device("meta"):
        model = T3(teacher.config)
    model.to_empty(device=teacher.device)
    model.load_state_dict(teacher.state_dict())
    with torch.no_grad():
        rows = model.speech_embedding.weight
        rows[teacher.config.mask] = rows[: teacher.config.start_speech].mean(dim=0)
    return model.requires_grad_(True)


@torch.no_grad()
def teacher_logits(
    teacher: T3, batch: Masked, untold: Untold = "all", narrow: bool = True, period: int = 0
) -> Tensor:
    """What the teacher expects at the positions that are to be learnt, [n, V], told all tokens
    before each; once for each copy that masks it.

    untold: what a teacher of rows without condition lacks; narrow: compute in bfloat16; period: of
    its learned positions. No teacher has learnt what follows its first stop: there it is certain of
    another one.
    """
    clean = batch.clean
    prefix, unconditional = batch.spoken.untold(untold)
    with torch.autocast(clean.device.type, torch.bfloat16, enabled=narrow):
        hidden = hidden_states(
            teacher,
            prefix,
            clean,
            Layout.causal(clean.shape[1], clean.device, period),
            unconditional=unconditional,
        )
        scores = logits(teacher, hidden).float()
    places = torch.arange(scores.shape[1], device=clean.device)
    scores[places > batch.spoken.lengths[:, None]] = _certain(teacher.config.stop_speech, scores)
    return scores[:, None].expand(-1, batch.masks.shape[1], -1, -1)[batch.learnt]


def _certain(index: int, like: Tensor) -> Tensor:
    """Logits [V] of one id alone."""
    only = torch.full_like(like[0, 0], -1e4)
    only[index] = 0.0
    return only


def learn(work: Path, recipe: Recipe, by: By, device: str) -> bool:
    """Train a student; False if somebody stopped it, and no launcher would take
    that for a failure."""
    stage = f"student_{by}"
    settings = replace(recipe.settings(stage, StudentSettings), by=by)
    heard = replace(
        recipe.settings("teacher", TeacherSettings),
        pairs=settings.pairs,
        unconditional=settings.unconditional,
    )
    speech = taught(open_speech(work, recipe, heard), heard)
    if by == "distill":
        speech = speech.told(read_teacher_speech(work))
    with joined(device) as own:
        teacher = open_teacher(work, recipe, own)
        return StudentStage(recipe, settings, teacher, speech, work / stage).train() or launched()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("student", __doc__)
    command.parser.add_argument("--by", choices=("paper", "distill"), default="paper")
    return command.run(
        arguments,
        lambda given: learn(given.work, read_recipe(given.recipe), given.by, given.device),
    )


if __name__ == "__main__":
    sys.exit(main())
