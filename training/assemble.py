"""What all stages learnt as a model folder: the command
python -m training.assemble WORK FOLDER --recipe mini --decoder student_distill

Each part is taken from the last checkpoint of its stage. The codec's own flow, which takes no
notice of noise, is taken only where it is asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from cbflash.config import ModelConfig
from cuda_backend.model import Chatterbox
from training.checkpoints import load, shape_of
from training.codec import Codec
from training.command import Command
from training.export import Precision, export
from training.letters import give_capitals, write_tokenizer
from training.recipe import Recipe, read_recipe
from training.voice_encoder import read_voice_encoder

DECODERS = ("student_paper", "student_distill", "teacher")
FlowOf = Literal["flow", "codec"]


def assemble(work: Path, recipe: Recipe, decoder: str, flow: FlowOf = "flow") -> Chatterbox:
    """The model with what the stages in `work` learnt; `decoder` is the stage of T3, `flow` that of
    the flow.

    Raises ModelError where a stage has no checkpoint.
    """
    with torch.device("meta"):
        model = Chatterbox(recipe.sizes)
    model.to_empty(device="cpu").requires_grad_(False)
    take_codec(work, recipe.sizes, model)
    if flow != "codec":
        load(work / "flow", "flow", model.flow)
    load(work / decoder, "t3", model.t3)
    model.voice_encoder.load_state_dict(read_voice_encoder(work, recipe).state_dict())
    load(work / "vocoder", "hift", model.hift)
    give_capitals(model.t3.text_embedding.weight, recipe.sizes.t3)
    return model


def take_codec(work: Path, sizes: ModelConfig, model: Chatterbox) -> None:
    """The speech tokenizer, the x-vector and the flow of the codec stage."""
    codec = read_codec(work, sizes)
    model.s3tokenizer.load_state_dict(codec.trained_tokenizer().state_dict())
    model.xvector.load_state_dict(codec.x_vector.state_dict())
    model.flow.load_state_dict(codec.flow.state_dict())


def read_codec(work: Path, sizes: ModelConfig) -> Codec:
    """The codec of the last checkpoint, its flow's embedding written."""
    folder = work / "codec"
    speakers, _ = shape_of(folder, "codec", "heads.speakers.weight")
    with torch.device("meta"):
        codec = Codec(sizes, speakers)
    codec.to_empty(device="cpu").requires_grad_(False)
    load(folder, "codec", codec)
    codec.write_embedding()
    return codec


def write_model(
    model: Chatterbox,
    folder: Path,
    precision: Precision = "bf16",
    *,
    autoregressive: bool = False,
    force: bool = False,
) -> Path:
    """A model folder with its tokenizer. Raises OutputError."""
    with TemporaryDirectory() as temporary:
        tokenizer = Path(temporary) / "tokenizer.json"
        write_tokenizer(tokenizer, model.config.t3)
        return export(
            model,
            tokenizer,
            folder,
            precision=precision,
            autoregressive=autoregressive,
            force=force,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command.of_work("assemble", __doc__)
    add = command.parser.add_argument
    add("folder", type=Path, metavar="FOLDER")
    add("--decoder", choices=DECODERS, default=DECODERS[0])
    add(
        "--flow",
        choices=("flow", "codec"),
        default="flow",
        help="codec: as the codec left it, which makes the middle of all mels there may be",
    )
    add("--precision", choices=("fp32", "bf16"), default="bf16")
    add(
        "--autoregressive",
        action="store_true",
        help="without the mask's row, which no teacher has learnt: a folder for cbflash-distill",
    )
    add("--force", action="store_true", help="replace the folder")

    def act(given: argparse.Namespace) -> None:
        model = assemble(given.work, read_recipe(given.recipe), given.decoder, given.flow)
        written = write_model(
            model,
            given.folder,
            given.precision,
            autoregressive=given.autoregressive,
            force=given.force,
        )
        print(written)

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
