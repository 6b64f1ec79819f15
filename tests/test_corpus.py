"""Texts, speakers, the plan, and a corpus that is made, stopped, gone on with and read."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from app.evaluate import median_pitch, tract_ratio
from cbflash.errors import UsageError
from cbflash.tokens import SAMPLE_RATE
from tests.synthesisers import Hum, Mute, hum, require_flite
from training.corpus import Corpus
from training.corpus.__main__ import main
from training.corpus.cast import TEST_SPEAKERS, VOICES, make_cast, make_speaker
from training.corpus.engines import Line
from training.corpus.engines.flite import Flite
from training.corpus.make import Begun, Recipe, ShardDone, make_corpus
from training.corpus.plan import make_plan
from training.corpus.psola import change_melody
from training.corpus.shape import LOUDNESS, Bump, Shape, apply_shape, finish
from training.corpus.shards import index_path, sound_path
from training.corpus.texts import Source, read_pool, split_of
from training.corpus.texts.closed import Closed
from training.corpus.texts.numbers import Numbers
from training.corpus.texts.prose import sentences_of, spoken
from training.corpus.texts.source import MissingTextError
from training.corpus.texts.wordlist import WordList
from training.corpus.texts.wordnet import WordNet, coarse_words

SOURCES: tuple[Source, ...] = (Closed(400), Numbers(400))
HUM = Recipe(hours=0.01, engines=(Hum(), Mute()), sources=SOURCES, roots=())


def make(folder: Path, recipe: Recipe = HUM) -> list[Begun | ShardDone]:
    events: list[Begun | ShardDone] = []
    make_corpus(folder, recipe, events.append)
    return events


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.corpus.plan.SHARD", 4)


# Texts


def test_sentences_end_where_they_end() -> None:
    text = "Mr. Smith came. “Who is it?” she said. It was 3.5 miles."
    assert list(sentences_of(text)) == [
        *("Mr. Smith came.", "“Who is it?” she said.", "It was 3.5 miles."),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a bright day", "A bright day."),
        ("“Dr. Smith’s 12 cats,” she said", "Doctor Smith's twelve cats, she said."),
        ("so--he went 'home'", "So, he went home."),
        ("She saw it at 5:30 pm.", "She saw it at five thirty PM."),
        ("NASA is there already", None),
        ("E = m c² is known", None),
        ("Oh!", None),
        ("word " * 40, None),
    ],
)
def test_what_is_spoken(written: str, said: str | None) -> None:
    assert spoken(written) == said


def test_numbers_can_all_be_spoken() -> None:
    assert all(spoken(sentence) for sentence in Numbers(200).sentences(()))


def test_a_split_is_for_good_and_ignores_marks() -> None:
    sentences = [f"sentence number {number}" for number in range(4000)]
    splits = [split_of(sentence) for sentence in sentences]
    assert splits == [split_of(f"  {sentence.upper()}!") for sentence in sentences]
    assert splits.count("test") == pytest.approx(160, abs=45)
    assert splits.count("valid") == pytest.approx(80, abs=35)


def test_wordnet_examples_without_quotations_and_coarse_words(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    licence = "  1 This software\n"
    nice = '00001 04 n 02 nice 0 fine_one 0 000 | pleasant; "a nice day"; "so it goes"- Author\n'
    rude = '00002 04 n 01 Oaf 0 000 | offensive term for a fool; "what an oaf he is"\n'
    for name in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{name}").write_text(licence)
    (folder / "data.noun").write_text(licence + nice + rude)
    assert list(WordNet().sentences([tmp_path])) == ["a nice day", "what an oaf he is"]
    assert coarse_words([tmp_path]) == {"oaf"}
    pool = read_pool([WordNet()], [tmp_path])
    assert [*pool.sentences.values()] == [["a nice day"]]


def test_rare_letters_are_said_as_often_as_others(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/dict"
    folder.mkdir(parents=True)
    common = [f"st{a}{b}ing" for a in "abcdefghij" for b in "klmnopqrst"]
    (folder / "american-english").write_text("\n".join([*common, "Capital", "jazz"]))
    sentences = list(WordList(2000).sentences([tmp_path]))
    assert sum("jazz" in sentence for sentence in sentences) > 70
    assert not any("Capital" in sentence for sentence in sentences)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingTextError, match="wamerican"):
        list(WordList().sentences([tmp_path]))
    pool = read_pool([Closed(5), WordList()], [tmp_path])
    assert list(pool.shares) == ["closed"]
    assert any("wamerican" in reason for reason in pool.missing)


# Speakers


def test_a_speaker_is_known_by_its_name() -> None:
    one, other = (make_speaker(VOICES[0], 7, test) for test in (False, True))
    assert one == make_speaker(VOICES[0], 7, False)
    assert (one.name, other.name) == ("rms-07", "rms-t07")
    assert one.shape != other.shape


def test_there_are_enough_speakers_with_flite_alone() -> None:
    cast = make_cast([Flite()])
    assert len({speaker.name for speaker in cast}) == len(cast)
    assert sum(not speaker.test for speaker in cast) >= 200
    assert sum(speaker.test for speaker in cast) == 3 * TEST_SPEAKERS >= 40
    for speaker in cast:
        low, high = speaker.voice.tract
        assert low <= speaker.shape.tract <= high


@pytest.mark.parametrize("pitch", [0.75, 1.0, 1.4])
def test_melody_changes_and_time_does_not(pitch: float) -> None:
    sound = hum(1.0, 120.0)
    changed = change_melody(sound.samples, sound.rate, pitch)
    assert len(changed) == len(sound.samples)
    assert median_pitch(changed, sound.rate) == pytest.approx(120.0 * pitch, rel=0.02)
    if pitch == 1.0:
        assert np.corrcoef(changed, sound.samples)[0, 1] > 0.95


def test_melody_without_liveliness_is_flat() -> None:
    pitch = np.linspace(100.0, 160.0, 32_000)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    samples = sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32)
    flat = change_melody(samples, 16_000, 1.0, 0.0)
    for part in (flat[4000:12_000], flat[-12_000:-4000]):
        assert median_pitch(part, 16_000) == pytest.approx(130.0, rel=0.03)


def test_a_shape_moves_what_it_says() -> None:
    sound = hum(2.0, 120.0)
    plain = apply_shape(sound, Shape())
    small = apply_shape(sound, Shape(tract=1.15, pitch=1.3))
    assert len(plain) == 2 * SAMPLE_RATE
    assert len(small) == pytest.approx(2 * SAMPLE_RATE / 1.15, abs=30)
    assert median_pitch(small, SAMPLE_RATE) == pytest.approx(120.0 * 1.3, rel=0.02)
    assert tract_ratio(plain, small, SAMPLE_RATE) == pytest.approx(1.15, rel=0.05)


def test_colour_is_in_decibels() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, decibels in ((1000.0, 6.0), (4000.0, -4.0)):
        sound = replace(hum(1.0), samples=np.sin(2 * np.pi * hertz * time).astype(np.float32))
        sound = replace(sound, rate=SAMPLE_RATE)
        coloured = apply_shape(sound, Shape(tilt=-2.0, bumps=(Bump(1000.0, 6.0, 0.3),)))
        gain = np.sqrt(np.mean(coloured[4000:-4000] ** 2) / np.mean(sound.samples**2))
        assert 20 * np.log10(gain) == pytest.approx(decibels, abs=0.3)


def test_ends_and_loudness() -> None:
    voice = apply_shape(hum(1.0), Shape())
    silence = np.zeros(SAMPLE_RATE, np.float32)
    samples = finish(np.concatenate([silence, 0.01 * voice, silence]), (0.1, 0.2))
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    assert loud[0] / SAMPLE_RATE == pytest.approx(0.1, abs=0.015)
    assert (len(samples) - loud[-1]) / SAMPLE_RATE == pytest.approx(0.2, abs=0.015)
    level = np.sqrt(np.mean(samples[loud[0] : loud[-1]] ** 2))
    assert 20 * np.log10(level) == pytest.approx(LOUDNESS, abs=0.5)
    assert len(finish(samples[loud[0] : loud[-1]], (0.1, 0.2))) == pytest.approx(
        len(samples), abs=500
    )
    assert not len(finish(silence, (0.1, 0.1)))


# The corpus


def test_a_plan_keeps_tests_apart() -> None:
    items = make_plan(read_pool(SOURCES, ()), make_cast([Flite()]), 2000.0, seed=1)
    heard = {item.text for item in items if item.part == "train"}
    for item in items:
        assert item.speaker.test == (item.part in ("test", "closed"))
        assert item.part == "train" or item.text not in heard
        assert (item.kind == "closed") or item.part != "closed"
        assert (item.kind != "closed") or item.part != "test"
    assert {item.part for item in items} == {"train", "valid", "test", "closed"}


def test_clear_voices_say_more_of_what_is_trained_on_and_as_much_of_what_is_tested() -> None:
    items = make_plan(read_pool(SOURCES, ()), make_cast([Flite()]), 30000.0, seed=1)
    said = {
        part: Counter(item.speaker.voice.name for item in items if item.part == part)
        for part in ("train", "test")
    }
    shares = {voice.name: voice.share for voice in VOICES if voice.engine == "flite"}
    assert len({*shares.values()}) > 1
    whole = sum(said["train"].values())
    for name, share in shares.items():
        wanted = share / sum(shares.values())
        spread = 4 * (wanted * (1 - wanted) / whole) ** 0.5
        assert said["train"][name] / whole == pytest.approx(wanted, abs=spread)
    assert max(said["test"].values()) - min(said["test"].values()) <= TEST_SPEAKERS


def test_an_item_depends_on_seed_and_number_alone() -> None:
    pool, cast = read_pool(SOURCES, ()), make_cast([Flite()])
    long = make_plan(pool, cast, 300.0, seed=1)
    assert make_plan(pool, cast, 100.0, seed=1) == long[: len(make_plan(pool, cast, 100.0, 1))]
    assert make_plan(pool, cast, 300.0, seed=2) != long


def test_a_corpus_is_read_as_it_was_made(tmp_path: Path) -> None:
    events = make(tmp_path)
    corpus = Corpus(tmp_path)
    begun = events[0]
    assert isinstance(begun, Begun)
    assert "festival is not installed" in begun.missing
    assert len(corpus) == begun.utterances
    assert corpus.seconds == pytest.approx(36, rel=0.6)
    for number, utterance in enumerate(corpus):
        row = corpus.row(number)
        assert (utterance.text, utterance.speaker) == (row.text, row.speaker)
        assert utterance.samples.shape == (row.samples,)
        assert utterance.samples.dtype == np.float32
    assert sum(len(corpus.part(part)) for part in ("train", "valid", "test", "closed")) == (
        len(corpus)
    )
    said = corpus.speakers("train")
    assert sorted(number for name in said for number in said[name]) == corpus.part("train")
    assert all(corpus.row(number).speaker == name for name in said for number in said[name])
    with pytest.raises(IndexError):
        corpus[len(corpus)]


@pytest.mark.usefixtures("small_shards")
def test_a_stopped_corpus_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    make(whole)

    def stop(event: Begun | ShardDone) -> None:
        if isinstance(event, ShardDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_corpus(stopped, HUM, stop)
    assert 0 < len(Corpus(stopped)) < len(Corpus(whole))
    index_path(stopped, 0).unlink()  # as if it had been killed between the two files
    first = sound_path(whole, 1).stat().st_mtime_ns
    make(stopped)
    make(whole)
    assert sound_path(whole, 1).stat().st_mtime_ns == first
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in stopped.iterdir())
    assert all((whole / name).read_bytes() == (stopped / name).read_bytes() for name in names)


@pytest.mark.usefixtures("small_shards")
def test_processes_make_the_same(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make_corpus(tmp_path / "two", HUM, lambda event: None, workers=2)
    for path in (tmp_path / "one").glob("*.*l*"):
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()


def test_helping_processes_end_with_their_parent() -> None:
    code = """
