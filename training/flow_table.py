"""How good mels are, by the stage and the number of steps: the command
python -m training.flow_table WORK --recipe mini

Utterances of speakers that nobody was trained on, each behind a prompt of the same speaker, with
the noise that it would have in use. Beside the error there is how much a mel moves, as a part of
how much the true one does: over time (the global variance of Toda and Tokuda 2007), from band to
band and from frame to frame. Below 1 a mel is smoothed, above 1 it is noisy. A mel that is one of
several possible ones has a greater error than their middle, which nobody would say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cbflash.errors import UsageError
from cbflash.vocoding import flow_times, mel_noise, prompt_noise
from cuda_backend.flow import Flow
from training.assemble import read_codec
from training.checkpoints import checkpoints_in
from training.command import Command, at_least
from training.flow import MATCHING, open_speech, read_flow
from training.mean_flow import MEAN_FLOW, MeanFlowSettings
from training.prompted import Prompted, PromptedSpeech, judged
from training.recipe import Recipe, read_recipe
from training.told import Told
from training.velocity import solve

MANY = 10  # steps of an ordinary flow

Way = Callable[[Prompted, Tensor], Tensor]  # a batch and noise [B, F, m] to a mel [B, F, m]


@dataclass(frozen=True)
class Likeness:
    """Of made mels to true ones. error: mean distance, in nats; time, bands, frames: of how much
    they move, as a part of the truth."""

    error: float
    time: float
    bands: float
    frames: float


def compare(pairs: Sequence[tuple[Tensor, Tensor]]) -> Likeness:
    """Pairs of made and true mels, [B, F, m] each."""
    error = np.mean([(made - true).abs().mean().item() for made, true in pairs])
    moved = np.array([[_moves(mel) for mel in pair] for pair in pairs]).sum(axis=0)
    return Likeness(float(error), *(float(ratio) for ratio in moved[0] / moved[1]))


def _moves(mel: Tensor) -> list[float]:
    """Over time, from band to band, from frame to frame; means of squares."""
    time = mel.var(dim=1).mean()
    steps = (mel.diff(dim=dim).square().mean() for dim in (2, 1))
    return [time.item(), *(step.item() for step in steps)]


def in_use(flow: Flow, steps: int) -> Way:
    """As the product has it: `Flow.forward`."""

    def make(batch: Prompted, noise: Tensor) -> Tensor:
        mel: Tensor = flow(batch.tokens, batch.known, batch.x_vector, noise, steps)
        return mel

    return make


def along(flow: Flow, steps: int, guidance: float = 0.0, temperature: float = 1.0) -> Way:
    """Along the instants of an ordinary flow; see `training.mean_flow` for the last two."""

    def make(batch: Prompted, noise: Tensor) -> Tensor:
        field = Told.of(flow, batch).guided(flow, guidance)
        return solve(field, temperature * noise, flow_times(steps, meanflow=False))

    return make


def regression(flow: Flow) -> Way:
    """In one step from nothing, as the codec has it."""
    make = in_use(flow, 1)
    return lambda batch, noise: make(batch, torch.zeros_like(noise))


def ways(work: Path, recipe: Recipe) -> Iterator[tuple[str, Way]]:
    """Those of all stages that there are in a folder."""
    sizes, settings = recipe.sizes, recipe.settings("mean_flow", MeanFlowSettings)
    yield "codec, 1 step from nothing", regression(read_codec(work, sizes).flow)
    if checkpoints_in(work / MATCHING):
        flow = read_flow(work / MATCHING, sizes)
        for steps in (2, MANY):
            yield f"flow matching, {steps} steps", along(flow, steps)
        teacher = along(flow, MANY, settings.guidance, settings.temperature)
        yield f"flow matching, {MANY} steps, as a teacher", teacher
    if checkpoints_in(work / MEAN_FLOW):
        flow = read_flow(work / MEAN_FLOW, sizes)
        for steps in (1, 2, 4):
            yield f"mean flow, {steps} step{'s' * (steps > 1)}", in_use(flow, steps)


@torch.inference_mode()
def judge(way: Way, speech: PromptedSpeech, places: Sequence[int]) -> Likeness:
    """A way of making the mels of some utterances; each has noise of its own."""
    pairs = []
    seed = 0
    for batch in judged(speech, places):
        seeds = range(seed, seed + len(batch.mel))
        mel = way(batch, torch.from_numpy(np.stack([noise_in_use(batch, one) for one in seeds])))
        pairs.append((mel[:, batch.spoken], batch.mel[:, batch.spoken]))
        seed = seeds.stop
    return compare(pairs)


def noise_in_use(batch: Prompted, seed: int) -> np.ndarray:
    """[F, m], as one utterance of a batch has it in use."""
    _, frames, mels = batch.mel.shape
    prompt = batch.spoken.start
    return np.concatenate(
        [prompt_noise(seed, prompt, mels), mel_noise(seed, 0, frames - prompt, mels)]
    )


def write_table(work: Path, recipe: Recipe, utterances: int, prompt: int) -> None:
    """Print a row for each way. Raises UsageError where the corpus has no test part."""
    speech = open_speech(work, read_codec(work, recipe.sizes), (prompt, prompt))
    places = speech.places("test")[:utterances]
    if not places:
        raise UsageError(
            f"{work} has no utterance of the part test.", "It is measured on a longer corpus."
        )
    print("| mel | error | over time | over bands | over frames |")
    print("|---|---|---|---|---|")
    for name, way in ways(work, recipe):
        found = judge(way, speech, places)
        moves = " | ".join(f"{part:.2f}" for part in (found.time, found.bands, found.frames))
        print(f"| {name} | {found.error:.3f} | {moves} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_work("flow_table", __doc__)
    command.parser.add_argument("--utterances", type=at_least(1), default=96)
    command.parser.add_argument(
        "--prompt", type=at_least(1), default=125, help="tokens: 25 a second"
    )
    return command.run(
        arguments,
        lambda given: write_table(
            given.work, read_recipe(given.recipe), given.utterances, given.prompt
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
