"""Prompts of benchmarks: no clip is needed to time a decoder."""

from __future__ import annotations

import numpy as np

from cbflash.voice import Voice


def seeded_voice(speaker: np.ndarray, prompt_tokens: np.ndarray) -> Voice:
    """A voice of given decoder inputs; the vocoder's part is drawn from a seed."""
    rng = np.random.default_rng(2)
    return Voice(
        name="seeded",
        created="2026-01-01T00:00:00+00:00",
        model_id="seeded",
        source_hash="",
        engine="benchmark",
        seconds=10.0,
        speaker_embedding=speaker.astype(np.float32),
        prompt_tokens=prompt_tokens.astype(np.int32),
        s3_tokens=rng.integers(0, 6561, 250).astype(np.int32),
        s3_mel=rng.normal(-5, 2, (500, 80)).astype(np.float32),
        x_vector=rng.standard_normal(192).astype(np.float32),
    )