import multiprocessing, os, signal, time
from tests.synthesisers import serve_for_ever
if __name__ == "__main__":
    helper = multiprocessing.get_context("spawn").Process(target=serve_for_ever)
    helper.start()
    input()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "serving\n"
        # The pipe is at its end when the last process that holds it is gone.
        assert parent.communicate("go\n", timeout=60.0)[0] == ""


def test_another_corpus_is_not_mixed_in(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match="another corpus: seed"):
        make(tmp_path, replace(HUM, seed=1))


def test_damage_is_told(tmp_path: Path) -> None:
    make(tmp_path)
    corpus = Corpus(tmp_path)
    data = bytearray(sound_path(tmp_path, 0).read_bytes())
    data[corpus.row(1).begin : corpus.row(1).begin + 40] = bytes(40)
    sound_path(tmp_path, 0).write_bytes(data)
    corpus[0]
    with pytest.raises(UsageError, match="damaged at byte"):
        corpus[1]
    index = index_path(tmp_path, 0)
    count = f'"samples": {corpus.row(0).samples}'
    index.write_text(index.read_text().replace(count, '"samples": 7'))
    with pytest.raises(UsageError, match="damaged at byte 0"):
        Corpus(tmp_path)[0]
    index.write_text('{"index": 1}\n')
    with pytest.raises(UsageError, match="jsonl is damaged"):
        Corpus(tmp_path)


