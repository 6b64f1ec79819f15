"""The autoregressive teacher: the command python -m training.teacher WORK --recipe mini

T3 as an ordinary language model of speech: each token from the text, the voice and all tokens
before it, teacher forcing, cross-entropy. Some rows are not told the text, for guidance.

Half-way up the layers has to be known which letter the next token is spoken in, and which letter
follows. Where in the text one is, a decoder finds out by itself, but late: of a token's entropy
the text takes away a small part, and before it is found nothing else of the text can be learnt.
The head that tells the letters is thrown away.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_backend.layers import Linear
from cuda_backend.t3 import T3
from training.alignment import read_alignment
from training.batches import Batches
from training.checkpoints import Checkpoints, Run, load
from training.command import Command
from training.corpus.plan import Part
from training.devices import Device
from training.features import Features
from training.loop import Losses, train
from training.optimisers import make_optimisers, take_step
from training.parallel import joined, launched, rows_of
from training.parameters import trainable
from training.recipe import Recipe, read_recipe
from training.schedule import Schedule
from training.spoken import Speech, Spoken, read_tokens
from training.t3 import Layout, hidden_states
from training.voice_encoder import read_embeddings

JUDGED = 96  # utterances of a part
LETTERS = 2  # the one that is spoken and the next


@dataclass(frozen=True)
class TeacherSettings:
    """tokens: in a batch; pairs, unconditional: see `training.spoken`; spelling: weight of the
    letters' loss beside that of the tokens.

    voices: of the corpus, whose speech is learnt, all if there are none; strangers: see
    `training.spoken`.
    period: tokens after which learned positions begin anew, as in the blocks of a student, so that
    it finds them where its teacher had them; 0: never, as in the autoregressive Chatterbox.
    """

    steps: int = 6000
    rate: float = 2e-3
    tokens: int = 1200
    pairs: float = 0.15
    unconditional: float = 0.1
    spelling: float = 0.3
    voices: tuple[str, ...] = ()
    strangers: float = 0.0
    period: int = 0


def make_decoder(recipe: Recipe, device: Device = "cpu") -> T3:
    """A T3 of the recipe's sizes as it begins."""
    with torch.device("meta"):
        model = T3(recipe.sizes.t3)
    return trainable(model, recipe.seed, device)


