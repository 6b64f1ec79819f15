"""Where a block's time goes, and what each shortcut of the decoder saves.

    python -m benchmarks.t3_parts FOLDER [--repeats 5]

FOLDER is a model of the real sizes in the released layout. Everything runs in one process, in
float32 on a CPU; each line is the best of its repeats.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import mlx_port  # noqa: F401  (a fast BLAS before MLX)

# isort: split
import mlx.core as mx

from benchmarks.prompts import seeded_voice
from benchmarks.t3_block import decoder_of, prompt
from cbflash.config import T3Config
from cbflash.decoding import BlockPlan
from cbflash.engine import Prompt
from cbflash.schedule import unmask_schedule
from cbflash.settings import Sampling
from mlx_port.decode import Batch, Decoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    decoder = Decoder(decoder_of(options.folder / "t3_flash.safetensors", T3Config()))
    text, tokens, speaker = prompt()
    given = Prompt(tuple(text), seeded_voice(speaker, tokens), 64)
    report(decoder, given, options.repeats)


def report(decoder: Decoder, given: Prompt, repeats: int) -> None:
    guided, plain = Sampling(seed=1), Sampling(seed=1, cfg_scale=0.0)
    length = len(given.text_tokens) + decoder.config.conditioning + 1
    rows = {
        f"prefix of {length}, no guidance": lambda: prefill(decoder, given, plain),
        "prefix with the null row's one position": lambda: prefill(decoder, given, guided),
        "step: a block of 16, 2 rows": stepping(decoder, given, guided, settled=False),
        "step: a block of 16, 1 row (no guidance)": stepping(decoder, given, plain, settled=False),
        "first step with the block before, 2 rows": stepping(decoder, given, guided, settled=True),
    }
    rows |= {
        f"fill: draw, score and keep, {masked} masked": filling(decoder, given, guided, masked)
        for masked in (16, 8, 2)
    }
    print("| part | ms |\n|---|---:|")
    for name, run in rows.items():
        print(f"| {name} | {1e3 * best(run, repeats):.0f} |", flush=True)
    counts = unmask_schedule(16, 10, 0.5, 0.1)
    needed = sum(sum(counts[step:]) for step in range(len(counts)))
    print(f"\nPositions with logits in a block: {needed} instead of {16 * len(counts)}.")


def best(run: Callable[[], object], repeats: int) -> float:
    run()  # compiles
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def prefill(decoder: Decoder, given: Prompt, sampling: Sampling) -> Batch:
    batch = decoder.prefill([given], sampling)
    mx.eval(batch.cache.keys, batch.shift)
    return batch


def stepping(
    decoder: Decoder, given: Prompt, sampling: Sampling, settled: bool
) -> Callable[[], object]:
    batch = prefill(decoder, given, sampling)
    masks = mx.full((1, 16), decoder.config.mask, mx.int32)
    before = mx.zeros((1, 16), mx.int32) if settled else None
    cache = batch.cache

    def run() -> None:
        batch.tokens, batch.cache = masks, cache
        mx.eval(decoder._hidden(batch, before))

    return run


def filling(
    decoder: Decoder, given: Prompt, sampling: Sampling, masked: int
) -> Callable[[], object]:
    batch = prefill(decoder, given, sampling)
    batch.tokens = mx.array([[decoder.config.mask] * masked + [5] * (16 - masked)], mx.int32)
    hidden = mx.random.normal((2, 16, decoder.config.width))
    plan = BlockPlan(0, 16, (1,) * 16)
    return lambda: mx.eval(decoder._fill(batch, hidden, plan, 0, masked))


if __name__ == "__main__":
    main()
