"""The verdict on reference clips of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from cbflash.audio import Clip, read_clip
from cbflash.clip_check import check_clip, require_usable
from cbflash.errors import AudioError
from tests.signals import stereo, voice_like

RATE = 24_000


def clip_of(samples: np.ndarray, rate: int = RATE, truncated: bool = False) -> Clip:
    return Clip(samples.astype(np.float32), rate, "clip", "00", truncated)


def kinds(clip: Clip) -> dict[str, str]:
    return {found.kind: found.severity for found in check_clip(clip).findings}


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return voice_like(8.0, RATE)


def test_a_good_clip_has_no_findings(sound: np.ndarray) -> None:
    report = check_clip(clip_of(sound))
    assert report.findings == ()
    assert report.duration == 8.0
    assert report.peak == pytest.approx(np.abs(sound).max())
    assert report.clipped == 0.0
    assert 5.0 < report.voiced == report.heard < 7.8
    assert -25.0 < report.level < -10.0
    assert -75.0 < report.noise < -65.0
    assert report.snr == report.level - report.noise


@pytest.mark.parametrize(
    ("samples", "severities"),
    [
        (np.zeros(0), {"silent": "error"}),
        (np.zeros(1), {"silent": "error"}),
        (np.zeros(5 * RATE), {"silent": "error"}),
        (np.full(5 * RATE, 0.3), {"silent": "error"}),  # an offset is no sound
        (np.full(5 * RATE, np.nan), {"silent": "error"}),
        (np.random.default_rng(0).standard_normal(5 * RATE) * 3e-5, {"silent": "error"}),
        (voice_like(0.3, RATE), {"too_short": "error"}),
        (voice_like(3.0, RATE), {"too_short": "warning"}),
    ],
)
def test_too_little_sound(samples: np.ndarray, severities: dict[str, str]) -> None:
    assert kinds(clip_of(samples)) == severities


def test_silence_is_judged_against_the_clip_itself(sound: np.ndarray) -> None:
    loud = check_clip(clip_of(sound))
    quiet = check_clip(clip_of(sound * 0.02))
    assert quiet.voiced == loud.voiced
    assert quiet.snr == pytest.approx(loud.snr, abs=0.1)
    assert [found.kind for found in quiet.findings] == ["quiet"]
    assert quiet.findings == quiet.warnings


def test_a_single_click_does_not_make_the_rest_silent(sound: np.ndarray) -> None:
    click = sound * 0.02
    click[RATE : RATE + 240] = 0.8
    assert check_clip(clip_of(click)).voiced > 0.9 * check_clip(clip_of(sound)).voiced


def test_sound_must_be_where_it_is_heard(sound: np.ndarray) -> None:
    late = np.concatenate([np.zeros(10 * RATE), sound])
    report = check_clip(clip_of(late))
    assert (report.heard, report.voiced > 5.0) == (0.0, True)
    (found,) = report.errors
    assert found.kind == "too_short"
    assert "its first 10 seconds" in found.message


def test_long_clips(sound: np.ndarray) -> None:
    long = np.tile(sound, 4)
    assert kinds(clip_of(long[: 30 * RATE])) == {}
    assert kinds(clip_of(long)) == {"too_long": "warning"}
    (found,) = check_clip(clip_of(long, truncated=True)).findings
    assert "more than 32 s" in found.message


@pytest.mark.parametrize(("gain", "severity"), [(4.0, "warning"), (30.0, "error")])
def test_clipped(sound: np.ndarray, gain: float, severity: str) -> None:
    assert kinds(clip_of(np.clip(sound * gain, -1.0, 1.0)))["clipped"] == severity
    assert kinds(clip_of(np.clip(sound * gain, -0.9, 0.9)))["clipped"] == severity


def test_clipped_share() -> None:
    sound = voice_like(8.0, RATE).copy()
    sound[RATE : RATE + 1000] = 1.0
    sound[2 * RATE : 2 * RATE + 500] = -1.0
    sound[[3 * RATE, 3 * RATE + 1]] = 1.0  # two in a row may be chance
    report = check_clip(clip_of(sound))
    assert report.clipped * report.voiced * RATE == pytest.approx(1500)


def test_loud_is_not_clipped(sound: np.ndarray) -> None:
    assert kinds(clip_of(sound / np.abs(sound).max())) == {}


@pytest.mark.parametrize("snr", [5.0, 12.0, 18.0, 25.0])
def test_noisy(sound: np.ndarray, snr: float) -> None:
    level = 10.0 ** ((check_clip(clip_of(sound)).level - snr) / 20)
    noise = np.random.default_rng(1).standard_normal(len(sound)) * level
    report = check_clip(clip_of(sound + noise))
    assert report.snr == pytest.approx(snr, abs=3.0)
    assert [found.kind for found in report.findings] == (["noisy"] if snr < 15.0 else [])
    padded = np.concatenate([np.zeros(RATE), sound + noise, np.zeros(RATE)])
    assert check_clip(clip_of(padded)).snr == pytest.approx(report.snr, abs=1.0)


def test_gated_pauses_are_not_noisy(sound: np.ndarray) -> None:
    gated = np.where(np.abs(sound) < 2e-3, 0.0, sound)
    assert kinds(clip_of(gated)) == {}


@pytest.mark.parametrize(("rate", "subtype"), [(8_000, "PCM_16"), (96_000, "PCM_24")])
def test_rates(tmp_path: Path, rate: int, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", voice_like(8.0, rate), rate, subtype=subtype)
    assert kinds(read_clip(tmp_path / "a.wav")) == {}


def test_eight_bits_and_stereo(tmp_path: Path) -> None:
    sound = stereo(8.0, RATE)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="PCM_U8")
    assert kinds(read_clip(tmp_path / "a.wav")) == {}
    soundfile.write(tmp_path / "loud.wav", sound * 30.0, RATE, subtype="PCM_U8")
    assert kinds(read_clip(tmp_path / "loud.wav"))["clipped"] == "error"


def test_five_minutes(tmp_path: Path) -> None:
    sound = np.tile(voice_like(10.0, 8_000), 31)
    soundfile.write(tmp_path / "a.flac", sound, 8_000)
    report = check_clip(read_clip(tmp_path / "a.flac"))
    assert report.duration == 300.0
    assert [found.kind for found in report.findings] == ["too_long"]
    assert "more than 300 s" in report.findings[0].message


def test_require_usable(sound: np.ndarray) -> None:
    assert require_usable(clip_of(sound)).findings == ()
    with pytest.raises(AudioError, match="clip: the clip holds no sound") as raised:
        require_usable(clip_of(np.zeros(RATE)))
    assert "microphone" in raised.value.hint
