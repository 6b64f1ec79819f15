"""What the decoder's golden files were made with; the tests rebuild the same inputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LAYERS = 2


@dataclass(frozen=True)
class Inputs:
    """Text ids with start and stop, a prompt of speech tokens, a unit speaker embedding."""

    text: list[int]
    prompt: np.ndarray
    speaker: np.ndarray


def inputs(index: int) -> Inputs:
    rng = np.random.default_rng(100 + index)
    length = (28, 11, 45)[index]
    speaker = rng.standard_normal(256).astype(np.float32)
    return Inputs(
        text=[255, *rng.integers(3, 250, length).tolist(), 0],
        prompt=rng.integers(0, 6561, (150, 150, 40)[index]).astype(np.int32),
        speaker=speaker / np.linalg.norm(speaker),
    )


def noise(block: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Gumbel numbers for the token draw [16, 8194] and the ranking of positions [16]."""
    rng = np.random.default_rng([11, block, step])
    token = rng.gumbel(size=(16, 8194)).astype(np.float32)
    return token, rng.gumbel(size=16).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One run of the released decoder."""

    inputs: int = 0
    budget: int = 48
    sampling: dict[str, Any] = field(default_factory=dict)
    boost_stop: bool = False

    def stop_row(self) -> np.ndarray:
        """A head row that makes the end token likely now and then."""
        return (0.2 * np.random.default_rng(5).standard_normal(1024)).astype(np.float32)


def _options(**changes: Any) -> dict[str, Any]:
    greedy = {
        "num_steps": 10,
        "temperature": 0.0,
        "time_shift_tau": 0.1,
        "cfg_scale": 1.0,
        "position_temperature": 0.0,
    }
    return greedy | changes


CASES: dict[str, Case] = {
    "greedy": Case(sampling=_options()),
    "greedy_no_guidance": Case(sampling=_options(cfg_scale=0.0)),
    "greedy_half_guidance": Case(1, 32, _options(cfg_scale=0.5, num_steps=5)),
    "greedy_short_last_block": Case(2, 40, _options(num_steps=6)),
    "greedy_early": Case(sampling=_options(time_shift_tau=2.0)),
    "greedy_shift": Case(1, 32, _options(omnivoice_schedule_t_shift=0.2, num_steps=8)),
    "greedy_no_prior": Case(2, 48, _options(pmi_uncond_prior_precompute=False)),
    "drawn": Case(sampling=_options(temperature=0.6, position_temperature=5.0)),
    "drawn_short_last_block": Case(
        1, 41, _options(temperature=0.6, position_temperature=5.0, time_shift_tau=0.5)
    ),
    "drawn_no_guidance": Case(
        2, 32, _options(temperature=1.0, position_temperature=5.0, cfg_scale=0.0, num_steps=4)
    ),
    "stop": Case(0, 96, _options(), boost_stop=True),
    "stop_drawn": Case(2, 96, _options(temperature=0.6, position_temperature=5.0), boost_stop=True),
}

SCHEDULES = [
    *itertools.product(
        (1, 2, 5, 8, 11, 13, 15, 16, 24, 32),
        (1, 2, 4, 6, 7, 8, 10, 16, 24),
        (0.0, 0.1, 0.5, 1.0, 2.0),
        (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0),
    )
]
