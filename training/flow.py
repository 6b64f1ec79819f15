"""The flow learns noise: the command python -m training.flow WORK --recipe mini

The codec left an estimator that gives a mel in one step: the middle of all that the tokens may
mean, smoother than any that was spoken. By flow matching (Lipman et al. 2023) it learns to give
one of them: it is asked for the velocity of a mel in noise, at any instant. Tokens and x-vectors
stay what they are, the flow's encoder goes on learning, and the estimator begins anew: the codec's
has learnt to take no notice of noise (`training.estimator_start`). A prompt is known as it is in
use, and as in use it is in noise of its own beside that.

Some rows are told nothing, for guidance. This wants many steps from noise to mel; the next stage,
`training.mean_flow`, makes them few.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cbflash.config import ModelConfig
from cuda_backend.flow import Flow
from training.assemble import read_codec
from training.batches import Batches
from training.checkpoints import Checkpoints, Run, load
from training.codec import Codec
from training.command import Command
from training.devices import find_device
from training.estimator_start import begin_straight
from training.features import Features
from training.loop import Losses, train
from training.optimisers import make_optimisers, take_step
from training.origin import digest
from training.parameters import frozen
from training.prompted import Prompted, PromptedSpeech, draw_noise, judged
from training.recipe import Recipe, read_recipe
from training.schedule import Schedule
from training.spoken import read_tokens
from training.told import Told
from training.velocity import between, draw_times

JUDGED = 96  # utterances
FITTED = 64  # utterances that say where the estimator begins
MATCHING = Path("flow", "matching")  # what this stage leaves; the next one leaves its own beside

Loss = Callable[[Flow, Prompted, np.random.Generator], Tensor]


@dataclass(frozen=True)
class FlowSettings:
    """tokens: in a batch, without prompts; prompt: fewest and most tokens of a prompt;
    unconditional: part of the rows that are told nothing; encoder: whether it goes on learning,
    at two thirds more of time."""

    steps: int = 3000
    rate: float = 2e-3
    tokens: int = 500
    prompt: tuple[int, int] = (25, 75)
    unconditional: float = 0.1
    encoder: bool = True


@dataclass(frozen=True)
class Pace:
    """How long a run is, how fast it learns, tokens of a batch, and the seed of both."""

    steps: int
    rate: float
    tokens: int
    seed: int


@dataclass(frozen=True)
class FlowMatching:
    """The loss of this stage: the velocity at any instant, from noise to a mel."""

    unconditional: float

    def __call__(self, flow: Flow, batch: Prompted, numbers: np.random.Generator) -> Tensor:
        noise, rows, device = draw_noise(batch, numbers), len(batch.mel), batch.mel.device
        t = draw_times(numbers, rows).to(device)
        nothing = torch.from_numpy(numbers.random(rows) < self.unconditional).to(device)
        field = Told.of(flow, batch).without(nothing).field(flow)
        velocity = field(between(noise, batch.mel, t), t, t)
        return F.mse_loss(velocity, batch.mel - noise)


class FlowStage:
    """A run of the flow, by one loss or another; what of it asks for gradients is trained."""

    def __init__(
        self, flow: Flow, loss: Loss, speech: PromptedSpeech, pace: Pace, checkpoints: Checkpoints
    ) -> None:
        """All happens where the flow is."""
        self.flow = flow
        self._loss = loss
        self._speech = speech
        self._pace = pace
        self._checkpoints = checkpoints
        self._run = Run(
            {"flow": flow}, make_optimisers([flow], pace.rate), np.random.default_rng(pace.seed)
        )
        self._batches = Batches(speech.places("train"), speech.length, pace.tokens, pace.seed)

    def train(self) -> bool:
        return train(
            self._run,
            self._take,
            Schedule(self._pace.steps),
            self._pace.rate,
            self._checkpoints,
            judge=self.judge,
            judged=500,
        )

    def resume(self) -> bool:
        """Take the last checkpoint."""
        return self._checkpoints.resume(self._run)

    def _take(self) -> Losses:
        numbers = self._run.numbers
        batch = self._speech.batch(self._batches(self._run.step), numbers).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16):
            loss = self._loss(self.flow, batch, numbers)
        torch.autograd.backward(loss)
        return {"loss": loss.item(), "gradient": take_step(self._run.optimisers)}

    @property
    def _device(self) -> torch.device:
        return next(self.flow.parameters()).device

    @torch.no_grad()
    def judge(self) -> Losses:
        """The loss on unseen utterances of unseen speakers, with the same noise each time."""
        numbers = np.random.default_rng(2)
        places = self._speech.places("test")[:JUDGED]
        losses = [
            self._loss(self.flow, batch.to(self._device), numbers).item()
            for batch in judged(self._speech, places)
        ]
        return {"loss": float(np.mean(losses))} if losses else {}


def read_flow(folder: Path, sizes: ModelConfig) -> Flow:
    """The flow of the last checkpoint in a folder, `WORK/flow` for what all stages came to.

    Raises ModelError where there is none.
    """
    with torch.device("meta"):
        flow = Flow(sizes.flow)
    flow.to_empty(device="cpu").requires_grad_(False)
    load(folder, "flow", flow)
    return flow


def open_speech(work: Path, codec: Codec, prompt: Sequence[int]) -> PromptedSpeech:
    """What earlier stages left in a folder; prompt: fewest and most tokens of one."""
    fewest, most = prompt
    features = Features(work / "features")
    return PromptedSpeech(features, read_tokens(work), frozen(codec.x_vector), (fewest, most))


def open_stage(work: Path, recipe: Recipe, device: str = "cpu") -> FlowStage:
    """The run of flow matching, from the codec's flow."""
    settings = recipe.settings("flow", FlowSettings)
    codec = read_codec(work, recipe.sizes)
    speech = open_speech(work, codec, settings.prompt)
    origin = digest(codec, read_tokens(work))
    flow = codec.flow
    _begin(flow, speech, recipe.seed)
    (flow if settings.encoder else flow.estimator).requires_grad_(True)
    config = asdict(settings) | {"sizes": recipe.some_sizes("flow"), "seed": recipe.seed}
    del config["steps"]  # a run may be lengthened
    config["of the codec"] = origin
    return FlowStage(
        flow.to(find_device(device)),
        FlowMatching(settings.unconditional),
        speech,
        Pace(settings.steps, settings.rate, settings.tokens, recipe.seed),
        Checkpoints(work / MATCHING, config),
    )


@torch.no_grad()
def _begin(flow: Flow, speech: PromptedSpeech, seed: int) -> None:
    """The codec's estimator has never seen noise: another one begins."""
    numbers = np.random.default_rng(seed)
    told, mels = [], []
    for place in numbers.choice(speech.places("train"), FITTED):
        batch = speech.batch([int(place)], numbers)
        told.append(Told.of(flow, batch))
        mels.append(batch.mel[0])
    mu = torch.cat([one.mu[0] for one in told])
    voices = torch.cat([one.speaker.expand(one.mu.shape[1], -1) for one in told])
    begin_straight(flow.estimator, mu, voices, torch.cat(mels), seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("flow", __doc__)
    return command.run(
        arguments,
        lambda given: open_stage(given.work, read_recipe(given.recipe), given.device).train(),
    )


if __name__ == "__main__":
    sys.exit(main())
