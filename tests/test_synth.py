"""The library's own calls: what they refuse, and how seeds and voices are shared out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cbflash.engine import FloatArray
from cbflash.errors import ModelError, UsageError, VoiceError
from cbflash.fake import FakeEngine, FakeVocoder
from cbflash.synth import ChatterboxFlash
from cbflash.tokenizer import TextTokenizer
from cbflash.voice import save_voice
from tests.contract import make_clip
from tests.hub_server import HubServer
from tests.seeded_tokenizer import write_tokenizer

TEXTS = ["Good morning.", "Good night to all of you."]


@pytest.fixture
def tts(tmp_path: Path) -> ChatterboxFlash:
    write_tokenizer(tmp_path / "tokenizer.json")
    return ChatterboxFlash(FakeEngine(), TextTokenizer.open(tmp_path / "tokenizer.json"))


def test_each_text_of_a_batch_has_the_next_seed(tts: ChatterboxFlash) -> None:
    voice = tts.encode_voice(make_clip())
    together = tts.generate_batch(TEXTS, voices=[voice], seed=2**32 - 1)
    assert [speech.seed for speech in together] == [2**32 - 1, 0]
    for text, speech in zip(TEXTS, together, strict=True):
        alone = tts.generate(text, voice=voice, seed=speech.seed)
        assert alone.tokens == speech.tokens
        assert alone.text == text


def test_each_text_may_have_its_own_voice(tts: ChatterboxFlash, tmp_path: Path) -> None:
    one, other = (make_clip(digest=digits * 32) for digits in ("ab", "cd"))
    save_voice(tts.encode_voice(other), tmp_path / "other.safetensors")
    both = tts.generate_batch(TEXTS, voices=[one, tmp_path / "other.safetensors"], seed=1)
    for text, clip, speech in zip(TEXTS, (one, other), both, strict=True):
        alone = tts.generate(text, voice=clip, seed=speech.seed)
        assert alone.tokens == speech.tokens


def test_voices_must_be_as_many_as_texts(tts: ChatterboxFlash) -> None:
    with pytest.raises(UsageError, match="2 texts and 3 voices"):
        tts.generate_batch(TEXTS, voices=[make_clip()] * 3)


@pytest.mark.parametrize("text", ["", " ", "?!", "\U0001f600"])
def test_a_text_without_a_letter_is_refused(tts: ChatterboxFlash, text: str) -> None:
    for speak in (tts.generate, tts.generate_long):
        with pytest.raises(UsageError, match="letter or digit"):
            speak(text, voice=make_clip())


def test_no_text_at_all_is_refused(tts: ChatterboxFlash) -> None:
    with pytest.raises(UsageError, match="nothing to speak"):
        tts.generate_batch([], voices=[make_clip()])


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nothing_is_refused(tts: ChatterboxFlash, batch: int) -> None:
    with pytest.raises(UsageError, match=f"cannot have {batch} pieces"):
        tts.generate_long(TEXTS[0], voice=make_clip(), batch=batch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_vector": np.ones(7, np.float32)}, "x_vector has 7 values"),
        ({"s3_mel": np.ones((4, 3), np.float32)}, "s3_mel has 3 values"),
        ({"prompt_tokens": np.array([99999], np.int32)}, "prompt_tokens holds"),
        ({"s3_tokens": np.array([1], np.int32)}, "differ in length"),
    ],
)
def test_a_voice_of_other_sizes_is_refused(
    tts: ChatterboxFlash, change: dict[str, np.ndarray], message: str
) -> None:
    voice = dataclasses.replace(tts.encode_voice(make_clip()), **change)
    with pytest.raises(VoiceError, match=message):
        tts.generate("Good morning.", voice=voice)


def test_a_model_is_fetched_once_and_loaded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CBFLASH_HOME", str(tmp_path))
    with HubServer("someone/tiny", {"main": ("a" * 40, tiny_model)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        tts = ChatterboxFlash.from_pretrained("someone/tiny", backend="mlx")
        assert tts.engine.info.model == "tiny"
    # The server is gone; the model is here.
    monkeypatch.setenv("CBFLASH_OFFLINE", "1")
    again = ChatterboxFlash.from_pretrained("someone/tiny", backend="mlx")
    assert again.engine.info.model_id == tts.engine.info.model_id


def test_values_that_are_no_numbers_are_not_given_as_sound(
    tts: ChatterboxFlash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file they would be noise at full scale."""
    voice = tts.encode_voice(make_clip())
    push = FakeVocoder.push

    def damaged(self: FakeVocoder, tokens: Sequence[int], last: bool) -> FloatArray:
        samples = push(self, tokens, last)
        samples[-3:] = np.nan
        return samples

    monkeypatch.setattr(FakeVocoder, "push", damaged)
    for care in (True, False):
        with pytest.raises(ModelError, match=r"not numbers.*models verify"):
            tts.generate(TEXTS[0], voice=voice, seed=1, care=care)
        with pytest.raises(ModelError, match="not numbers"):
            for _ in tts.stream(TEXTS[0], voice=voice, seed=1, care=care):
                pass
