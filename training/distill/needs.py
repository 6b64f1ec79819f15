"""Roughly what a distillation needs, before it begins. For a model of the release's sizes:
python -m training.distill.needs
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from app.spelling import spell_bytes
from cbflash.config import T3Config
from cuda_backend.t3 import T3
from training.distill.lesson import Student
from training.distill.settings import Settings
from training.lora import Rank
from training.parameters import count

FLOAT = 4  # bytes
COPIES = 3  # of the speech: clean, and two with masks
BESIDE = 1.3  # the texts and voices in front of it, and padding
UTTERANCE = 150  # tokens
STATES = {"adamw": 2, "muon": 1}  # numbers that an optimiser keeps of each it trains
WAYS = (("", False, False), ("--bf16", True, False), ("--bf16 --frugal", True, True))
LOGITS = 8  # arrays of the size of the logits that a divergence and its gradient take


@dataclass(frozen=True)
class Needs:
    """trained: numbers that learn, of `all` there are. weights, learning, activations: bytes of the
    teacher's and the student's weights, of gradients and optimisers, and of a batch."""

    trained: int
    all: int
    weights: int
    learning: int
    activations: int

    @classmethod
    def of(cls, student: Student, config: T3Config, settings: Settings) -> Needs:
        model = student.model
        whole = sum(one.numel() for one in model.parameters())
        trained = sum(count(one) for one in student.trained.values())
        copies = 1 if settings.rank is not None else 2
        kept = sum(
            STATES[name] * one.numel()
            for name, optimiser in student.optimisers.items()
            for group in optimiser.param_groups
            for one in group["params"]
        )
        # Autocast keeps what it made of the weights, where the backward pass needs them again.
        narrow = FLOAT * whole // 2 if settings.bf16 and not settings.frugal else 0
        return cls(
            trained,
            whole,
            FLOAT * copies * whole + narrow,
            FLOAT * (trained + kept),
            activations(config, settings, model.device.type == "cpu"),
        )

    @property
    def total(self) -> int:
        return self.weights + self.learning + self.activations

    def tell(self) -> str:
        """One line for people."""
        return (
            f"{self.trained:,} of {self.all:,} parameters are trained; "
            f"about {spell_bytes(self.total)} of memory: {spell_bytes(self.weights)} of weights, "
            f"{spell_bytes(self.learning)} of gradients and optimisers, "
            f"{spell_bytes(self.activations)} for a batch."
        )


def activations(config: T3Config, settings: Settings, scored: bool) -> int:
    """Bytes that are kept of a batch for its backward pass. scored: attention keeps its scores,
    as on a CPU."""
    positions = round(COPIES * BESIDE * settings.tokens)
    # In, normed, q, k, v, mixed, between, normed; gate, its SiLU, up, and their product.
    layer = 8 * config.width + 4 * config.mlp
    if scored:
        layer += round(COPIES * BESIDE * UTTERANCE) * config.heads
    if settings.bf16:
        layer = layer // 2 + config.width  # what is added up stays float32
    if settings.frugal:
        layer = config.width + layer // config.layers
    logits = LOGITS * settings.tokens * config.speech_vocab
    return FLOAT * (positions * config.layers * layer + logits)


def table(config: T3Config) -> str:
    """What a GPU has to hold, for each way to train a decoder of these sizes."""
    with torch.device("meta"):
        teacher = T3(config)
    lines = [
        "| trained | parameters | options | memory | of it for a batch |",
        "|---|---:|---|---:|---:|",
    ]
    for name, rank in (("adapters", Rank()), ("all weights", None)):
        for options, bf16, frugal in WAYS:
            settings = Settings(rank=rank, bf16=bf16, frugal=frugal)
            needs = Needs.of(Student.of(teacher, settings), config, settings)
            trained = f"{needs.trained / 1e6:.1f} million"
            memory, batch = spell_bytes(needs.total), spell_bytes(needs.activations)
            lines.append(f"| {name} | {trained} | {options} | {memory} | {batch} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(T3Config()))
