"""Who speaks: many pseudo-speakers made of a few voices. Its name alone decides what one is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from training.corpus.engines import ENGINES, Engine
from training.corpus.shape import Bump, Shape

TRAIN_SPEAKERS = 70  # of each voice: more than 200 where flite is the only synthesiser
TEST_SPEAKERS = 14

Range = tuple[float, float]


@dataclass(frozen=True)
class Voice:
    """A voice of a synthesiser, and how far it can be moved and still be understood.

    tract, pitch: factors; measured with the listener, see the README beside this file. share: of
    what is said for training, beside the others': the ones that are understood best say most.
    """

    name: str
    engine: str
    tract: Range
    pitch: Range
    share: float = 1.0


@dataclass(frozen=True)
class Speaker:
    """A pseudo-speaker. test: nothing it says is ever trained on."""

    name: str
    voice: Voice
    shape: Shape
    test: bool


_CLEAR = 4.0

VOICES = (
    Voice("rms", "flite", tract=(0.92, 1.20), pitch=(0.75, 1.50), share=_CLEAR),
    Voice("slt", "flite", tract=(0.82, 1.06), pitch=(0.62, 1.35), share=_CLEAR),
    Voice("awb", "flite", tract=(0.93, 1.13), pitch=(0.68, 1.45)),
    Voice("slt_hts", "festival", tract=(0.82, 1.06), pitch=(0.62, 1.35), share=_CLEAR),
    Voice("kal", "festival", tract=(0.92, 1.15), pitch=(0.75, 1.45)),
    Voice("ked", "festival", tract=(0.97, 1.15), pitch=(0.75, 1.45)),
)

# The same for all voices; the first three are factors.
_TEMPO: Range = (0.86, 1.16)
_LIVELINESS: Range = (0.6, 1.5)
_BUMP_HERTZ: Range = (400.0, 5000.0)
_TILT: Range = (-2.5, 2.5)  # dB an octave
_BUMP_GAIN: Range = (-5.0, 5.0)  # dB
_BUMP_OCTAVES: Range = (0.4, 0.9)


def make_cast(engines: Iterable[Engine] = ENGINES) -> tuple[Speaker, ...]:
    """All speakers of those engines."""
    names = {engine.name for engine in engines}
    return tuple(
        make_speaker(voice, number, test)
        for voice in VOICES
        if voice.engine in names
        for test, count in ((False, TRAIN_SPEAKERS), (True, TEST_SPEAKERS))
        for number in range(count)
    )


def make_speaker(voice: Voice, number: int, test: bool) -> Speaker:
    """A speaker of a voice: "slt-07", or "slt-t07" for a test."""
    name = f"{voice.name}-{'t' if test else ''}{number:02d}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest)))
    shape = Shape(
        tract=_factor(rng, voice.tract),
        pitch=_factor(rng, voice.pitch),
        liveliness=_factor(rng, _LIVELINESS),
        tempo=_factor(rng, _TEMPO),
        tilt=rng.uniform(*_TILT),
        bumps=(_bump(rng), _bump(rng)),
    )
    return Speaker(name, voice, shape, test)


def _bump(rng: np.random.Generator) -> Bump:
    return Bump(_factor(rng, _BUMP_HERTZ), rng.uniform(*_BUMP_GAIN), rng.uniform(*_BUMP_OCTAVES))


def _factor(rng: np.random.Generator, ends: Range) -> float:
    """Uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(*np.log(ends))))
