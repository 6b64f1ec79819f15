"""The voice encoder, from nothing: the command
python -m training.voice_encoder WORK --recipe mini

WORK holds `features/` (training.features); checkpoints go to `WORK/voice_encoder/`. The same
command goes on where it was stopped. With --embed, when it is trained: the embedding of every
utterance, which the decoder is conditioned on.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cbflash.config import VoiceEncoderConfig
from cbflash.errors import UsageError
from cbflash.features import voice_encoder_windows
from cbflash.files import write_whole
from cuda_backend.voice_encoder import VoiceEncoder
from training.checkpoints import Checkpoints, Run, load
from training.command import Command, tell
from training.devices import Device, find_device
from training.features import Features
from training.ge2e import GE2E
from training.loop import Losses, Report, train
from training.optimisers import make_optimisers, take_step
from training.parameters import trainable
from training.recipe import Recipe, read_recipe
from training.schedule import Schedule
from training.verification import can_verify, verify
from training.voice_windows import Changes, VoiceWindows

Floats = npt.NDArray[np.float32]

STAGE = "voice_encoder"
EMBEDDINGS = "embeddings.npy"
_MEASURED = 500  # utterances that tell how loud the bands are
_TOGETHER = 64  # utterances that are embedded at once
_TOLD = 40 * _TOGETHER
_COURSE = ("steps", "warmup", "decay", "judged")  # a run may be made longer, and end otherwise


@dataclass(frozen=True)
class VoiceEncoderSettings:
    """The recipe's `[voice_encoder]`.

    speakers, windows: of a batch, each window of another utterance. loud: root mean square that
    mel bands are brought to; most frames are 20 dB below it, and should be heard. gain, tilt, cut,
    shortest: see `Changes`. judged: steps.
    """

    steps: int = 1300
    speakers: int = 40
    windows: int = 4
    rate: float = 8e-3
    warmup: int = 30
    decay: float = 0.4
    loud: float = 30.0
    gain: float = 8.0
    tilt: float = 0.5
    cut: float = 0.3
    shortest: int = 96
    judged: int = 250

    @property
    def changes(self) -> Changes:
        return Changes(self.gain, self.tilt, self.cut, self.shortest)


class Levelled(nn.Module):
    """A voice encoder that hears powers of an ordinary size, whatever the units of the mel.

    levels: what each band is divided by, [mels]. In use the first layer's weights are (`folded`).
    """

    levels: Tensor

    def __init__(self, config: VoiceEncoderConfig) -> None:
        super().__init__()
        self.encoder = VoiceEncoder(config)
        self.register_buffer("levels", torch.ones(config.mels))

    def forward(self, windows: Tensor) -> Tensor:
        """Mel windows [N, S, mels] -> unit vectors [N, embedding]."""
        embedded: Tensor = self.encoder(windows / self.levels)
        return embedded

    @torch.no_grad()
    def folded(self) -> VoiceEncoder:
        """A copy of the encoder that takes windows as they are and gives the same."""
        encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        encoder.get_parameter("lstm.0.input.weight").div_(self.levels)
        return encoder


def make_model(recipe: Recipe, device: Device = "cpu") -> Levelled:
    """The model as it begins."""
    model = Levelled(recipe.sizes.voice_encoder).to(device)
    trainable(model.encoder, recipe.seed, device)
    return model


def begin(recipe: Recipe, model: Levelled, loss: GE2E) -> Run:
    """The run at step 0."""
    optimisers = make_optimisers([model, loss], recipe.settings(STAGE, VoiceEncoderSettings).rate)
    return Run({"encoder": model, "loss": loss}, optimisers, np.random.default_rng(recipe.seed))


def teach(work: Path, recipe: Recipe, device: Device = "cpu", report: Report | None = None) -> bool:
    """Train, or go on training; False if somebody stopped it. Raises CbflashError."""
    settings = recipe.settings(STAGE, VoiceEncoderSettings)
    features = Features(work / "features")
    drawn = VoiceWindows(
        features, features.speakers("train"), settings.speakers, settings.windows, settings.changes
    )
    model, loss = make_model(recipe, device), GE2E().to(device)
    levels = measure_levels(features, features.part("train")) / settings.loud
    model.levels.copy_(torch.from_numpy(levels))
    run = begin(recipe, model, loss)
    unseen = features.part("test") + features.part("closed")
    speakers = [features.items[place].speaker for place in unseen]

    def take() -> Losses:
        windows = torch.from_numpy(drawn.draw(run.numbers)).to(device)
        embeddings = model(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        value, right = loss(embeddings)
        value.backward()
        take_step(run.optimisers)
        return {"loss": value.item(), "right": right.item()}

    def judge() -> Losses:
        if not can_verify(speakers):
            return {}
        return asdict(verify(np.concatenate(list(embed(model, features, unseen))), speakers))

    return train(
        run,
        take,
        Schedule(settings.steps, settings.warmup, settings.decay),
        settings.rate,
        make_checkpoints(work, recipe),
        judge=judge,
        judged=settings.judged,
        report=report,
    )


def make_checkpoints(work: Path, recipe: Recipe) -> Checkpoints:
    settings = recipe.settings(STAGE, VoiceEncoderSettings)
    sizes = asdict(recipe.sizes.voice_encoder)
    config = {"seed": recipe.seed, "sizes": sizes, STAGE: asdict(settings)}
    return Checkpoints(work / STAGE, config, free=[f"{STAGE}.{name}" for name in _COURSE])


def measure_levels(features: Features, places: Sequence[int]) -> Floats:
    """The root mean square of each band, [mels], over utterances from all of the list."""
    some = places[:: max(1, len(places) // _MEASURED)]
    squares = [np.square(features.read("voice_mel", place)).mean(axis=0) for place in some]
    levels: Floats = np.sqrt(np.mean(squares, axis=0)).astype(np.float32)
    return levels


def embed(encoder: nn.Module, features: Features, places: Sequence[int]) -> Iterator[Floats]:
    """The embeddings of utterances, some at a time, [n, embedding].

    As the product makes them (`cbflash.conditioning.embed_speaker`): the mean over overlapping
    windows, of length one.
    """
    device = next(encoder.parameters()).device
    for start in range(0, len(places), _TOGETHER):
        windows = [
            voice_encoder_windows(features.read("voice_mel", place))
            for place in places[start : start + _TOGETHER]
        ]
        ends = np.cumsum([len(one) for one in windows])[:-1]
        with torch.inference_mode():
            found = encoder(torch.from_numpy(np.concatenate(windows)).to(device)).cpu().numpy()
        means = np.stack([part.mean(axis=0) for part in np.split(found, ends)])
        yield means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def read_voice_encoder(work: Path, recipe: Recipe) -> VoiceEncoder:
    """The encoder of the last checkpoint, as it is used. Raises ModelError if there is none, or
    one of other sizes."""
    return load(work / STAGE, "encoder", make_model(recipe)).folded()


def write_embeddings(work: Path, recipe: Recipe) -> Iterator[tuple[int, int]]:
    """Embed every utterance; yields how many are done, of how many."""
    encoder, features = read_voice_encoder(work, recipe), Features(work / "features")
    parts: list[Floats] = []
    for part in embed(encoder, features, range(len(features))):
        parts.append(part)
        yield sum(map(len, parts)), len(features)
    with write_whole(work / STAGE / EMBEDDINGS) as file:
        np.save(file, np.concatenate(parts))


def read_embeddings(work: Path) -> Floats:
    """Unit vectors [N, embedding], rows in the order of `Features.items`.

    Raises UsageError where there are none, or of other features.
    """
    path = work / STAGE / EMBEDDINGS
    hint = f"Make it: python -m training.{STAGE} {work} --embed"
    try:
        embeddings: Floats = np.load(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.", hint) from None
    utterances = len(Features(work / "features"))
    if len(embeddings) != utterances:
        raise UsageError(
            f"{path} is of {len(embeddings)} utterances, and there are {utterances}.", hint
        )
    return embeddings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training(STAGE, __doc__)
    command.parser.add_argument(
        "--embed", action="store_true", help="embed all utterances, train nothing"
    )

    def act(given: argparse.Namespace) -> bool:
        recipe = read_recipe(given.recipe)
        if not given.embed:
            return teach(given.work, recipe, find_device(given.device))
        for done, utterances in write_embeddings(given.work, recipe):
            if done % _TOLD == 0 or done == utterances:
                tell(done, utterances, "utterances")
        return True

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
