"""How much memory it takes, and what happens when there is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from cbflash.errors import EngineError
from tests.gpu.rows import Row, figure
from tests.gpu.setting import forget, load, make_prompts, make_voice, tokens_of

ROOM = 6  # GiB of memory for the trial that must fail


def rows(folder: Path) -> Iterator[Row]:
    forget()
    engine = load(folder, "bfloat16")
    voice = make_voice(engine)
    yield figure("memory after loading, GB", f"{torch.cuda.memory_allocated() / 1e9:.2f}")
    for batch in (1, 8, 32):
        torch.cuda.reset_peak_memory_stats()
        tokens_of(engine, make_prompts(engine, voice, batch, budget=300))
        peak = torch.cuda.max_memory_allocated() / 1e9
        yield figure(f"peak memory, batch of {batch}, 300 tokens each, GB", f"{peak:.2f}")
    del engine
    forget()
    yield too_large(folder)


def too_large(folder: Path) -> Row:
    """A batch that does not fit is refused with the size of one that does."""
    what = f"a batch that does not fit in {ROOM} GiB"
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(ROOM * 2**30 / total)
    try:
        engine = load(folder, "bfloat16")
        voice = make_voice(engine)
        prompts = make_prompts(engine, voice, 64, budget=1000)
        try:
            tokens_of(engine, prompts)
        except EngineError as error:
            told = str(error)
        else:
            told = "it fitted"
        after = tokens_of(engine, prompts[:1])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        forget()
    good = "A batch of" in told and len(after[0]) > 0
    return Row(what, told, "told, and the next one works", good)
