"""A plain verdict on a reference clip: too short, silent, clipped, noisy, and what to do.

What counts as sound is judged against the clip's own loudest part, never against a fixed
level: a quiet recording is not a silent one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from cbflash.audio import Clip
from cbflash.errors import AudioError
from cbflash.spectrum import Floats

Kind = Literal["too_short", "too_long", "silent", "quiet", "clipped", "noisy"]
Severity = Literal["error", "warning"]
Levels = npt.NDArray[np.float64]

HEARD_SECONDS = 10.0  # from the start: all that shapes the sound of the voice
LEAST_SECONDS = 1.0  # of sound among them
ENOUGH_SECONDS = 5.0
LONG_SECONDS = 30.0
SILENT_DBFS = -75.0  # of the loudest part; the noise of 16 bits alone is near -90
QUIET_DBFS = -40.0
CLIPPED_WARNING = 0.001  # of the samples that are sound
CLIPPED_ERROR = 0.05
NOISY_SNR = 15.0  # dB

_FRAME_SECONDS = 0.02
_LOUD_SECONDS = 0.2  # the loudest part: what a single click does not fill
_VOICED_DECIBELS = 30.0  # below the loudest part begins silence
_LOWEST_DBFS = -120.0  # level given to digital silence
_FLOOR_PERCENTILE = 10.0  # pauses take at least this share of speech
_CLIPPED_PEAK = 0.89  # -1 dBFS: clipped recordings are often turned down that far
_CLIPPED_STEP = 1e-4  # of the peak: three samples in a row this near to it are cut off


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a clip, for the user to read."""

    kind: Kind
    severity: Severity
    message: str
    remedy: str


@dataclass(frozen=True)
class ClipReport:
    """What was measured, and what is wrong; nothing wrong is an empty tuple.

    duration, voiced: seconds in all, and of sound in all.
    heard: seconds of sound within the first `HEARD_SECONDS`.
    peak: largest absolute sample; clipped: share of the voiced samples that are cut off.
    level, noise, snr: dBFS of the sound (RMS), dBFS of the pauses, and their distance in dB.
    """

    duration: float
    voiced: float
    heard: float
    peak: float
    clipped: float
    level: float
    noise: float
    snr: float
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(found for found in self.findings if found.severity == "warning")


def check_clip(clip: Clip) -> ClipReport:
    """Measure a clip and judge it; never raises."""
    samples = clip.samples
    frame = max(1, round(_FRAME_SECONDS * clip.sample_rate))
    seconds = frame / clip.sample_rate
    levels = _frame_levels(samples, frame)
    voiced = _voiced(levels)
    level = _decibels(np.mean(10.0 ** (levels[voiced] / 10))) if voiced.any() else _LOWEST_DBFS
    noise = _noise_level(levels)
    report = ClipReport(
        duration=clip.seconds,
        voiced=float(voiced.sum() * seconds),
        heard=float(voiced[: round(HEARD_SECONDS / seconds)].sum() * seconds),
        peak=float(np.abs(samples).max(initial=0.0)),
        clipped=(_cut_off(samples) + _cut_off(-samples)) / max(1, voiced.sum() * frame),
        level=float(level),
        noise=noise,
        snr=float(level) - noise,
    )
    return replace(report, findings=tuple(_findings(report, clip.truncated)))


def require_usable(clip: Clip) -> ClipReport:
    """Check a clip. Raises AudioError with the first finding that is an error."""
    report = check_clip(clip)
    for found in report.errors:
        raise AudioError(f"{clip.name}: {found.message}", found.remedy)
    return report


def _findings(report: ClipReport, truncated: bool) -> Iterator[Finding]:
    if report.voiced == 0.0:
        yield Finding(
            "silent",
            "error",
            "the clip holds no sound.",
            "Check that the right microphone was on, and record again.",
        )
        return
    yield from _length_findings(report, truncated)
    if report.level < QUIET_DBFS:
        yield Finding(
            "quiet",
            "warning",
            f"the clip is very quiet ({report.level:.0f} dBFS).",
            "Record closer to the microphone or with more gain.",
        )
    if report.clipped >= CLIPPED_WARNING:
        yield Finding(
            "clipped",
            "error" if report.clipped > CLIPPED_ERROR else "warning",
            f"{report.clipped:.1%} of the sound is cut off at full scale.",
            "Record with less gain; turning a finished recording down does not help.",
        )
    if report.snr < NOISY_SNR:
        yield Finding(
            "noisy",
            "warning",
            f"the voice is only {report.snr:.0f} dB above the background.",
            "Record in a quiet room without music; the noise becomes part of the voice.",
        )


def _length_findings(report: ClipReport, truncated: bool) -> Iterator[Finding]:
    remedy = "Use 6 to 10 seconds of one person speaking, from the very start of the clip."
    if report.heard < ENOUGH_SECONDS:
        where = "the clip" if report.duration <= HEARD_SECONDS else "its first 10 seconds"
        yield Finding(
            "too_short",
            "error" if report.heard < LEAST_SECONDS else "warning",
            f"only {report.heard:.1f} s of {where} are sound.",
            remedy,
        )
    if report.duration > LONG_SECONDS:
        more = "more than " if truncated else ""
        yield Finding(
            "too_long",
            "warning",
            f"the clip has {more}{report.duration:.0f} s; the first 10 s shape the sound.",
            remedy,
        )


def _frame_levels(samples: Floats, frame: int) -> Levels:
    """RMS in dBFS of frames side by side: [n] -> [max(1, n // frame)]."""
    if len(samples) < frame:
        samples = np.pad(samples, (0, frame - len(samples)))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return _decibels(np.var(frames, axis=1))  # a constant offset is no sound


def _decibels(mean_square: npt.ArrayLike) -> Levels:
    lowest = 10.0 ** (_LOWEST_DBFS / 10)
    decibels: Levels = 10.0 * np.log10(np.maximum(mean_square, lowest))
    return decibels


def _voiced(levels: Levels) -> npt.NDArray[np.bool_]:
    """Which frames are sound: those near the level that the loudest 0.2 s reach."""
    count = min(len(levels), round(_LOUD_SECONDS / _FRAME_SECONDS))
    loud = float(np.sort(levels)[-count])
    quietest = np.inf if loud < SILENT_DBFS else loud - _VOICED_DECIBELS
    return np.asarray(levels > quietest)


def _noise_level(levels: Levels) -> float:
    """dBFS of the pauses. Digital silence at the ends is none: editors put it there."""
    recorded = np.flatnonzero(levels > _LOWEST_DBFS)
    if not recorded.size:
        return _LOWEST_DBFS
    return float(np.percentile(levels[recorded[0] : recorded[-1] + 1], _FLOOR_PERCENTILE))


def _cut_off(samples: Floats) -> int:
    """How many samples lie in runs of three or more at the very top.

    Top and bottom are looked at one by one: in an 8-bit file they differ by one percent.
    """
    peak = samples.max(initial=0.0)
    if peak < _CLIPPED_PEAK:
        return 0
    top = samples >= peak * (1.0 - _CLIPPED_STEP)
    inside = top[:-2] & top[1:-1] & top[2:]
    flat = np.zeros_like(top)
    for shift in range(3):
        flat[shift : len(flat) - 2 + shift] |= inside
    return int(flat.sum())
