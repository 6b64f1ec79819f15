"""What the parts of the GPU script share: engines, a voice, prompts."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import torch

from cbflash.engine import BlockResult, Dtype, Engine, EngineOptions, Prompt
from cbflash.settings import Sampling
from cbflash.voice import Voice
from cuda_backend.engine import TorchEngine
from cuda_backend.machine import Machine
from tests.contract import make_clip

SAMPLING = Sampling(seed=1)


def load(folder: Path, dtype: Dtype, *, flashinfer: bool = True, graphs: bool = True) -> Engine:
    """An engine on the card; without FlashInfer, or without graphs, for comparison."""
    machine = Machine.of("gpu")
    machine.flashinfer, machine.graphs = flashinfer, graphs
    return TorchEngine.load(str(folder), EngineOptions(dtype=dtype), machine)


def load_cpu(folder: Path) -> Engine:
    return TorchEngine.load(str(folder), EngineOptions(dtype="float32"), Machine.of("cpu"))


def make_voice(engine: Engine) -> Voice:
    return engine.encode_voice(make_clip(9.0))


def make_prompts(engine: Engine, voice: Voice, count: int, budget: int = 64) -> list[Prompt]:
    """Texts of different lengths, each with a seed of its own."""
    t3 = engine.config.t3
    texts = [
        tuple(3 + (7 * place + 11 * row) % 200 for place in range(30 + 5 * (row % 8)))
        for row in range(count)
    ]
    return [
        Prompt((t3.start_text, *text, t3.stop_text), voice, budget, seed=100 + row)
        for row, text in enumerate(texts)
    ]


def tokens_of(engine: Engine, prompts: list[Prompt], sampling: Sampling = SAMPLING) -> list[list]:
    """The tokens of every prompt, decoded together."""
    rows: list[list[int]] = [[] for _ in prompts]
    for result in engine.decode(prompts, sampling):
        if isinstance(result, BlockResult):
            rows[result.row] += result.tokens
    return rows


def equal(first: list[list[int]], second: list[list[int]]) -> tuple[int, int]:
    """How many tokens are equal, place by place, and of how many."""
    pairs = [
        pair for left, right in zip(first, second, strict=True) for pair in zip_longest(left, right)
    ]
    return sum(one == other for one, other in pairs), len(pairs)


def shorter(prompts: list[Prompt], budget: int) -> list[Prompt]:
    return [replace(prompt, max_tokens=budget) for prompt in prompts]


def forget() -> None:
    """Give the memory of engines that are gone back to the card."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
