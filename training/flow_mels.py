"""The mels that the flow makes of the corpus' tokens: the command
python -m training.flow_mels WORK --recipe mini

They have the frames of the true mels and the faults of the made ones, so a vocoder that learns to
make the true sound of them (`training.vocoder --mels WORK/flow_mels`) knows those faults, as
HiFi-GAN was fine-tuned for its synthesisers (Kong et al. 2020). Each utterance stands behind a
prompt of the same speaker and in noise of its own, as in use. Shard by shard, laid out as the
features are; the same command makes what is not there yet.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from cbflash.files import write_whole
from training.assemble import read_codec
from training.command import Command, tell
from training.features import Features
from training.flow import open_speech, read_flow
from training.flow_table import Way, in_use, noise_in_use
from training.mean_flow import MEAN_FLOW
from training.origin import claim, digest
from training.prompted import PromptedSpeech
from training.recipe import Recipe, read_recipe
from training.spoken import read_tokens

FOLDER = "flow_mels"  # of WORK


@dataclass(frozen=True)
class MelSettings:
    """steps: of the flow; prompt: fewest and most tokens of one."""

    steps: int = 2
    prompt: tuple[int, int] = (25, 75)


@torch.inference_mode()
def make(way: Way, speech: PromptedSpeech, features: Features, folder: Path) -> Iterator[int]:
    """Write the shards that are not there yet; yields how many are, after each."""
    for done, (name, places) in enumerate(features.shards(), 1):
        path = folder / f"{name}.mel.npy"
        if not path.exists():
            mels = []
            for place in places:
                batch = speech.batch([place], np.random.default_rng([1, place]))
                noise = torch.from_numpy(noise_in_use(batch, place)[None])
                mels.append(way(batch, noise)[0, batch.spoken].numpy())
            with write_whole(path) as file:
                np.save(file, np.concatenate(mels).astype(np.float16))
        yield done


def write(work: Path, recipe: Recipe) -> None:
    """Make the mels of a folder that are not there yet."""
    settings = recipe.settings(FOLDER, MelSettings)
    flow = read_flow(work / MEAN_FLOW, recipe.sizes)
    tokens = read_tokens(work)
    claim(work / FOLDER, asdict(settings) | {"flow": digest(flow), "tokens": digest(tokens)})
    speech = open_speech(work, read_codec(work, recipe.sizes), settings.prompt)
    way = in_use(flow, settings.steps)
    features = Features(work / "features")
    count = len(features.shards())
    for done in make(way, speech, features, work / FOLDER):
        tell(done, count, "shards")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_work(FOLDER, __doc__)
    return command.run(arguments, lambda given: write(given.work, read_recipe(given.recipe)))


if __name__ == "__main__":
    sys.exit(main())
