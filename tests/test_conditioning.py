"""From a clip to a voice, against what the released package feeds its networks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cbflash.audio import Clip, read_clip
from cbflash.conditioning import make_voice
from cbflash.errors import AudioError
from cbflash.voice import Voice
from tests.signals import CLIPS, clip, voice_like

GOLDEN = np.load(Path(__file__).parent / "golden" / "features.npz")


class Recorder:
    """Encoders that keep what they are fed, and answer in the shapes of the real ones."""

    def __init__(self) -> None:
        self.log_mels: list[np.ndarray] = []
        self.fbank = np.zeros(0)
        self.windows = np.zeros(0)

    def speech_tokens(self, log_mel: np.ndarray) -> np.ndarray:
        self.log_mels.append(log_mel)
        return np.arange(-(-log_mel.shape[1] // 4), dtype=np.int32)

    def x_vector(self, fbank: np.ndarray) -> np.ndarray:
        self.fbank = fbank
        return np.arange(192, dtype=np.float32)

    def speaker_embedding(self, windows: np.ndarray) -> np.ndarray:
        self.windows = windows
        return np.eye(256, dtype=np.float32)[: len(windows)]


@pytest.fixture(params=range(len(CLIPS)))
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def listen(folder: Path, number: int, released: bool) -> tuple[Voice, Recorder]:
    path = folder / "clip.wav"
    soundfile.write(path, clip(number), CLIPS[number][1], subtype="FLOAT")
    recorder = Recorder()
    voice = make_voice(
        read_clip(path), recorder, model_id="model", engine="test", released=released
    )
    return voice, recorder


def test_networks_are_fed_as_in_the_release(tmp_path: Path, number: int) -> None:
    voice, recorder = listen(tmp_path, number, released=True)
    flow_log_mel, prompt_log_mel = recorder.log_mels
    found = {
        "flow_log_mel": (flow_log_mel, 1e-4),
        "prompt_log_mel": (prompt_log_mel, 1e-4),
        # Bands without sound (an 8 kHz clip has many) are rounding noise in the release.
        "fbank": (recorder.fbank, 5e-3),
        "windows": (recorder.windows, 1e-4),
        "s3_mel": (voice.s3_mel, 1e-4),
    }
    for name, (array, tolerance) in found.items():
        if number:
            assert array.shape == tuple(GOLDEN[f"clip_{number}_{name}_shape"]), name
            array = array[::9, ::13]
        wanted = GOLDEN[f"clip_{number}_{name}"]
        np.testing.assert_allclose(array, wanted, atol=tolerance, err_msg=name)
    assert len(voice.s3_tokens) == GOLDEN[f"clip_{number}_s3_tokens"]
    assert len(voice.prompt_tokens) == GOLDEN[f"clip_{number}_prompt_tokens"]


def test_two_mel_frames_a_token(tmp_path: Path, number: int) -> None:
    as_released, _ = listen(tmp_path, number, released=True)
    voice, _ = listen(tmp_path, number, released=False)
    odd_frame = [1, 0, 0, 0][number]
    assert len(as_released.s3_mel) == 2 * len(voice.s3_tokens) + odd_frame
    assert len(voice.s3_mel) == 2 * len(voice.s3_tokens)
    np.testing.assert_array_equal(voice.s3_mel, as_released.s3_mel[: len(voice.s3_mel)])
    np.testing.assert_array_equal(voice.s3_tokens, as_released.s3_tokens)


def test_what_a_voice_says_of_itself(tmp_path: Path) -> None:
    voice, recorder = listen(tmp_path, 0, released=False)
    assert (voice.name, voice.model_id, voice.engine) == ("clip", "model", "test")
    assert voice.seconds == pytest.approx(2.98)
    assert re.fullmatch("[0-9a-f]{64}", voice.source_hash)
    age = datetime.now(UTC) - datetime.fromisoformat(voice.created)
    assert 0 <= age.total_seconds() < 60
    np.testing.assert_array_equal(voice.x_vector, np.arange(192))
    wanted = np.zeros(256)
    wanted[: len(recorder.windows)] = 1 / np.sqrt(len(recorder.windows))
    np.testing.assert_allclose(voice.speaker_embedding, wanted, rtol=1e-6)


def test_prompt_limit() -> None:
    recorder = Recorder()
    sound = Clip(voice_like(7.0, 24_000), 24_000, "clip", "00")
    voice = make_voice(sound, recorder, model_id="model", engine="test", prompt_tokens_limit=20)
    assert len(voice.prompt_tokens) == 20
    assert len(voice.s3_tokens) == 175


def test_prompt_hears_six_seconds() -> None:
    sound = voice_like(8.0, 24_000)
    louder = np.concatenate([0.05 * sound[: 6 * 24_000], sound[6 * 24_000 :]])
    heard = []
    for samples in (louder, louder[: int(6.1 * 24_000)]):
        recorder = Recorder()
        clip = Clip(samples.astype(np.float32), 24_000, "clip", "00")
        make_voice(clip, recorder, model_id="model", engine="test", prompt_tokens_limit=1000)
        heard.append(recorder.log_mels[1])
    assert heard[0].shape == (128, 600)
    np.testing.assert_allclose(heard[0], heard[1], atol=1e-3)


def test_unusable_clip_is_refused_before_any_work() -> None:
    recorder = Recorder()
    with pytest.raises(AudioError, match="holds no sound") as raised:
        make_voice(
            Clip(np.zeros(48_000, np.float32), 24_000, "clip", "00"),
            recorder,
            model_id="model",
            engine="test",
        )
    assert raised.value.hint
    assert not recorder.log_mels
