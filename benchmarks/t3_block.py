"""One block of the decoder: this MLX port beside the released package's own MLX engine.

    python -m benchmarks.t3_block FOLDER [--rounds 3] [--blocks 3] [--only ours]

FOLDER is a model in the released layout (python -m tests.seeded_models full FOLDER). Both
engines need to be importable: the released package with torch, mlx and mlx-lm. Each runs in a
process of its own, in turn, with the same prompt, settings and BLAS; rounds alternate, and
the best round counts, since anything else on the machine can only slow one down. Time per
block is that of the blocks after the first, so that prefix and warm-up stay out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

TEXT_TOKENS = 60
BLOCK = 16
ENGINES = ("ours", "released")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=3, help="blocks after the first")
    parser.add_argument("--only", choices=ENGINES)
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.folder, options.blocks)))
        return
    names = [options.only] if options.only else list(ENGINES)
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            runs[name].append(in_child(name, options))
    report(runs)


def in_child(name: str, options: argparse.Namespace) -> dict:
    command = [sys.executable, "-m", "benchmarks.t3_block", str(options.folder)]
    command += ["--blocks", str(options.blocks), "--child", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    run: dict = json.loads(done.stdout.splitlines()[-1])
    print(f"  {name}: {run['block']:.3f} s a block", file=sys.stderr, flush=True)
    return run


def report(runs: dict[str, list[dict]]) -> None:
    columns = {
        "block": "time per block, s",
        "first": "prefix and first block, s",
        "whole": "all blocks, s",
        "peak": "peak memory, GB",
    }
    best = {
        name: {column: min(run[column] for run in every) for column in columns}
        for name, every in runs.items()
    }
    print(f"| engine | {' | '.join(columns.values())} |")
    print("|---|" + "---:|" * len(columns))
    for name, figures in best.items():
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in figures.values()) + " |")
    if len(runs) == 2:
        ratios = [best["released"][column] / best["ours"][column] for column in columns]
        print("| ratio released / ours | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
        ours, released = (every[0]["tokens"] for every in runs.values())
        same = sum(a == b for a, b in zip(ours, released, strict=True))
        print(f"\nSame tokens: {same} of {len(ours)}.", end=" ")
    looks = runs["ours"][0]["looks"] if "ours" in runs else 0
    print(f"Host looks at device values per block, ours: {looks:g}.")


def measure(name: str, folder: Path, blocks: int) -> dict:
    run = {"ours": run_ours, "released": run_released}[name]
    tokens, seconds, looks = run(folder, blocks)
    return {
        "first": seconds[0],
        "block": min(seconds[1:]),
        "whole": sum(seconds),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "tokens": tokens,
        "looks": looks,
    }


def prompt() -> tuple[list[int], np.ndarray, np.ndarray]:
    """Text ids, prompt tokens, speaker embedding: the same for both."""
    rng = np.random.default_rng(1)
    speaker = rng.standard_normal(256).astype(np.float32)
    text = [255, *rng.integers(3, 250, TEXT_TOKENS).tolist(), 0]
    return text, rng.integers(0, 6561, 150), speaker / np.linalg.norm(speaker)


def run_ours(folder: Path, blocks: int) -> tuple[list[int], list[float], float]:
    from benchmarks.prompts import seeded_voice
    from cbflash.config import T3Config
    from cbflash.decoding import BlockLoop
    from cbflash.engine import BlockResult, Prompt
    from cbflash.settings import Sampling
    from mlx_port.decode import Decoder

    looks = 0

    class Counting(Decoder):
        def tokens(self, state):
            nonlocal looks
            looks += 1
            return super().tokens(state)

    model = decoder_of(folder / "t3_flash.safetensors", T3Config())
    decoder = Counting(model)
    text, prompt_tokens, speaker = prompt()
    voice = seeded_voice(speaker, prompt_tokens)
    sampling = Sampling(temperature=0.0, position_temperature=0.0)
    budget = BLOCK * (blocks + 1)
    given = [Prompt(tuple(text), voice, budget)]
    tokens: list[int] = []
    seconds: list[float] = []
    for result in BlockLoop(decoder, model.config, sampling).run(given):
        if isinstance(result, BlockResult):
            tokens += result.tokens
            seconds.append(result.seconds)
    return tokens, seconds, looks / len(seconds)


def decoder_of(path: Path, config):
    """The decoder alone, in float32: the released side loads no more either."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    import mlx_port  # noqa: F401  (a fast BLAS before MLX)
    from cbflash.tensorfile import TensorFile
    from cbflash.weights.release import assemble, assign
    from mlx_port.t3 import T3
    from mlx_port.weights import suit_device

    model, file = T3(config), TensorFile.open(path)
    shapes = {f"t3.{name}": tuple(p.shape) for name, p in tree_flatten(model.parameters())}
    weights = []
    for one in assign(file, "t3", shapes, "mlx"):
        weights.append((one.target.removeprefix("t3."), mx.array(assemble(file, one, "mlx"))))
        mx.eval(weights[-1][1])
        file.release()
    model.load_weights(weights, strict=True)
    del weights
    suit_device(model)
    for layer in model.layers:  # one at a time, so that no second copy of all is alive
        mx.eval(layer.parameters())
    return model


def run_released(folder: Path, blocks: int) -> tuple[list[int], list[float], float]:
    """The released T3 with its MLX engine; a block ends where the next one begins."""
    import torch
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.models.t3.modules.t3_config import T3Config
    from chatterbox_flash.engines import mlx as released_mlx
    from chatterbox_flash.model import ChatterboxFlashT3
    from safetensors.torch import load_file

    torch.set_num_threads(2)
    with without_random_init(torch):
        model = ChatterboxFlashT3(T3Config(), drf_block_size=BLOCK).eval()
    model.load_state_dict(load_file(str(folder / "t3_flash.safetensors")))
    text, prompt_tokens, speaker = prompt()
    condition = T3Cond(
        speaker_emb=torch.from_numpy(speaker)[None],
        cond_prompt_speech_tokens=torch.from_numpy(prompt_tokens)[None].long(),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    ends: list[float] = []
    engine = released_mlx.MLXEngine
    advance = engine.advance_cache

    def noting(self, *args, **kwargs):
        ends.append(time.perf_counter())
        return advance(self, *args, **kwargs)

    engine.advance_cache = noting
    begun = time.perf_counter()
    tokens = model.generate(
        t3_cond=condition,
        text_tokens=torch.tensor([text]),
        text_token_lens=torch.tensor([len(text)]),
        total_speech_len=BLOCK * (blocks + 1),
        temperature=0.0,
        position_temperature=0.0,
        use_cuda_graph=False,
        backend="mlx",
    )
    ends.append(time.perf_counter())
    return tokens[0].tolist(), np.diff([begun, *ends]).tolist(), float("nan")


@contextmanager
def without_random_init(torch) -> Iterator[None]:
    """Weights are loaded anyway; drawing them first takes many seconds."""
    saved = torch.nn.init.normal_, torch.nn.init.kaiming_uniform_
    torch.nn.init.normal_ = lambda tensor, *a, **k: tensor
    torch.nn.init.kaiming_uniform_ = lambda tensor, *a, **k: tensor
    try:
        yield
    finally:
        torch.nn.init.normal_, torch.nn.init.kaiming_uniform_ = saved


if __name__ == "__main__":
    main()