class Spelling(nn.Module):
    """Which letters are spoken, told from the middle of a decoder."""

    def __init__(self, model: T3) -> None:
        super().__init__()
        config = model.config
        self.letters = Linear(config.width, LETTERS * config.text_vocab)
        self._layer = [model.layers[(config.layers - 1) // 2]]  # not a part of this module

    @contextmanager
    def listening(self) -> Iterator[list[Tensor]]:
        """What comes out of the layer, [R, P + m, W] each time the decoder is run."""
        heard: list[Tensor] = []
        hook = self._layer[0].register_forward_hook(lambda _, given, out: heard.append(out))
        try:
            yield heard
        finally:
            hook.remove()

    def loss(self, heard: Tensor, batch: Spoken) -> Tensor:
        """Mean cross-entropy in nats of the letters of rows that are told the text; zero where
        none is."""
        assert batch.letters is not None
        known = (batch.letters >= 0) & ~batch.unconditional[:, None]
        if not known.any():
            return heard.new_zeros(())
        rows, _ = torch.nonzero(known, as_tuple=True)
        places = batch.letters[known][:, None] + torch.arange(LETTERS, device=rows.device)
        targets = batch.prefix.text[rows[:, None], places]
        hidden = heard[:, heard.shape[1] - batch.speech.shape[1] : -1][known]
        scores = self.letters(hidden).float().unflatten(-1, (LETTERS, -1))
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


class TeacherStage:
    """The run of this stage."""

    def __init__(
        self, recipe: Recipe, speech: Speech, folder: Path, device: Device = "cpu"
    ) -> None:
        self.settings = recipe.settings("teacher", TeacherSettings)
        self.model = make_decoder(recipe, device)
        with torch.device("meta"):
            spelling = Spelling(self.model)
        self.spelling = trainable(spelling, recipe.seed, device)
        self._speech = taught(speech, self.settings)
        self._batches = Batches(
            self._speech.places("train"), self._speech.length, self.settings.tokens, recipe.seed
        )
        self._run = Run(
            {"t3": self.model, "spelling": self.spelling},
            make_optimisers(
                [self.model, self.spelling],
                self.settings.rate,
                plain=("speech_head", "emotion", "letters"),
            ),
            np.random.default_rng(recipe.seed),
        )
        config = asdict(self.settings) | {"t3": asdict(recipe.sizes.t3), "seed": recipe.seed}
        del config["steps"]  # a run may be lengthened
        config["of tokens and voices"] = self._speech.digest()
        self._checkpoints = Checkpoints(folder, config)

    def train(self) -> bool:
        schedule = Schedule(self.settings.steps)
        return train(
            self._run,
            self._take,
            schedule,
            self.settings.rate,
            self._checkpoints,
            judge=self.judge,
            judged=500,
        )

    def resume(self) -> bool:
        """Take the last checkpoint."""
        return self._checkpoints.resume(self._run)

    def _take(self) -> Losses:
        places = self._batches(self._run.step)
        batch = self._speech.batch(places, self._run.numbers).rows(rows_of(len(places)))
        batch = batch.to(self.model.device)
        with self.spelling.listening() as heard:
            loss = next_token_loss(self.model, batch, self.settings.period)
        with torch.autocast(batch.speech.device.type, torch.bfloat16):
            letters = self.spelling.loss(heard[0], batch)
        torch.autograd.backward(loss + self.settings.spelling * letters)
        norm = take_step(self._run.optimisers, weight=float(batch.counted.sum()))
        return {"loss": loss.item(), "letters": letters.item(), "gradient": norm}

    @torch.no_grad()
    def judge(self) -> Losses:
        """The loss on unseen texts by known speakers, and by unknown ones."""
        speech = self._speech
        parts: tuple[Part, ...] = ("valid", "test", "closed")
        return {
            part: judge_part(self.model, speech, part, self.settings.period)
            for part in parts
            if speech.places(part)
        }


def next_token_loss(model: T3, batch: Spoken, period: int = 0) -> Tensor:
    """Mean cross-entropy in nats of the tokens and stops of a batch; period as of a `Layout`."""
    speech = batch.speech
    with torch.autocast(speech.device.type, torch.bfloat16):
        hidden = hidden_states(
            model,
            batch.prefix,
            speech,
            Layout.causal(speech.shape[1], speech.device, period),
            unconditional=batch.unconditional,
        )
        scores = model.speech_head(hidden[:, :-1][batch.counted])  # of the id that follows
    return F.cross_entropy(scores.float(), speech[:, 1:][batch.counted])


def judge_part(model: T3, speech: Speech, part: Part, period: int = 0) -> float:
    """The loss on some utterances of a part, always the same ones."""
    numbers = np.random.default_rng(1)
    places = sorted(speech.places(part)[:JUDGED], key=speech.length)
    losses = [
        next_token_loss(model, batch.to(model.device), period).item()
        for batch in (
            speech.batch(places[begin : begin + 16], numbers) for begin in range(0, len(places), 16)
        )
    ]
    return float(np.mean(losses))


def open_speech(work: Path, recipe: Recipe, settings: TeacherSettings) -> Speech:
    """All that earlier stages left in a folder."""
    return Speech(
        Features(work / "features"),
        read_tokens(work),
        read_embeddings(work),
        recipe.sizes.t3,
        alignment=read_alignment(work),
        pairs=settings.pairs,
        unconditional=settings.unconditional,
        seed=recipe.seed,
    )


def taught(speech: Speech, settings: TeacherSettings) -> Speech:
    """What of it is learnt."""
    return speech.only(settings.voices, settings.strangers) if settings.voices else speech


def open_teacher(work: Path, recipe: Recipe, device: Device = "cpu") -> T3:
    """What this stage trained. Raises ModelError where it has not yet."""
    return load(work / "teacher", "t3", make_decoder(recipe, device)).requires_grad_(False)


def learn(work: Path, recipe: Recipe, device: str) -> bool:
    """Train the teacher; False if somebody stopped it, and no launcher would take
    that for a failure."""
    speech = open_speech(work, recipe, recipe.settings("teacher", TeacherSettings))
    with joined(device) as own:
        return TeacherStage(recipe, speech, work / "teacher", own).train() or launched()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("teacher", __doc__)
    return command.run(
        arguments, lambda given: learn(given.work, read_recipe(given.recipe), given.device)
    )


if __name__ == "__main__":
    sys.exit(main())
