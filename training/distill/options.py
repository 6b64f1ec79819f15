"""The options of cbflash-distill, and the settings they stand for."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from cbflash.config import T3Config
from cbflash.errors import UsageError
from cbflash.tokens import TOKEN_RATE
from training.autoregressive import Draw
from training.distill.settings import RATES, Settings
from training.lora import Rank

SEEDS = 2**32

DESCRIPTION = """\
Make a block-diffusion decoder of an autoregressive Chatterbox, without recordings: the teacher
speaks your texts in the voices of your clips, and its student learns to expect the same, a block
of tokens at a time. The result is a model folder that cbflash opens like any other.
"""
EPILOG = """\
  cbflash-distill chatterbox texts.txt --voices me.wav you.wav --out models/mine --bf16

Ctrl-C ends with a checkpoint, and the same command goes on from there. How it works, what it needs
and where it ends is in docs/distillation.md. Exit codes: 0 done, 2 options or texts that make no
sense, 3 a clip that is no voice, 5 the folder is no autoregressive Chatterbox, 7 PyTorch is missing
or failed, 8 the result could not be written, 130 stopped, by Ctrl-C or --minutes: there is no
result yet.
"""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="cbflash-distill",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("teacher", type=Path, metavar="TEACHER", help="its folder")
    p.add_argument("texts", type=Path, metavar="TEXTS", help="a file, one text a line")
    p.add_argument("--voices", type=Path, nargs="+", required=True, metavar="CLIP")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model folder")
    p.add_argument("--force", action="store_true", help="replace DIR if it is there")
    p.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="what is kept until the next time (the name of --out with .work behind it)",
    )
    p.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    _add_speaking(p)
    _add_training(p)
    _add_machine(p)
    return p


def _add_speaking(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group("how the teacher speaks (by default as the released package does)")
    g.add_argument("--samples", type=int, default=1, help="of each text (1)")
    g.add_argument("--temperature", type=float, default=0.8, help="(0.8)")
    g.add_argument("--top-p", type=float, default=1.0, help="(1.0)")
    g.add_argument("--min-p", type=float, default=0.05, help="(0.05)")
    g.add_argument("--repetition", type=float, default=1.2, help="penalty; 1 is none (1.2)")
    g.add_argument("--guidance", type=float, default=0.5, help="weight; 0 is none (0.5)")
    g.add_argument(
        "--untold",
        choices=("text", "all"),
        default="text",
        help="what the teacher lacks where it is not told what to say: the text, as in Chatterbox, "
        "or the voice too, as in models trained here (text)",
    )
    g.add_argument(
        "--period",
        type=int,
        default=0,
        help="tokens after which the teacher's learned positions begin anew; 0: never, as in "
        "Chatterbox (0)",
    )
    g.add_argument("--longest", type=float, default=40.0, help="seconds of a text (40)")
    g.add_argument("--together", type=int, default=16, help="texts spoken at once (16)")


def _add_training(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group("how the student is trained")
    g.add_argument("--steps", type=int, default=2000, help="(2000)")
    g.add_argument("--batch", type=int, default=800, help="speech tokens of a step (800)")
    g.add_argument("--rate", type=float, help="of learning (2e-4; all weights: 5e-5)")
    weights = g.add_mutually_exclusive_group()
    weights.add_argument("--rank", type=int, default=16, help="of the adapters (16)")
    weights.add_argument("--all-weights", action="store_true", help="no adapters")
    g.add_argument("--alpha", type=float, help="weight of the adapters (twice the rank)")
    g.add_argument("--block", type=int, default=16, help="tokens of a block (16)")
    g.add_argument(
        "--annealed",
        type=int,
        metavar="STEPS",
        help="in which blocks grow from one token (half of --steps)",
    )
    g.add_argument(
        "--beta", type=float, default=0.5, help="of the divergence, between 0 and 1 (0.5)"
    )
    g.add_argument(
        "--top-k", type=int, default=0, help="ids of the teacher that are told apart; 0: all (0)"
    )
    g.add_argument(
        "--unconditional", type=float, default=0.1, help="part of the rows without text (0.1)"
    )


def _add_machine(p: argparse.ArgumentParser) -> None:
    g = p.add_argument_group("the machine")
    g.add_argument("--device", choices=("cpu", "cuda"), help="(cuda where there is a card)")
    g.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    g.add_argument(
        "--frugal",
        action="store_true",
        help="keep little for the backward pass: a third more time, a fraction of the memory",
    )
    g.add_argument(
        "--minutes", type=float, help="then pause, with a checkpoint and the exit code 130"
    )


def check_numbers(options: argparse.Namespace) -> None:
    """Raises UsageError for what is no number that anything could be computed with."""
    for name, value in vars(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(name, value, "a finite number")
    if not 0 <= options.seed < SEEDS:
        raise _wrong("seed", options.seed, f"from 0 to {SEEDS - 1}")
    if options.minutes is not None and options.minutes <= 0:
        raise _wrong("minutes", options.minutes, "more than 0")


def read_settings(options: argparse.Namespace, sizes: T3Config) -> Settings:
    """Raises UsageError for options that make no sense, alone or for a model of these sizes."""
    rank = None
    if not options.all_weights:
        alpha = 2.0 * options.rank if options.alpha is None else options.alpha
        rank = Rank(options.rank, alpha, options.seed)
    if options.longest <= 0 or options.together < 1:
        raise UsageError("--longest and --together must be more than 0.")
    if not 2 <= options.block < sizes.speech_positions:
        most = sizes.speech_positions - 1
        raise _wrong("block", options.block, f"at least 2, and at most {most} with this model")
    limit = round(min(options.longest * TOKEN_RATE, _room(sizes.speech_positions, options.block)))
    return Settings(
        steps=options.steps,
        rate=RATES[rank is not None] if options.rate is None else options.rate,
        tokens=options.batch,
        rank=rank,
        block=options.block,
        annealed=options.steps // 2 if options.annealed is None else options.annealed,
        beta=options.beta,
        top=options.top_k,
        unconditional=options.unconditional,
        samples=options.samples,
        draw=Draw(
            temperature=options.temperature,
            top_p=options.top_p,
            scale=options.guidance,
            limit=limit,
            min_p=options.min_p,
            repetition=options.repetition,
            untold=options.untold,
            period=options.period,
        ),
        speakers=options.together,
        seed=options.seed,
        bf16=options.bf16,
        frugal=options.frugal,
    )


def _room(positions: int, block: int) -> int:
    """Speech tokens of which start, tokens and stop, in whole blocks of any size that they have
    while they grow (`training.annealing`), have a learned position each."""
    sizes = [block >> halved for halved in range(block.bit_length())]
    return min((positions - 1) // size * size for size in sizes) - 1


def _wrong(name: str, value: float, should: str) -> UsageError:
    return UsageError(f"--{name.replace('_', '-')} is {value}; it must be {should}.")
