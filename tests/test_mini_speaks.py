"""That the built-in model is understood, however it is run, and in whose voice it speaks.

The listener is pocketsphinx with the grammar that these sentences are of. Nothing was trained on
the sentences, nor on the two speakers. Bounds are far above what BENCHMARKS.md measures (one word
of 25 wrong), for other processors round differently and draw other tokens; what is broken is
understood at no better than one word of two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.evaluate import CLOSED, score
from app.evaluate.sphinx import SphinxRecogniser
from cbflash.audio import Samples, write_audio
from cbflash.builtin import BUILTIN
from cbflash.sample_voices import NAMES, clip_path
from cbflash.synth import ChatterboxFlash
from cbflash.tokens import SAMPLE_RATE
from convert import convert
from cuda_backend.backend import CPU
from mlx_port.backend import BACKEND as MLX

ASSETS = Path(__file__).parent.parent / "assets"
MINI = ASSETS / BUILTIN
CLIPS = {name: clip_path(ASSETS, name) for name in NAMES}
SENTENCES = (
    "Please carry the table in the old town.",
    "Everyone counted the letter under the bridge.",
    "The useful village is across the street.",
    "The weather near the river was very hot after breakfast.",
    "Can you notice one blanket for my brother?",
    "Do not watch the quiet ships.",
)
UNDERSTOOD, BROKEN = 0.3, 0.5  # part of the words

Speak = Callable[[str], Samples]


@pytest.fixture(scope="module")
def mini() -> ChatterboxFlash:
    return ChatterboxFlash.load(MINI, backend=CPU)


@pytest.fixture(scope="module")
def listener() -> SphinxRecogniser:
    return SphinxRecogniser(CLOSED)


def wrong(listener: SphinxRecogniser, speak: Speak, sentences: tuple[str, ...]) -> float:
    """Part of the words that are understood as others, or not at all."""
    found = [score(text, listener.hear(speak(text), SAMPLE_RATE)) for text in sentences]
    return sum(one.errors for one in found) / sum(one.words for one in found)


@pytest.mark.parametrize("voice", NAMES)
def test_it_is_understood(mini: ChatterboxFlash, listener: SphinxRecogniser, voice: str) -> None:
    def speak(text: str) -> Samples:
        return mini.generate(text, voice=CLIPS[voice], seed=1).samples

    assert wrong(listener, speak, SENTENCES) < UNDERSTOOD


def test_what_it_does_not_say_is_not_heard(
    mini: ChatterboxFlash, listener: SphinxRecogniser
) -> None:
    """Else the listener would guess, and nothing here would say anything."""
    others = dict(zip(SENTENCES, (*SENTENCES[1:], SENTENCES[0]), strict=True))

    def speak(text: str) -> Samples:
        return mini.generate(others[text], voice=CLIPS["basil"], seed=1).samples

    assert wrong(listener, speak, SENTENCES[:3]) > BROKEN


def test_a_stream_is_understood(mini: ChatterboxFlash, listener: SphinxRecogniser) -> None:
    def speak(text: str) -> Samples:
        return np.concatenate(
            [one.samples for one in mini.stream(text, voice=CLIPS["basil"], seed=1)]
        )

    assert wrong(listener, speak, SENTENCES) < UNDERSTOOD


def test_threshold_decoding_is_understood(
    mini: ChatterboxFlash, listener: SphinxRecogniser
) -> None:
    """In a quarter of the steps, so at a price."""

    def speak(text: str) -> Samples:
        return mini.generate(text, voice=CLIPS["basil"], seed=1, threshold=0.1).samples

    assert wrong(listener, speak, SENTENCES) < BROKEN


def test_four_bits_in_mlx_are_understood(tmp_path: Path, listener: SphinxRecogniser) -> None:
    small = ChatterboxFlash.load(convert(MINI, tmp_path / "4bit", bits=4), backend=MLX)

    def speak(text: str) -> Samples:
        return small.generate(text, voice=CLIPS["basil"], seed=1).samples

    assert wrong(listener, speak, SENTENCES[:4]) < UNDERSTOOD


def test_it_speaks_in_the_voice_of_the_clip(mini: ChatterboxFlash, tmp_path: Path) -> None:
    own = np.stack([mini.encode_voice(clip).speaker_embedding for clip in CLIPS.values()])
    for number, clip in enumerate(CLIPS.values()):
        parts = [mini.generate(text, voice=clip, seed=1).samples for text in SENTENCES[:3]]
        write_audio(tmp_path / "said.wav", np.concatenate(parts), SAMPLE_RATE)
        said = mini.encode_voice(tmp_path / "said.wav").speaker_embedding
        assert int((own @ said).argmax()) == number
