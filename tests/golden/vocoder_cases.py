"""Inputs of the flow and the vocoder, from seeds: the golden script and the tests make the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PROMPT = 20  # tokens
TOKENS = 18
MEANFLOW_STEPS = 2
GUIDED_STEPS = 4
ESTIMATED = (0.25, 0.75)  # t and r of the single call of the estimator
HIFT_FRAMES = 24


class FlowCase(NamedTuple):
    tokens: np.ndarray  # int64 [1, TOKENS]
    prompt_tokens: np.ndarray  # int64 [1, PROMPT]
    prompt_mel: np.ndarray  # float32 [1, 2 * PROMPT, 80]
    x_vector: np.ndarray  # float32 [1, 192]
    noise: np.ndarray  # float32 [1, 2 * (PROMPT + TOKENS), 80]


class HiFTCase(NamedTuple):
    mel: np.ndarray  # float32 [1, HIFT_FRAMES, 80]
    phase: np.ndarray  # float32 [9]
    noise: np.ndarray  # float32 [1, 480 * HIFT_FRAMES, 9]


def flow_case() -> FlowCase:
    rng = np.random.Generator(np.random.PCG64(71))
    return FlowCase(
        tokens=rng.integers(0, 6561, (1, TOKENS)),
        prompt_tokens=rng.integers(0, 6561, (1, PROMPT)),
        prompt_mel=rng.standard_normal((1, 2 * PROMPT, 80), np.float32) * 1.5 - 4.0,
        x_vector=3.0 * rng.standard_normal((1, 192), np.float32),
        noise=rng.standard_normal((1, 2 * (PROMPT + TOKENS), 80), np.float32),
    )


def hift_case() -> HiFTCase:
    rng = np.random.Generator(np.random.PCG64(72))
    phase = rng.uniform(-np.pi, np.pi, 9).astype(np.float32)
    phase[0] = 0.0
    return HiFTCase(
        mel=rng.standard_normal((1, HIFT_FRAMES, 80), np.float32) * 1.5 - 4.0,
        phase=phase,
        noise=rng.standard_normal((1, 480 * HIFT_FRAMES, 9), np.float32),
    )
