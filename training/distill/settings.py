"""The numbers of a distillation; what is not said has the values of this file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cbflash.errors import UsageError
from training.autoregressive import Draw
from training.divergence import Divergence
from training.lora import Rank

RATES = {True: 2e-4, False: 5e-5}  # of adapters, and of all weights


@dataclass(frozen=True)
class Settings:
    """steps: of training; rate: of learning; tokens: of speech in a batch.

    rank: of the adapters, None to train all weights. block: tokens of a block; annealed: steps in
    which a causal decoder becomes one of blocks; beta, top: of the divergence; unconditional: part
    of the rows that are not told what to say. draw, speakers: how the teacher speaks, and how many
    rows at once. bf16: compute in bfloat16; frugal: keep little in memory for the backward pass.

    Raises UsageError for a number that makes no sense.
    """

    steps: int = 2000
    rate: float = RATES[True]
    tokens: int = 800
    rank: Rank | None = field(default_factory=Rank)
    block: int = 16
    annealed: int = 1000
    beta: float = 0.5
    top: int = 0
    unconditional: float = 0.1
    samples: int = 1
    draw: Draw = field(default_factory=Draw)
    speakers: int = 16
    seed: int = 0
    bf16: bool = False
    frugal: bool = False

    def __post_init__(self) -> None:
        least = {"steps": 1, "tokens": 1, "block": 2, "samples": 1, "annealed": 0}
        for name, number in least.items():
            if vars(self)[name] < number:
                raise _wrong(name, vars(self)[name], f"at least {number}")
        if not 0 <= self.unconditional <= 1:
            raise _wrong("unconditional", self.unconditional, "between 0 and 1")
        Divergence(self.beta, self.top)  # which checks them
        if self.draw.period < 0:
            raise _wrong("period", self.draw.period, "at least 0")
        if not (0 < self.draw.top_p <= 1 and 0 <= self.draw.min_p <= 1):
            raise UsageError("top-p and min-p must be between 0 and 1.")
        if self.draw.temperature < 0 or self.draw.scale < 0 or self.draw.repetition <= 0:
            raise UsageError("temperature, guidance and repetition must not be negative.")
        if self.rank is not None and self.rank.rank < 1:
            raise _wrong("rank", self.rank.rank, "at least 1")
        if self.rate <= 0:
            raise _wrong("rate", self.rate, "more than 0")

    def to_record(self) -> dict[str, Any]:
        """What must not change when a run goes on: its length may, and what decides over memory."""
        record = asdict(self)
        for name in ("steps", "tokens", "bf16", "frugal", "speakers"):
            del record[name]
        return record


def _wrong(name: str, value: float, should: str) -> UsageError:
    return UsageError(f"{name} is {value}; it must be {should}.")
