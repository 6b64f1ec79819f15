"""What networks hear of a corpus is what the product would let them hear."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cbflash.conditioning import embed_reference, embed_speaker
from cbflash.errors import UsageError
from cbflash.features import sinc_resample_24k_to_16k, subtract_mean, voice_encoder_windows
from cbflash.spectrum import Floats
from cbflash.tokens import SAMPLES_PER_TOKEN
from tests.spoken_corpus import TEST, TRAIN
from training.corpus import Corpus
from training.corpus.shards import index_path
from training.features import FBANK_FRAMES, KINDS, Features, main, make_features


@pytest.fixture(scope="module")
def corpus(spoken_corpus: Path) -> Corpus:
    return Corpus(spoken_corpus)


@pytest.fixture(scope="module")
def features(spoken_features: Path) -> Features:
    return Features(spoken_features)


@dataclass
class Listener:
    """`cbflash.conditioning.Encoders` that remember what they are given."""

    heard: dict[str, Floats] = field(default_factory=dict)

    def speech_tokens(self, log_mel: Floats) -> np.ndarray:
        self.heard["log_mel"] = log_mel
        return np.zeros(log_mel.shape[1] // 4, np.int32)

    def x_vector(self, fbank: Floats) -> Floats:
        self.heard["fbank"] = fbank
        return np.zeros(3, np.float32)

    def speaker_embedding(self, windows: Floats) -> Floats:
        self.heard["windows"] = windows
        return np.ones((len(windows), 3), np.float32)


def whole_tokens(corpus: Corpus, number: int) -> Floats:
    samples = corpus[number].samples
    assert len(samples) % SAMPLES_PER_TOKEN, "there is something to leave out"
    return samples[: len(samples) // SAMPLES_PER_TOKEN * SAMPLES_PER_TOKEN]


def stored(array: Floats) -> Floats:
    return array.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("place", [0, 5, 15, 20])
def test_arrays_are_what_encoders_hear(corpus: Corpus, features: Features, place: int) -> None:
    listener, samples = Listener(), whole_tokens(corpus, place)
    mel = embed_reference(samples, listener).s3_mel
    embed_speaker(sinc_resample_24k_to_16k(samples), listener)
    assert np.array_equal(features.read("mel", place), stored(mel))
    assert np.array_equal(features.read("log_mel", place), stored(listener.heard["log_mel"].T))
    fbank = features.read("fbank", place).astype(np.float32)
    assert np.abs(subtract_mean(fbank) - listener.heard["fbank"]).max() < 2e-2
    windows = voice_encoder_windows(features.read("voice_mel", place))
    assert np.array_equal(windows, listener.heard["windows"])


def test_there_are_as_many_rows_as_a_token_has(corpus: Corpus, features: Features) -> None:
    assert len(features) == len(corpus) == 21
    for place, item in enumerate(features.items):
        assert item.tokens == len(corpus[place].samples) // SAMPLES_PER_TOKEN
        shapes = {kind: features.read(kind, place).shape for kind in KINDS}
        assert shapes["log_mel"] == (4 * item.tokens, 128)
        assert shapes["mel"] == (2 * item.tokens, 80)
        assert shapes["fbank"] == (4 * item.tokens - 2, 80)
        assert shapes["voice_mel"][1] == 40
        assert {kind: shape[0] for kind, shape in shapes.items()} == item.rows
        assert {kind: str(features.read(kind, place).dtype) for kind in KINDS} == KINDS


def test_items_are_the_rows_of_the_corpus(corpus: Corpus, features: Features) -> None:
    for item, utterance in zip(features.items, corpus, strict=True):
        assert (item.text, item.speaker) == (utterance.text, utterance.speaker)
        assert (item.part, item.kind) == (utterance.part, utterance.kind)
    assert [item.number for item in features.items] == list(range(21))


def test_parts_and_speakers(features: Features) -> None:
    assert {part: len(features.part(part)) for part in ("train", "valid", "test", "closed")} == {
        "train": 12, "valid": 3, "test": 4, "closed": 2,
    }  # fmt: skip
    assert sorted(features.speakers("train")) == list(TRAIN)
    assert sorted(features.speakers("closed")) == list(TEST)
    for speaker, places in features.speakers("train").items():
        assert [features.items[place].speaker for place in places] == [speaker] * 4


def test_what_is_there_is_not_made_again(
    spoken_corpus: Path, spoken_features: Path, tmp_path: Path
) -> None:
    """One shard is whole; of the other the arrays are there, but not the index behind them."""
    folder = tmp_path / "features"
    shutil.copytree(spoken_features, folder)
    (folder / "00001.json").unlink()
    (folder / "00001.mel.npy").write_bytes(b"half")
    (folder / "00000.mel.npy").write_bytes(b"as it was")
    assert list(make_features(spoken_corpus, folder)) == [(1, 2), (2, 2)]
    assert (folder / "00000.mel.npy").read_bytes() == b"as it was"
    for name in ("00001.json", "00001.mel.npy", "00001.fbank.npy"):
        assert (folder / name).read_bytes() == (spoken_features / name).read_bytes()
    assert list(make_features(spoken_corpus, folder)) == [(2, 2)]


@pytest.mark.parametrize("shard", [0, 1])
def test_a_corpus_has_to_be_whole(spoken_corpus: Path, tmp_path: Path, shard: int) -> None:
    """Numbers of utterances change while shards are missing."""
    corpus, folder = tmp_path / "corpus", tmp_path / "features"
    shutil.copytree(spoken_corpus, corpus)
    index_path(corpus, shard).unlink()
    with pytest.raises(UsageError, match=r"of its 2 shards 1 are missing\. Finish it"):
        list(make_features(corpus, folder))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("shard", "there", "other"),
    [
        (0, "a, ann.", "a, Ann."),
        (1, '"speaker": "bob"', '"speaker": "bab"'),
        (1, '"part": "valid"', '"part": "train"'),
    ],
)
def test_features_of_another_corpus_are_refused(
    spoken_corpus: Path, spoken_features: Path, tmp_path: Path, shard: int, there: str, other: str
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(spoken_corpus, corpus)
    index = index_path(corpus, shard)
    assert there in index.read_text("utf-8")
    index.write_text(index.read_text("utf-8").replace(there, other, 1), "utf-8")
    with pytest.raises(UsageError, match="holds features of another corpus"):
        list(make_features(corpus, spoken_features))


def test_features_of_other_sound_or_of_more_are_refused(
    spoken_corpus: Path, spoken_features: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    shutil.copytree(spoken_features, folder)
    index = folder / "00001.json"
    items = json.loads(index.read_text("utf-8"))
    for change in ({"tokens": items[-1]["tokens"] + 1}, {"number": 21}):
        index.write_text(json.dumps([*items[:-1], items[-1] | change]), "utf-8")
        with pytest.raises(UsageError, match="holds features of another corpus"):
            list(make_features(spoken_corpus, folder))


def test_references_are_cut_or_repeated(features: Features) -> None:
    fbank = features.read("fbank", 0).astype(np.float32)
    assert len(fbank) < FBANK_FRAMES
    repeated = np.concatenate([fbank] * 9)[:FBANK_FRAMES]
    first, again = features.references([0, 0])
    assert np.array_equal(first, subtract_mean(repeated))
    assert np.array_equal(again, first)


def test_there_is_at_least_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "features"), "--workers", "0"])
    assert "--workers: 0 is less than 1" in capsys.readouterr().err


def test_an_empty_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"holds no features. Make them"):
        Features(tmp_path)
    assert main([str(tmp_path), str(tmp_path / "features")]) == 2
    assert "training.features: " in capsys.readouterr().err
