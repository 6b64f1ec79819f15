"""The front ends against the released ones (tests/golden/features.npz)."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cbflash import features
from cbflash.spectrum import kaldi_mel_bank, map_frames, slaney_mel_bank
from tests.signals import voice_like

GOLDEN = np.load(Path(__file__).parent / "golden" / "features.npz")


@pytest.fixture(scope="module")
def sound24() -> np.ndarray:
    return voice_like(2.5, 24_000)


@pytest.fixture(scope="module")
def sound16() -> np.ndarray:
    return voice_like(2.5, 16_000)


def test_slaney_mel_banks() -> None:
    np.testing.assert_allclose(
        slaney_mel_bank(24_000, 1920, 80, 8000.0), GOLDEN["slaney_80"], atol=1e-8
    )
    np.testing.assert_allclose(
        slaney_mel_bank(16_000, 400, 128, 8000.0), GOLDEN["slaney_128"], atol=1e-8
    )


def test_kaldi_mel_bank() -> None:
    bank = kaldi_mel_bank(16_000, 512, 80, 20.0)
    np.testing.assert_allclose(bank[:, :-1], GOLDEN["kaldi_80"], atol=2e-5)
    assert bank[:, -1].max() < 1e-9


def test_mel_banks_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        slaney_mel_bank(24_000, 1920, 80, 8000.0)[0, 0] = 1.0


def test_reference_mel(sound24: np.ndarray) -> None:
    mel = features.reference_mel(sound24)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, GOLDEN["reference_mel"], atol=1e-4)


def test_s3_log_mel(sound16: np.ndarray) -> None:
    mel = features.s3_log_mel(sound16)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, GOLDEN["s3_log_mel"], atol=5e-5)


def test_s3_log_mel_takes_its_floor_before_it_is_cut(sound16: np.ndarray) -> None:
    quiet_start = np.concatenate([sound16[:4000] * np.float32(1e-3), sound16])
    cut = features.s3_log_mel(quiet_start, tokens=5)
    assert cut.shape == (128, 20)
    np.testing.assert_array_equal(cut, features.s3_log_mel(quiet_start)[:, :20])
    alone = features.s3_log_mel(quiet_start[: 20 * 160])
    assert cut.min() > alone.min() + 0.1


def test_silence_has_the_lowest_log_mel() -> None:
    silence = np.zeros(16_000, np.float32)
    np.testing.assert_allclose(features.s3_log_mel(silence), -1.5, rtol=1e-6)
    np.testing.assert_allclose(features.reference_mel(silence), np.log(1e-5), rtol=1e-6)


def test_voice_encoder_mel(sound16: np.ndarray) -> None:
    mel = features.voice_encoder_mel(sound16)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, GOLDEN["voice_encoder_mel"], rtol=1e-5, atol=1e-6)


def test_kaldi_fbank(sound16: np.ndarray) -> None:
    # The released float32 arithmetic is itself 2e-4 away from float64 where a frame is quiet.
    fbank = features.kaldi_fbank(sound16)
    assert fbank.dtype == np.float32
    np.testing.assert_allclose(fbank, GOLDEN["fbank"], atol=5e-4)
    np.testing.assert_allclose(features.subtract_mean(fbank), GOLDEN["fbank_centred"], atol=5e-4)


def test_kaldi_fbank_of_less_than_a_frame_is_empty() -> None:
    assert features.kaldi_fbank(np.zeros(399, np.float32)).shape == (0, 80)
    assert features.kaldi_fbank(np.zeros(400, np.float32)).shape == (1, 80)


def test_trim_silence(sound16: np.ndarray) -> None:
    begin, end = GOLDEN["trim"]
    assert 0 < begin < end < len(sound16)
    np.testing.assert_array_equal(features.trim_silence(sound16), sound16[begin:end])


def test_trim_silence_takes_what_is_20_db_below() -> None:
    levels = np.repeat([0.05, 0.2, 1.0, 0.2, 0.05], 8192)  # -26, -14, 0 dB
    sound = levels.astype(np.float32)
    # A frame of 2048 samples that begins to be loud reaches 1024 samples ahead.
    assert 3 * 8192 <= len(features.trim_silence(sound)) <= 3 * 8192 + 2 * 1024


def test_trim_silence_keeps_what_is_silent_throughout() -> None:
    assert len(features.trim_silence(np.zeros(5000, np.float32))) == 5000


@pytest.mark.parametrize("length", [2, 3, 1000, 1001, 1002])
def test_sinc_resample_length(length: int) -> None:
    sound = np.ones(length, np.float32)
    assert len(features.sinc_resample_24k_to_16k(sound)) == -(-2 * length // 3)


def test_sinc_resample() -> None:
    changed = features.sinc_resample_24k_to_16k(voice_like(1.0, 24_000)[:-1])
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed, GOLDEN["sinc"], atol=1e-6)


@pytest.mark.parametrize("frames", [1, 100, 160, 161, 210, 211, 237, 287, 288, 1000])
def test_voice_encoder_windows(frames: int) -> None:
    mel = np.random.default_rng(frames).random((frames, 40), np.float32)
    windows = features.voice_encoder_windows(mel)
    covered = [(frames - 77 * number) / 160 for number in range(len(windows) + 1)]
    assert len(windows) == 1 or covered[-2] >= 0.8
    assert covered[-1] < 0.8
    for number, window in enumerate(windows):
        part = mel[77 * number : 77 * number + 160]
        np.testing.assert_array_equal(window[: len(part)], part)
        assert not window[len(part) :].any()


def test_frames_are_the_same_in_one_piece_or_many() -> None:
    sound = voice_like(1.0, 16_000)
    frames = map_frames(sound, 400, 10, lambda rows: rows)
    assert frames.shape == (1561, 400)
    for index in (0, 511, 512, 1024, 1560):
        np.testing.assert_array_equal(frames[index], sound[10 * index : 10 * index + 400])


def test_memory_is_bounded_for_five_minutes() -> None:
    sound = np.tile(voice_like(1.0, 16_000), 300)
    tracemalloc.start()
    features.voice_encoder_mel(features.trim_silence(sound))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * sound.nbytes
