"""Every stage on the processor: the PyTorch engine beside the released package.

    python -m benchmarks.torch_stages FOLDER [--rounds 3] [--only ours-bfloat16 ...]

FOLDER is a model of the real sizes in the released layout (python -m tests.seeded_models full
FOLDER). Both need to be importable in one environment. All engines are loaded into one process,
with the same clip, text, settings and threads, and take turns at every stage: what else happens
on the machine happens to all of them. The best round counts. A block is a third of what four
blocks take longer than one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

CLIP = Path(__file__).parent.parent / "assets" / "voices" / "sample.flac"
TEXT = "The morning was bright and cold, and nobody had expected the visitor to come so early."
BLOCK, BLOCKS = 16, 4
ENGINES = (
    "ours-bfloat16",
    "ours-float32",
    "released-bfloat16",
    "released-float32",
    "released-float16",
)
ONCE = "released-float16"  # minutes for each stage: one round is enough
COLUMNS = {
    "voice": "encode_voice, s",
    "block": "one block, s",
    "decode": "prefix and 4 blocks, s",
    "sound": "S3Gen, s",
    "whole": "text to samples, s",
}

Stages = dict[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    engines = {name: load(name, options.folder) for name in options.only}
    report({name: figures(best) for name, best in measure(engines, options.rounds).items()})


def load(name: str, folder: Path) -> Stages:
    side, _, dtype = name.partition("-")
    return {"ours": ours, "released": released}[side](folder, dtype)


def measure(engines: dict[str, Stages], rounds: int) -> dict[str, dict[str, float]]:
    """The best seconds of every stage of every engine, after a round that does not count."""
    best: dict[str, dict[str, float]] = {name: {} for name in engines}
    for round_ in range(rounds + 1):
        for stage in next(iter(engines.values())):
            for name, stages in engines.items():
                if name == ONCE and round_ > 0:
                    continue
                begun = time.perf_counter()
                stages[stage]()
                seconds = time.perf_counter() - begun
                print(f"  {round_} {stage} {name}: {seconds:.3f}", file=sys.stderr, flush=True)
                if round_ > 0 or name == ONCE:
                    best[name][stage] = min(seconds, best[name].get(stage, seconds))
    return best


def figures(best: dict[str, float]) -> dict[str, float]:
    block = (best["decode"] - best["first"]) / (BLOCKS - 1)
    return {name: best.get(name, block) for name in COLUMNS}


def report(table: dict[str, dict[str, float]]) -> None:
    print(f"| engine | {' | '.join(COLUMNS.values())} |")
    print("|---|" + "---:|" * len(COLUMNS))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{seconds:.2f}" for seconds in row.values()) + " |")
    for ours_ in (name for name in table if name.startswith("ours")):
        for theirs in (name for name in table if name.startswith("released")):
            ratios = [table[theirs][column] / table[ours_][column] for column in COLUMNS]
            told = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {theirs} / {ours_} | {told} |")


def ours(folder: Path, dtype: Any) -> Stages:
    from cbflash.audio import read_clip
    from cbflash.engine import Prompt, Utterance
    from cbflash.settings import Sampling
    from cbflash.synth import ChatterboxFlash
    from cuda_backend.backend import CPU

    speaker = ChatterboxFlash.load(folder, backend=CPU, dtype=dtype)
    engine = speaker.engine
    clip = read_clip(CLIP)
    voice = speaker.encode_voice(clip)
    ids = speaker.tokenizer.encode(TEXT.lower()).ids
    sampling = Sampling(seed=1, max_speech_tokens=BLOCK * BLOCKS)
    spoken = Utterance(tuple(range(100, 100 + BLOCK * BLOCKS)), voice, 1)

    def decode(blocks: int) -> None:
        for _ in engine.decode([Prompt(ids, voice, BLOCK * blocks, 1)], sampling):
            pass

    return {
        "voice": lambda: speaker.encode_voice(clip),
        "first": lambda: decode(1),
        "decode": lambda: decode(BLOCKS),
        "sound": lambda: engine.render([spoken], sampling),
        "whole": lambda: speaker.generate(TEXT, voice=voice, sampling=sampling),
    }


def released(folder: Path, dtype: str) -> Stages:
    from unittest.mock import patch

    from chatterbox_flash import ChatterboxFlashTTS

    tts = ChatterboxFlashTTS.from_local(folder, "cpu", dtype=getattr(torch, dtype))
    with torch.inference_mode():
        tts.prepare_conditionals(CLIP)
    taken: dict[str, tuple] = {}

    def speak(blocks: int) -> None:
        options = {"backend": "torch", "use_cuda_graph": False}
        tts.generate(TEXT, max_speech_tokens=BLOCK * blocks, **options)

    def noting(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            taken[name] = (arguments, options)
            return work(*arguments, **options)

        return run

    def again(name: str, work: Callable[..., object]) -> Callable[[], object]:
        arguments, options = taken[name]

        @torch.inference_mode()
        def run() -> object:
            return work(*arguments, **options)

        return run

    # What `generate` gives to the decoder and to S3Gen, to time each alone.
    with (
        patch.object(tts.t3, "generate", noting("decode", tts.t3.generate)),
        patch.object(tts.s3gen, "inference", noting("sound", tts.s3gen.inference)),
    ):
        speak(1)
        first = again("decode", type(tts.t3).generate.__get__(tts.t3))
        speak(BLOCKS)

    def voice() -> None:
        with torch.inference_mode():
            tts.prepare_conditionals(CLIP)

    return {
        "voice": voice,
        "first": first,
        "decode": again("decode", type(tts.t3).generate.__get__(tts.t3)),
        "sound": again("sound", type(tts.s3gen).inference.__get__(tts.s3gen)),
        "whole": lambda: speak(BLOCKS),
    }


if __name__ == "__main__":
    main()
