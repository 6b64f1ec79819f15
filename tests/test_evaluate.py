"""Word errors, intervals, pitch and timbre: what is measured is what is there."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluate import (
    CLOSED,
    Grammar,
    WordErrors,
    align,
    bootstrap,
    bootstrap_difference,
    median_pitch,
    pitch_track,
    score,
    spectral_distance,
    tract_ratio,
)
from app.evaluate.timbre import tracts_apart
from app.evaluate.word_errors import scored_words
from cbflash.audio import resample
from tests.synthesisers import hum

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


def fewest_edits(said: tuple[str, ...], heard: tuple[str, ...]) -> int:
    """Every way there is, one after the other."""

    @functools.cache
    def rest(i: int, j: int) -> int:
        if i == len(said) or j == len(heard):
            return len(said) - i + len(heard) - j
        both = rest(i + 1, j + 1) + (said[i] != heard[j])
        return min(both, 1 + rest(i + 1, j), 1 + rest(i, j + 1))

    return rest(0, 0)


@given(WORDS, WORDS)
def test_alignment_finds_the_fewest_edits(said: list[str], heard: list[str]) -> None:
    errors = align(said, heard)
    assert errors.errors == fewest_edits(tuple(said), tuple(heard))
    assert errors.words == len(said)
    assert len(said) - errors.deletions + errors.insertions == len(heard)
    assert min(errors.substitutions, errors.deletions, errors.insertions) >= 0


def test_kinds_of_errors() -> None:
    assert align(["a", "b", "c", "d"], ["a", "x", "c"]) == WordErrors(4, 1, 1, 0)
    assert align(["a", "b"], ["a", "z", "b"]) == WordErrors(2, 0, 0, 1)
    # Of two ways with two errors the one with more substitutions.
    assert align(["a", "b"], ["b", "c"]) == WordErrors(2, 2, 0, 0)


def test_errors_add_up_over_utterances() -> None:
    both = align(["a", "b", "c"], ["a"]) + align(["a"], ["b"])
    assert both == WordErrors(4, 1, 2, 0)
    assert both.rate == 0.75


def test_rate_without_words() -> None:
    assert WordErrors().rate == 0.0
    assert align([], ["a"]).rate == math.inf


def test_words_are_compared_as_spoken() -> None:
    assert scored_words("Dr. Smith’s well-known 42!") == (
        *("doctor", "smith's", "well", "known", "forty", "two"),
    )
    assert score("It costs $5.", "it costs five dollars").errors == 0


def test_closed_sentences_are_of_the_vocabulary() -> None:
    rng = np.random.default_rng(0)
    sentences = [CLOSED.sentence(rng) for _ in range(300)]
    heard = {word for sentence in sentences for word in scored_words(sentence)}
    assert heard <= set(CLOSED.vocabulary())
    assert len(set(sentences)) > 290
    assert all(sentence[0].isupper() and sentence[-1] in ".?" for sentence in sentences)


def test_grammar_in_small() -> None:
    grammar = Grammar("g", {"sentence": ("did {who} go", "{who}"), "who": ("i", "my aunt")})
    assert grammar.count() == 4
    assert grammar.vocabulary() == ["aunt", "did", "go", "i", "my"]
    rng = np.random.default_rng(0)
    assert {grammar.sentence(rng) for _ in range(60)} == {
        *("Did I go?", "Did my aunt go?", "I.", "My aunt."),
    }
    assert grammar.jsgf().splitlines()[2:] == [
        "public <sentence> = did <who> go | <who>;",
        "<who> = i | my aunt;",
    ]


def test_grammar_accepts_its_own_sentences_and_no_others() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        assert CLOSED.accepts(" ".join(scored_words(CLOSED.sentence(rng))))
    for words in ("where is the red", "the the the", "", "where is the red letter please"):
        assert not CLOSED.accepts(words)
    assert CLOSED.accepts("where is the red letter")


def test_interval_holds_the_mean_and_narrows_with_more_utterances() -> None:
    rng = np.random.default_rng(3)
    few, many = (bootstrap(rng.normal(5.0, 1.0, count).tolist()) for count in (20, 2000))
    assert few.low < few.value < few.high
    assert many.low < 5.0 < many.high
    assert 5 < (few.high - few.low) / (many.high - many.low) < 20  # the root of 100
    assert many.high - many.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.1)


def test_interval_weighs_by_words() -> None:
    assert bootstrap([1, 0], [1, 9]).value == 0.1
    assert bootstrap([5, 0] * 20, [5, 95] * 20).high < 0.1  # not the mean of the rates
    assert bootstrap([2, 2, 2], [4, 4, 4]) == bootstrap([2, 2], [4, 4])
    assert bootstrap([1, 2, 3], seed=1) == bootstrap([1, 2, 3], seed=1)


def test_difference_of_pairs_is_narrower_than_of_two_lists() -> None:
    rng = np.random.default_rng(5)
    hard = rng.uniform(0.0, 5.0, 200)  # the same sentences are hard to both
    worse = hard + rng.uniform(0.0, 0.4, 200)
    found = bootstrap_difference((hard.tolist(), None), (worse.tolist(), None))
    assert found.value == pytest.approx(worse.mean() - hard.mean())
    assert 0.0 < found.low < found.value < found.high < 0.3
    apart = [bootstrap(values.tolist()) for values in (hard, worse)]
    assert apart[0].high > apart[1].low


def test_difference_needs_the_same_utterances() -> None:
    with pytest.raises(ValueError, match="2 utterances beside 1"):
        bootstrap_difference(([1, 2], None), ([1], None))


@pytest.mark.parametrize(("amounts", "weights"), [([], []), ([1], [1, 2]), ([1], [0]), ([1], [-1])])
def test_interval_of_nothing(amounts: list[float], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        bootstrap(amounts, weights)


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("hertz", [70.0, 110.0, 220.0, 440.0])
def test_pitch_of_a_tone(hertz: float, rate: int) -> None:
    time = np.arange(rate) / rate
    assert median_pitch(np.sin(2 * np.pi * hertz * time).astype(np.float32), rate) == (
        pytest.approx(hertz, rel=0.005)
    )


@pytest.mark.parametrize("hertz", [90.0, 180.0, 300.0])
def test_pitch_of_a_voice(hertz: float) -> None:
    sound = hum(1.0, hertz)
    track = pitch_track(sound.samples, sound.rate)
    assert np.median(track[track > 0]) == pytest.approx(hertz, rel=0.005)
    assert (track > 0).mean() > 0.8


def test_pitch_of_a_glide() -> None:
    pitch = np.linspace(100.0, 200.0, 32_000)
    samples = np.sin(2 * np.pi * np.cumsum(pitch) / 16_000).astype(np.float32)
    track = pitch_track(samples, 16_000)
    assert np.all(np.diff(track) > 0)
    assert track[len(track) // 2] == pytest.approx(150.0, rel=0.02)


def test_no_pitch_where_there_is_none() -> None:
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert (pitch_track(noise, 16_000) > 0).mean() < 0.02
    assert not pitch_track(np.zeros(16_000, np.float32), 16_000).any()
    assert math.isnan(median_pitch(np.zeros(16_000, np.float32), 16_000))
    assert not len(pitch_track(np.zeros(100, np.float32), 16_000))


def test_spectral_distance() -> None:
    sound = hum(1.0)
    other = np.convolve(sound.samples, [1, -0.9])[: len(sound.samples)].astype(np.float32)
    assert spectral_distance(sound.samples, 0.1 * sound.samples, sound.rate) < 0.1
    assert spectral_distance(sound.samples, other, sound.rate) > 3.0


def test_tracts_are_no_further_apart_than_is_looked_for() -> None:
    """Some spectra agree the better the further they are moved: no peak is made up beyond."""
    numbers = np.random.default_rng(1)
    for _ in range(300):
        one, other = numbers.standard_normal((2, 132)).cumsum(axis=1)
        assert 2**-0.6 < tracts_apart(one, other) < 2**0.6


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.15])
def test_tract_ratio(factor: float) -> None:
    # Formants move, the pitch does not.
    sound, changed = hum(1.0, 100.0), hum(1.0, 100.0 / factor)
    moved = resample(changed.samples, round(changed.rate * factor), sound.rate)
    assert tract_ratio(sound.samples, moved, sound.rate) == pytest.approx(factor, rel=0.03)


def test_spectrum_of_too_little() -> None:
    with pytest.raises(ValueError, match="too short"):
        spectral_distance(np.zeros(100, np.float32), np.zeros(100, np.float32), 16_000)
