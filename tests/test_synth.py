"""The library's own calls: what they refuse, and how seeds and voices are shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbflash.errors import UsageError
from cbflash.fake import FakeEngine
from cbflash.synth import ChatterboxFlash
from cbflash.tokenizer import TextTokenizer
from cbflash.voice import save_voice
from tests.contract import make_clip
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
