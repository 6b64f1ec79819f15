"""What surrounds the vocoder: the times of the flow, its noise, and the first milliseconds.

Noise belongs to an utterance and is addressed by absolute mel frame or sample, so that a
stream draws what the whole utterance would have drawn, however it is cut. It comes from
counters (Philox, Salmon et al. 2011): every piece of a stream has a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from cbflash.config import FlowConfig, HiFTConfig
from cbflash.engine import Engine, Utterance
from cbflash.errors import ModelError
from cbflash.settings import Sampling
from cbflash.tokens import SAMPLE_RATE

Array = npt.NDArray[np.float32]

TRIM = SAMPLE_RATE // 50  # samples: 20 ms of silence, then a fade as long
_FRAMES = 64  # mel frames of one piece of noise
_SAMPLES = 4800  # samples of one piece of source noise


class _Stream(IntEnum):
    """What the noise is for. A number must not change its meaning: seeds would sound different."""

    MEL = 1
    PROMPT = 2
    PHASE = 3
    SOURCE = 4


def flow_times(steps: int, meanflow: bool) -> tuple[float, ...]:
    """The steps + 1 times from 0 (noise) to 1 (mel) of an Euler solution.

    Evenly spaced for a mean flow; with the cosine schedule, which takes its first steps
    small, for an ordinary one (released flow_matching.py).
    """
    even = (step / steps for step in range(steps + 1))
    return tuple(t if meanflow else 1.0 - math.cos(t * math.pi / 2) for t in even)


def mel_noise(seed: int, start: int, stop: int, mels: int = FlowConfig.mels) -> Array:
    """Standard normal noise of the generated mel frames start..stop, [stop - start, mels]."""
    return _noise(seed, _Stream.MEL, start, stop, _FRAMES, mels)


def prompt_noise(seed: int, frames: int, mels: int = FlowConfig.mels) -> Array:
    """Standard normal noise of the frames of the voice's prompt, [frames, mels]."""
    return _noise(seed, _Stream.PROMPT, 0, frames, _FRAMES, mels)


def source_phase(seed: int, harmonics: int = HiFTConfig.harmonics) -> Array:
    """Where the sines of an utterance begin, [harmonics + 1] radians; the fundamental at 0."""
    phase = _generator(seed, _Stream.PHASE, 0).uniform(-math.pi, math.pi, harmonics + 1)
    phase[0] = 0.0
    return phase.astype(np.float32)


def source_noise(seed: int, start: int, stop: int, harmonics: int = HiFTConfig.harmonics) -> Array:
    """Standard normal noise of the samples start..stop, [stop - start, harmonics + 1]."""
    return _noise(seed, _Stream.SOURCE, start, stop, _SAMPLES, harmonics + 1)


def render_each(engine: Engine, utterances: Sequence[Utterance], sampling: Sampling) -> list[Array]:
    """`Engine.render` one after the other, for engines that gain nothing by more."""
    return [
        engine.vocoder(one.voice, sampling, one.seed).push(one.tokens, last=True)
        for one in utterances
    ]


def fade_in(samples: Array, start: int = 0) -> Array:
    """An utterance without the spill of the prompt: 20 ms silent, 20 ms faded in.

    samples: of the utterance from its sample `start` on, [n]; a copy comes back.
    """
    fade = np.zeros(2 * TRIM, np.float32)
    fade[TRIM:] = (np.cos(np.linspace(np.pi, 0.0, TRIM)) + 1) / 2
    faded = samples.astype(np.float32)
    head = faded[: max(0, 2 * TRIM - start)]
    head *= fade[start : start + len(head)]
    return faded


def require_finite(samples: Array) -> Array:
    """The samples [n], if they are numbers. Raises ModelError where weights are damaged, or the
    precision is too low for them: in a file that would be noise at full scale."""
    if not np.isfinite(samples).all():
        raise ModelError(
            "What the model made of it is no sound: it holds values that are not numbers.",
            "Its files may be damaged: cbflash models verify. If not, try --dtype float32.",
        )
    return samples


def _noise(seed: int, stream: _Stream, start: int, stop: int, piece: int, width: int) -> Array:
    """Rows start..stop of an endless [.., width] of noise, made in pieces of `piece` rows."""
    if not 0 <= start <= stop:
        raise ValueError(f"no noise from {start} to {stop}")
    first, last = start // piece, -(-stop // piece)
    rows = [np.zeros((0, width), np.float32)]
    rows += [
        _generator(seed, stream, index).standard_normal((piece, width), np.float32)
        for index in range(first, last)
    ]
    skip = start - first * piece
    return np.concatenate(rows)[skip : skip + stop - start]


def _generator(seed: int, stream: _Stream, piece: int) -> np.random.Generator:
    # The counter's highest word tells the pieces apart, so that none can run into the next.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, piece]))