def test_there_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no corpus"):
        Corpus(tmp_path)


@pytest.mark.parametrize(
    ("option", "message"),
    [(["--seed", "-1"], "-1 is less than 0"), (["--workers", "0"], "0 is less than 1")],
)
def test_numbers_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "corpus"), *option])
    assert f"{option[0]}: {message}" in capsys.readouterr().err


def test_nobody_can_speak(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="festival is not installed"):
        make(tmp_path, replace(HUM, engines=(Mute(),)))


@dataclass(frozen=True)
class Choking(Hum):
    """Cannot say every other line, and the rest takes too long."""

    def speak(self, voice: str, lines: Sequence[Line]) -> list:
        return [None if number % 2 else hum(20.0) for number in range(len(lines))]


def test_what_cannot_be_said_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, replace(HUM, engines=(Choking(),)))
    assert len(Corpus(tmp_path)) == 0


def test_a_corpus_goes_to_other_processes(tmp_path: Path) -> None:
    make(tmp_path)
    corpus = Corpus(tmp_path)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(corpus))[3].samples, corpus[3].samples)


# For real


def test_flite_says_the_same_again() -> None:
    require_flite()
    lines = [Line("A bright day.", stretch) for stretch in (1.0, 1.0, 1.3)]
    first, again, slow = (sound for sound in Flite().speak("slt", lines) if sound is not None)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert len(slow.samples) == pytest.approx(1.3 * len(first.samples), rel=0.1)
    assert 150 < median_pitch(first.samples, first.rate) < 190


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    require_flite()
    monkeypatch.setattr(Recipe, "sources", SOURCES)
    folder = tmp_path / "corpus"
    arguments = [str(folder), "--hours", "0.008", "--seed", "3"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "h of speech in" in printed.err
    assert "closed: 1 of 1 speakers" in printed.out
    corpus = Corpus(folder)
    assert len(corpus) >= 8
    pitches = [median_pitch(utterance.samples, SAMPLE_RATE) for utterance in corpus]
    assert 60 < min(pitches) < max(pitches) < 400
    assert main([*arguments[:-1], "4"]) == UsageError.exit_code
    assert "another corpus" in capsys.readouterr().err
