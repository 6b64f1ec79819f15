"""Who speaks and who listens in tests: real programs, and one that hums."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.evaluate.sphinx import pocketsphinx
from tests.needed import require
from training.corpus.engines import Line, Sound
from training.corpus.engines.flite import Flite
from training.workers import serve_parent

_RATE = 16_000


def require_flite() -> None:
    require(Flite().missing())


def require_sphinx() -> None:
    require("pocketsphinx is not installed" if pocketsphinx is None else None)


@dataclass(frozen=True)
class Hum:
    """A synthesiser under flite's name that hums, longer for longer texts."""

    name: str = "flite"
    packages: tuple[str, ...] = ()
    voices: tuple[str, ...] = ("rms", "slt", "awb")

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    def speak(self, voice: str, lines: Sequence[Line]) -> list[Sound | None]:
        return [hum(0.5 + 0.05 * len(line.text) * line.stretch) for line in lines]


@dataclass(frozen=True)
class Mute(Hum):
    """A synthesiser that is not there."""

    name: str = "festival"

    def missing(self) -> str | None:
        return "festival is not installed"


def hum(seconds: float, hertz: float = 120.0, rate: int = _RATE) -> Sound:
    """Harmonics with formants at 700, 1200 and 2600 Hz, between short silences."""
    time = np.arange(round(seconds * rate)) / rate
    samples = np.zeros_like(time)
    for harmonic in range(1, int(0.45 * rate / hertz)):
        near = [np.exp(-(((hertz * harmonic - formant) / 150) ** 2)) for formant in FORMANTS]
        samples += (0.02 + sum(near)) * np.sin(2 * np.pi * hertz * harmonic * time + harmonic)
    samples *= (time > 0.05) & (time < seconds - 0.05)
    return Sound((0.3 * samples / np.abs(samples).max()).astype(np.float32), rate)


FORMANTS = (700.0, 1200.0, 2600.0)


def serve_for_ever() -> None:
    """A helper process that nobody ends."""
    serve_parent()
    print("serving", flush=True)
    threading.Event().wait()
