"""The vocoder: the command python -m training.vocoder WORK --recipe mini

HiFT learns to make sound of the mels of WORK/features: its pitch from an estimator that is no
network, its sound from spectra first and then from discriminators too. Checkpoints lie in
WORK/vocoder; the same command goes on from the last one. With --listen or --wrong-words the last
one is judged instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from app.evaluate import CLOSED
from app.evaluate.sphinx import SphinxRecogniser
from cbflash.errors import UsageError
from cuda_backend.hift import HiFT
from training.checkpoints import Checkpoints, load
from training.command import Command, at_least, tell
from training.corpus import Corpus
from training.corpus.plan import Part
from training.devices import find_device
from training.features import Features, require_same
from training.loop import train
from training.recipe import Recipe, read_recipe
from training.schedule import Schedule
from training.vocoder.crops import Data
from training.vocoder.judge import Resynthesis, judge
from training.vocoder.listen import write_sounds, wrong_words
from training.vocoder.predictor import NAME as PREDICTOR
from training.vocoder.predictor import PitchStage
from training.vocoder.settings import PitchSettings, Settings
from training.vocoder.stage import Stage, what_is_trained
from training.vocoder.tracks import Tracks, make_pitch

FOLDER = "vocoder"  # of WORK
JUDGED = 24  # utterances, of those that are not trained on
EVERY = 500  # steps


def learn(recipe: Recipe, work: Path, data: Data, device: str = "cpu") -> bool:
    """First the pitch, then sound; False if somebody stopped it before the steps were over."""
    config, own = recipe.sizes.hift, find_device(device)
    settings = recipe.settings("vocoder", Settings)
    folder = work / FOLDER / "predictor"
    first = PitchStage(config, recipe.settings("pitch", PitchSettings), recipe.seed, folder, own)
    places = data.long_enough("train", settings.frames)
    if not first.train(data):
        return False
    torch.manual_seed(recipe.seed)  # phases and noise of the source
    stage = Stage(config, settings, recipe.seed, own)
    trained = what_is_trained(config, settings, recipe.seed)
    checkpoints = Checkpoints(work / FOLDER, trained)
    resumed = checkpoints.resume(stage.run)
    load(folder, PREDICTOR, stage.hift.f0_predictor)
    if resumed:  # the predictor may have learnt since
        checkpoints.save(stage.run)
    others = data.features.part("valid")[:JUDGED]
    return train(
        stage.run,
        lambda: stage.take(data, places),
        Schedule(settings.steps, settings.warmup, settings.decay),
        settings.rate,
        checkpoints,
        judge=lambda: judge(Resynthesis.of(stage.hift, config), data, others),
        judged=EVERY,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_training("vocoder", __doc__)
    add = command.parser.add_argument
    add("--mels", type=Path, metavar="FOLDER", help="other mels of the same frames, a flow's")
    add(
        "--listen",
        type=at_least(1),
        default=0,
        metavar="N",
        help="write N utterances as sound files",
    )
    add(
        "--wrong-words",
        type=at_least(1),
        default=0,
        metavar="N",
        help="let a listener hear N utterances",
    )

    def act(given: argparse.Namespace) -> bool:
        recipe = read_recipe(given.recipe)
        data = open_data(given.work, given.mels)
        if given.listen or given.wrong_words:
            _listen(read_vocoder(given.work, recipe), data, given)
            return True
        return learn(recipe, given.work, data, given.device)

    return command.run(arguments, act)


def open_data(work: Path, mels: Path | None = None) -> Data:
    """The corpus, its features, and pitch tracks, which are made where they are not there.

    mels: a folder of other mels of the same frames, `00012.mel.npy` as in the features. Raises
    UsageError for features or mels of another corpus.
    """
    corpus, features = Corpus(work / "corpus"), Features(work / "features")
    require_same(corpus, features.folder, features.items)
    folder = work / FOLDER / "pitch"
    for done, shards in make_pitch(corpus, features, folder):
        tell(done, shards, "shards of pitch")
    pitch = Tracks(folder, "pitch", features)
    return Data(corpus, features, pitch, Tracks(mels, "mel", features) if mels else None)


def read_vocoder(work: Path, recipe: Recipe) -> Resynthesis:
    """What the last checkpoint learnt. Raises ModelError where there is none."""
    config = recipe.sizes.hift
    return Resynthesis.of(load(work / FOLDER, "hift", HiFT(config)), config)


def _some(data: Data, part: Part, count: int) -> list[int]:
    """The places of that many utterances. Raises UsageError where there are none."""
    places = data.features.part(part)[:count]
    if not places:
        raise UsageError(
            f"{data.features.folder} holds no utterance of the part {part}.",
            "Make a longer corpus.",
        )
    return places


def _listen(vocoder: Resynthesis, data: Data, options: argparse.Namespace) -> None:
    if options.listen:
        places = _some(data, "valid", options.listen)
        for path in write_sounds(vocoder, data, places, options.work / FOLDER / "listen"):
            print(path)
    if options.wrong_words:
        listener = SphinxRecogniser(CLOSED)
        places = _some(data, "closed", options.wrong_words)
        true, made = wrong_words(vocoder, data, places, listener)
        print(f"wrong words of {len(places)} utterances, {listener.name}")
        print(f"  true sound    {true}\n  from its mel  {made}")


if __name__ == "__main__":
    sys.exit(main())
