"""How rows become sound, and the folder that keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.evaluate.folder import SETTINGS, RunFolder
from app.evaluate.references import References, name_of
from app.evaluate.rows import Row
from app.evaluate.sound import Effort
from app.evaluate.sources import Codec, Made, Speaking, recording_of, seed_of, speech_tokens
from cbflash.audio import Clip, read_clip, write_audio
from cbflash.config import T3Config
from cbflash.errors import AudioError, OutputError, UsageError
from cbflash.fake import FakeEngine, Moment
from cbflash.settings import Sampling
from cbflash.synth import ChatterboxFlash
from cbflash.tokenizer import TextTokenizer
from cbflash.tokens import SAMPLE_RATE, SAMPLES_PER_TOKEN
from tests.contract import make_clip
from tests.seeded_tokenizer import write_tokenizer
from tests.signals import voice_like

SAMPLING = Sampling(num_steps=4)
ROW = Row("a", "Good morning to all of you.", "line 1")


@pytest.fixture
def moments() -> list[Moment]:
    return []


@pytest.fixture
def tts(tmp_path: Path, moments: list[Moment]) -> ChatterboxFlash:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    return ChatterboxFlash(FakeEngine(watch=moments.append), TextTokenizer.open(path, T3Config()))


def write_clip(path: Path, seed: int = 1) -> Path:
    write_audio(path, voice_like(6.0, SAMPLE_RATE, seed))
    return path


# -- speaking --------------------------------------------------------------------------------


def test_a_stream_says_the_same_and_begins_earlier(tts: ChatterboxFlash) -> None:
    references = References(make_clip())
    whole = Speaking(tts, references, SAMPLING).make(ROW, 3)
    streamed = Speaking(tts, references, SAMPLING, streamed=True).make(ROW, 3)
    np.testing.assert_allclose(streamed.samples, whole.samples, atol=1e-6)
    assert streamed.effort.tokens == whole.effort.tokens
    assert streamed.effort.steps == whole.effort.steps
    assert whole.effort.first_sound is None
    assert streamed.effort.first_sound is not None
    assert 0 < streamed.effort.first_sound <= streamed.effort.seconds


def test_more_than_a_model_speaks_at_once_is_spoken_sentence_by_sentence(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json")
    begun: list[Moment] = []
    engine = FakeEngine(watch=begun.append)
    tokenizer = TextTokenizer.open(tmp_path / "tokenizer.json", T3Config(longest_text=30))
    tts, references = ChatterboxFlash(engine, tokenizer), References(make_clip())
    row = Row("a", "Good morning to all of you. Good night to all of you.")
    for streamed in (False, True):
        begun.clear()
        made = Speaking(tts, references, SAMPLING, care=False, streamed=streamed).make(row, 1)
        assert begun.count("prefill") == 2
        assert made.effort.tokens > 0
        if not streamed:
            whole = made
    assert made.effort.tokens == whole.effort.tokens
    np.testing.assert_allclose(made.samples, whole.samples, atol=1e-6)


def test_every_row_and_seed_is_drawn_anew(tts: ChatterboxFlash) -> None:
    seeds = {seed_of(seed, Row(name, "A.")) for seed in range(20) for name in "abcde"}
    assert len(seeds) == 100
    assert seed_of(3, ROW) == seed_of(3, Row("a", "Another text.")), "by its name alone"
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_clip_is_encoded_once_under_any_name(
    tts: ChatterboxFlash, tmp_path: Path, moments: list[Moment]
) -> None:
    paths = [write_clip(tmp_path / "one.wav"), write_clip(tmp_path / "copy.wav")]
    other = write_clip(tmp_path / "other.wav", seed=2)
    references = References()
    rows = [Row("a", "A.", "", path) for path in (*paths, *paths, other)]
    voices = [references.voice(row, tts) for row in rows]
    assert moments.count("voice") == 2
    assert voices[0] is voices[1] is voices[3]
    assert len({references.name(row) for row in rows}) == 2


def test_whose_voice_it_is(tts: ChatterboxFlash, tmp_path: Path) -> None:
    own = Row("a", "A.", "", write_clip(tmp_path / "own.wav"))
    default = make_clip()
    references = References(default)
    assert references.name(ROW) == name_of(default) == "clip-abababab"
    assert references.voice(own, tts).name == "own"
    voice = tts.encode_voice(default)
    without_clip = References(voice)
    assert (without_clip.name(ROW), without_clip.voice(ROW, tts)) == (None, voice)
    with pytest.raises(UsageError, match="no 'ref_audio'"):
        References().clip(ROW)


def test_what_is_not_good_about_a_clip_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    write_audio(path, voice_like(3.0, SAMPLE_RATE))
    told: list[str] = []
    references = References(tell=told.append)
    for _ in range(3):
        references.clip(Row("a", "A.", "", path))
    [note] = told
    assert str(path) in note
    write_audio(tmp_path / "silent.wav", np.zeros(SAMPLE_RATE, np.float32))
    with pytest.raises(AudioError, match="no sound"):
        references.clip(Row("a", "A.", "", tmp_path / "silent.wav"))


# -- the codec alone -------------------------------------------------------------------------


def test_the_codec_speaks_a_recording_in_the_references_voice(
    tts: ChatterboxFlash, tmp_path: Path
) -> None:
    recording = tmp_path / "recorded.wav"
    write_audio(recording, voice_like(2.0, SAMPLE_RATE, 2))
    row = Row("a", "A.", speech=recording)
    made = Codec(tts, References(make_clip()), SAMPLING).make(row, 0)
    assert made.effort.tokens == 50
    assert len(made.samples) == 50 * SAMPLES_PER_TOKEN
    assert (made.effort.blocks, made.effort.steps) == (0, 0)
    # The fake vocoder hums at the pitch of the voice, whatever the tokens are.
    other = Codec(tts, References(make_clip(digest="cd" * 32)), SAMPLING).make(row, 0)
    assert not np.allclose(other.samples, made.samples)


def test_tokens_of_a_long_recording_are_those_of_its_pieces() -> None:
    encoders = FakeEngine().encoders
    samples = voice_like(21.3, SAMPLE_RATE)
    tokens = speech_tokens(Clip(samples, SAMPLE_RATE, "long", ""), encoders)
    assert len(tokens) == len(samples) // SAMPLES_PER_TOKEN == 532
    second = Clip(samples[10 * SAMPLE_RATE : 20 * SAMPLE_RATE], SAMPLE_RATE, "piece", "")
    assert tokens[250:500] == speech_tokens(second, encoders)
    with pytest.raises(AudioError, match="shorter than a speech token"):
        speech_tokens(Clip(samples[:900], SAMPLE_RATE, "short", ""), encoders)


def test_where_a_recording_is(tmp_path: Path) -> None:
    row = Row("a", "A.", speech=Path("own.wav"))
    assert recording_of(row, None) == Path("own.wav")
    assert recording_of(row, tmp_path) == tmp_path / "a.wav", "what an error will name"
    write_audio(tmp_path / "a.flac", voice_like(1.0, SAMPLE_RATE))
    assert recording_of(row, tmp_path) == tmp_path / "a.flac"
    with pytest.raises(UsageError, match="no 'speech'"):
        recording_of(ROW, None)


# -- the folder ------------------------------------------------------------------------------

SETTINGS_A = {"mode": "whole", "num_steps": 10, "seeds": [0]}
NAMES = {"a": "me-abab"}


def made(seconds: float = 1.0) -> Made:
    return Made(voice_like(seconds, SAMPLE_RATE), Effort(0.5, 25, 2, 12, 0.1, True, ("note",)))


def opened(path: Path, seeds: tuple[int, ...] = (0,)) -> RunFolder:
    folder = RunFolder(path, SETTINGS_A | {"seeds": list(seeds)}, seeds)
    folder.open([ROW], NAMES)
    return folder


def test_what_was_made_is_kept(tmp_path: Path) -> None:
    folder = opened(tmp_path / "out")
    assert folder.kept([ROW]) == {}
    folder.keep(ROW, 0, "me-abab", made())
    assert opened(tmp_path / "out").kept([ROW, Row("b", "B.")]) == {("a", 0): made().effort}
    assert len(read_clip(folder.file(ROW, 0)).samples) == SAMPLE_RATE


def test_several_seeds_have_folders_of_their_own(tmp_path: Path) -> None:
    folder = opened(tmp_path, (3, 9))
    folder.keep(ROW, 9, "me-abab", made())
    assert folder.file(ROW, 9) == tmp_path / "seed-9" / "a.wav"
    assert folder.kept([ROW]) == {("a", 9): made().effort}


def test_what_is_not_whole_is_made_again(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.keep(ROW, 0, "me-abab", made())
    path = folder.file(ROW, 0)
    data = path.read_bytes()
    for torn in (data[:-2000], data[:20], b""):
        path.write_bytes(torn)
        assert folder.kept([ROW]) == {}
    path.unlink()
    assert folder.kept([ROW]) == {}
    path.write_bytes(data)
    assert folder.kept([ROW]) != {}
    (tmp_path / "manifest.jsonl").unlink()
    assert folder.kept([ROW]) == {}, "a file nobody knows anything about"


def test_who_says_nothing_leaves_a_moment_of_silence(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.keep(ROW, 0, None, Made(np.zeros(0, np.float32), Effort(0.5)))
    assert not read_clip(folder.file(ROW, 0)).samples.any()
    assert folder.kept([ROW]) == {("a", 0): Effort(0.5)}


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    opened(tmp_path)
    other = RunFolder(tmp_path, SETTINGS_A | {"num_steps": 6, "care": True}, (0,))
    with pytest.raises(UsageError, match="num_steps was 10, is 6, care was None, is True") as error:
        other.open([ROW], NAMES)
    assert "--out" in error.value.hint
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == SETTINGS_A


def test_a_setting_that_came_later_and_is_none_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    opened(tmp_path).keep(ROW, 0, "me-abab", made())
    later = RunFolder(tmp_path, SETTINGS_A | {"threshold": None}, (0,))
    later.open([ROW], NAMES)
    assert ("a", 0) in later.kept([ROW])
    assert json.loads((tmp_path / SETTINGS).read_bytes()) == SETTINGS_A


@pytest.mark.parametrize("damaged", ["{", "[]", "\0"])
def test_damaged_settings_are_refused(tmp_path: Path, damaged: str) -> None:
    (tmp_path / SETTINGS).write_text(damaged)
    with pytest.raises(UsageError, match=r"settings\.json"):
        opened(tmp_path)


def test_a_row_that_changed_is_refused(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.keep(ROW, 0, "me-abab", made())
    with pytest.raises(UsageError, match=r"has the text 'Good.*not 'Changed\.' \(line 1\)"):
        folder.open([Row("a", "Changed.", "line 1")], NAMES)
    with pytest.raises(UsageError, match="has the reference 'me-abab', not 'you-cdcd'"):
        folder.open([ROW], {"a": "you-cdcd"})
    folder.open([ROW, Row("new", "New.")], NAMES | {"new": None})


def test_other_peoples_files_are_not_replaced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already there"):
        opened(tmp_path)
    assert path.read_bytes() == before
    assert not (tmp_path / SETTINGS).exists()
