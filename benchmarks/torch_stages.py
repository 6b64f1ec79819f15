"""Every stage on the processor: the PyTorch engine beside the released package.

    python -m benchmarks.torch_stages FOLDER [--rounds 2] [--only ours-bfloat16 ...]

FOLDER is a model of the real sizes in the released layout (python -m tests.seeded_models full
FOLDER). Both need to be importable in one environment, with the same torch. Each engine runs in
a process of its own, with the same clip, text, settings and threads; rounds alternate, and the
best round counts for every stage, since anything else on the machine can only slow one down.
A block is a fourth block: the time of four blocks less that of three.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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
STAGES = {
    "voice": "encode_voice, s",
    "block": "one block, s",
    "decode": "prefix and 4 blocks, s",
    "sound": "S3Gen, s",
    "whole": "text to samples, s",
}

Stages = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.folder, options.threads)))
        return
    runs: dict[str, list[Stages]] = {name: [] for name in options.only}
    for round_ in range(options.rounds):
        for name in options.only:
            if name == "released-float16" and round_:
                continue  # a minute for each stage; once is enough
            runs[name].append(in_child(name, options))
    report(runs)


def in_child(name: str, options: argparse.Namespace) -> Stages:
    command = [sys.executable, "-m", "benchmarks.torch_stages", str(options.folder)]
    command += ["--threads", str(options.threads), "--child", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    stages: Stages = json.loads(done.stdout.splitlines()[-1])
    told = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items())
    print(f"  {name}: {told}", file=sys.stderr, flush=True)
    return stages


def report(runs: dict[str, list[Stages]]) -> None:
    columns = {**STAGES, "peak": "peak memory, GB"}
    best = {
        name: {column: min(run[column] for run in every) for column in columns}
        for name, every in runs.items()
    }
    print(f"| engine | {' | '.join(columns.values())} |")
    print("|---|" + "---:|" * len(columns))
    for name, figures in best.items():
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures.values()) + " |")
    fastest = min((name for name in best if name.startswith("ours")), key=_whole(best), default="")
    for name in best:
        if fastest and name.startswith("released"):
            ratios = [best[name][column] / best[fastest][column] for column in columns]
            told = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {name} / {fastest} | {told} |")


def _whole(best: dict[str, Stages]) -> Callable[[str], float]:
    return lambda name: best[name]["whole"]


def measure(engine: str, folder: Path, threads: int) -> Stages:
    import torch

    torch.set_num_threads(threads)
    side, _, dtype = engine.partition("-")
    stages = {"ours": run_ours, "released": run_released}[side](folder, dtype)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {**stages, "peak": peak}


def best_of(work: Callable[[], object], times: int = 2) -> float:
    """The fastest of some runs, after one that does not count."""
    seconds = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])


def run_ours(folder: Path, dtype: str) -> Stages:
    from cbflash.audio import read_clip
    from cbflash.engine import EngineOptions, Prompt, Utterance
    from cbflash.settings import Sampling
    from cbflash.synth import ChatterboxFlash
    from cuda_backend.backend import CPU

    speaker = ChatterboxFlash.load(folder, backend=CPU, dtype=dtype)
    assert speaker.engine.info.dtype == EngineOptions(dtype=dtype).dtype
    clip = read_clip(CLIP)
    voice = speaker.encode_voice(clip)
    ids = speaker.tokenizer.encode(TEXT.lower()).ids
    sampling = Sampling(seed=1)
    spoken = Utterance(tuple(range(100, 100 + BLOCK * BLOCKS)), voice, 1)

    def decode(blocks: int) -> None:
        for _ in speaker.engine.decode([Prompt(ids, voice, BLOCK * blocks, 1)], sampling):
            pass

    decoded = best_of(lambda: decode(BLOCKS))
    return {
        "voice": best_of(lambda: speaker.encode_voice(clip)),
        "block": decoded - best_of(lambda: decode(BLOCKS - 1)),
        "decode": decoded,
        "sound": best_of(lambda: speaker.engine.render([spoken], sampling)),
        "whole": best_of(
            lambda: speaker.generate(
                TEXT, voice=voice, sampling=sampling, max_speech_tokens=BLOCK * BLOCKS
            )
        ),
    }


def run_released(folder: Path, dtype: str) -> Stages:
    import torch
    from chatterbox_flash import ChatterboxFlashTTS

    tts = ChatterboxFlashTTS.from_local(folder, "cpu", dtype=getattr(torch, dtype))
    slow = dtype == "float16"
    with torch.inference_mode():
        tts.prepare_conditionals(CLIP)
        voice = best_of(lambda: tts.prepare_conditionals(CLIP), times=1 if slow else 2)
    seconds: dict[int, Stages] = {}
    for blocks in (BLOCKS, BLOCKS - 1):
        seconds[blocks] = _released_stages(tts, BLOCK * blocks, times=1 if slow else 2)
    return {
        "voice": voice,
        "block": seconds[BLOCKS]["decode"] - seconds[BLOCKS - 1]["decode"],
        **seconds[BLOCKS],
    }


def _released_stages(tts, tokens: int, times: int) -> Stages:
    """The best times of T3, of S3Gen and of the whole `generate`."""
    from unittest.mock import patch

    clocks: dict[str, list[float]] = {"decode": [], "sound": [], "whole": []}

    def timed(name: str, work):
        def run(*arguments, **options):
            begun = time.perf_counter()
            result = work(*arguments, **options)
            clocks[name].append(time.perf_counter() - begun)
            return result

        return run

    def speak() -> None:
        tts.generate(TEXT, max_speech_tokens=tokens, backend="torch", use_cuda_graph=False)

    with (
        patch.object(tts.t3, "generate", timed("decode", tts.t3.generate)),
        patch.object(tts.s3gen, "inference", timed("sound", tts.s3gen.inference)),
    ):
        for _ in range(times + 1):
            timed("whole", speak)()
    return {name: min(every[1:]) for name, every in clocks.items()}


if __name__ == "__main__":
    main()
