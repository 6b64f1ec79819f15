"""How fast a student of blocks is beside the autoregressive teacher it was made from.

    python -m benchmarks.autoregressive TEACHER LIST [--model mini] [--period 16] [--rows 20]

TEACHER is a folder of `training.assemble --decoder teacher`, LIST that of `cbflash eval`. Both say
the same rows in turn, in float32 on the processor, with the same flow and vocoder behind them.
Passes are of the decoder, over one token or over a block, and over twice as much with guidance. The
teacher's decoder is the plain one of training; to tell what is the model's doing from what is the
engine's, compare the passes.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.evaluate.rows import Row, read_rows
from cbflash.engine import BlockResult, StepResult
from cbflash.errors import CbflashError, UsageError
from cbflash.settings import Sampling
from cbflash.synth import ChatterboxFlash
from cbflash.tokens import TOKEN_RATE
from training.speak import load


@dataclass(frozen=True)
class Taken:
    """What was said, and what it took. decoding, sound, whole: in seconds."""

    tokens: int = 0
    passes: int = 0
    decoding: float = 0.0
    sound: float = 0.0
    whole: float = 0.0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.tokens + other.tokens,
            self.passes + other.passes,
            self.decoding + other.decoding,
            self.sound + other.sound,
            self.whole + other.whole,
        )

    def cells(self) -> Sequence[str]:
        spoken = self.tokens / TOKEN_RATE
        return (
            f"{_ratio(self.passes, spoken):.1f}",
            f"{_ratio(self.decoding, spoken):.3f}",
            f"{_ratio(self.whole, self.sound):.3f}",
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path)
    parser.add_argument("list")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--period", type=int, default=16, help="of the teacher, see training.speak")
    parser.add_argument("--rows", type=int, default=20)
    options = parser.parse_args()
    try:
        print(table(compare(options)))
    except CbflashError as error:
        print(f"benchmarks.autoregressive: {error}", file=sys.stderr)
        return 1
    return 0


def compare(options: argparse.Namespace) -> dict[str, Taken]:
    """Raises CbflashError."""
    rows = read_rows(options.list).rows[: options.rows]
    if not rows:
        raise UsageError(f"{options.list} has no row to be spoken.", "Give a --rows above 0.")
    student = ChatterboxFlash.load(options.model, backend="cpu", dtype="float32")
    alone = Sampling(temperature=0.6, cfg_scale=0.0, seed=0)
    models = {
        "teacher, not guided": (load(options.teacher, options.period), alone),
        "student, not guided": (student, Sampling(cfg_scale=0.0, seed=0)),
        "student, by the schedule": (student, Sampling(seed=0)),
        "student, 16 steps a block": (student, Sampling(num_steps=16, time_shift_tau=0.0, seed=0)),
        "student, threshold 0.1": (student, Sampling(threshold=0.1, seed=0)),
    }
    return measure(models, rows)


def measure(
    models: Mapping[str, tuple[ChatterboxFlash, Sampling]], rows: Sequence[Row]
) -> dict[str, Taken]:
    """Say every row with every model, one behind the other; before that, the first to warm up."""
    for tts, sampling in models.values():
        say(tts, rows[0], sampling)
    taken = dict.fromkeys(models, Taken())
    for row in rows:
        for name, (tts, sampling) in models.items():
            taken[name] += say(tts, row, sampling)
        print(f"  {row.id}", file=sys.stderr, flush=True)
    return taken


def say(tts: ChatterboxFlash, row: Row, sampling: Sampling) -> Taken:
    blocks: list[BlockResult] = []

    def note(result: StepResult | BlockResult) -> None:
        if isinstance(result, BlockResult):
            blocks.append(result)

    if row.reference is None:
        raise UsageError(f"{row.place} names no voice.", "Give it a ref_audio.")
    voice = tts.encode_voice(row.reference)
    speech = tts.generate(row.text, voice=voice, sampling=sampling, care=False, on_result=note)
    return Taken(
        sum(len(block.tokens) for block in blocks),
        sum(block.steps for block in blocks),
        sum(block.seconds for block in blocks),
        speech.duration,
        speech.seconds,
    )


def table(taken: Mapping[str, Taken]) -> str:
    """As Markdown: a row for each model."""
    lines = [
        "| | passes a second of sound | decoder, s a second | everything, s a second |",
        "|---|---:|---:|---:|",
    ]
    for name, one in taken.items():
        lines.append("| " + " | ".join([name, *one.cells()]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
