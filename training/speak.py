"""An autoregressive decoder, heard: the command
python -m training.speak MODEL LIST FOLDER --temperature 0.8 --period 16

MODEL is a folder whose decoder is a teacher's (`training.assemble --decoder teacher`), and --period
that of its recipe, which no folder tells; LIST the
JSON lines of `cbflash eval`. A wav for each row goes to FOLDER, which `cbflash eval LIST --speech
FOLDER` listens to. Everything but the decoder is the product's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import torch

from app.evaluate.rows import read_rows
from cbflash.audio import write_audio
from cbflash.checkpoint import Checkpoint
from cbflash.engine import BlockResult, EngineOptions, Prompt, StepResult, Steps
from cbflash.errors import UsageError
from cbflash.files import make_folder
from cbflash.settings import Sampling
from cbflash.synth import ChatterboxFlash
from cbflash.tokenizer import TextTokenizer
from cbflash.voice import Voice
from cuda_backend.engine import TorchEngine
from cuda_backend.machine import Machine
from cuda_backend.t3 import T3
from training.autoregressive import Draw, speak
from training.command import Command
from training.t3 import Prefix


class AutoregressiveEngine(TorchEngine):
    """The engine with one token a pass: what came of `decode` is told in blocks all the same.

    Of a Sampling it follows temperature, guidance, exaggeration and the seed. period: of the
    decoder's learned positions, which its folder does not tell (`training.teacher`).
    """

    period = 0

    @property
    def t3(self) -> T3:
        return self._decoder.model

    def decode(
        self, prompts: Sequence[Prompt], sampling: Sampling, steps: Steps | None = None
    ) -> Generator[StepResult | BlockResult, None, None]:
        size = self.config.t3.block_size
        for row, prompt in enumerate(prompts):
            limit = min(prompt.max_tokens, self.config.t3.speech_positions - 1)
            begun = time.perf_counter()
            tokens = self._speak(prompt, sampling, limit)
            seconds = time.perf_counter() - begun
            blocks = [tokens[start : start + size] for start in range(0, len(tokens), size)] or [[]]
            for index, block in enumerate(blocks):
                end: Literal["stop", "budget"] | None = None
                if index == len(blocks) - 1:
                    end = "budget" if len(tokens) == limit else "stop"
                passes = len(block) + (end == "stop")
                share = seconds * len(block) / max(1, len(tokens))
                yield BlockResult(row, index, tuple(block), passes, share, end, 0)

    def _speak(self, prompt: Prompt, sampling: Sampling, limit: int) -> list[int]:
        model = self.t3
        prefix = Prefix(
            torch.tensor([prompt.text_tokens]),
            torch.tensor([len(prompt.text_tokens)]),
            torch.from_numpy(prompt.voice.speaker_embedding.copy())[None],
            torch.from_numpy(prompt.voice.prompt_tokens.copy())[None].long(),
            torch.tensor([sampling.exaggeration]),
        )
        draw = Draw(sampling.temperature, scale=sampling.cfg_scale, limit=limit, period=self.period)
        generator = torch.Generator().manual_seed(prompt.seed)
        [tokens] = speak(model, prefix, draw, generator)
        found: list[int] = tokens.tolist()
        return found


def load(folder: Path, period: int = 0) -> ChatterboxFlash:
    """A model folder with an autoregressive decoder, on the CPU in float32. Raises CbflashError."""
    engine = AutoregressiveEngine.load(
        str(folder), EngineOptions(dtype="float32"), Machine.of("cpu")
    )
    assert isinstance(engine, AutoregressiveEngine)
    engine.period = period
    checkpoint = Checkpoint.open(folder)
    return ChatterboxFlash(
        engine, TextTokenizer.open(checkpoint.files["tokenizer"], checkpoint.config.t3)
    )


def speak_rows(tts: ChatterboxFlash, source: str, folder: Path, sampling: Sampling) -> None:
    """A wav for each row of a list; prints what each took. Raises CbflashError."""
    make_folder(folder)
    voices: dict[Path, Voice] = {}
    for row in read_rows(source).rows:
        if row.reference is None:
            raise UsageError(f"{row.place} names no voice.", "Give it a ref_audio.")
        if row.reference not in voices:
            voices[row.reference] = tts.encode_voice(row.reference)
        begun = time.perf_counter()
        speech = tts.generate(row.text, voice=voices[row.reference], sampling=sampling)
        taken = time.perf_counter() - begun
        write_audio(folder / f"{row.id}.wav", speech.samples, speech.sample_rate)
        seconds = len(speech.samples) / speech.sample_rate
        print(f"{row.id}: {seconds:.2f} s of sound in {taken:.2f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command("speak", __doc__)
    add = command.parser.add_argument
    add("model", type=Path, metavar="MODEL")
    add("list", metavar="LIST")
    add("folder", type=Path, metavar="FOLDER")
    add("--temperature", type=float, default=0.8)
    add("--guidance", type=float, default=0.0)
    add("--seed", type=int, default=0)
    add(
        "--period",
        type=int,
        default=0,
        help="tokens after which the decoder's learned positions begin anew, as in its recipe",
    )

    def act(given: argparse.Namespace) -> None:
        sampling = Sampling(
            temperature=given.temperature, cfg_scale=given.guidance, seed=given.seed
        )
        speak_rows(load(given.model, given.period), given.list, given.folder, sampling)

    return command.run(arguments, act)


if __name__ == "__main__":
    sys.exit(main())
