"""Lists for the evaluation: unseen sentences, and references of the same speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.evaluate.rows import read_rows
from cbflash.audio import read_clip
from cbflash.errors import UsageError
from tests.spoken_corpus import TEST, write_corpus
from training.corpus import Corpus
from training.lists import main, readings, write_list

SHORT = (0.3, 2.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(write_corpus(tmp_path_factory.mktemp("lists") / "corpus"))


@pytest.mark.parametrize("part", ["test", "closed"])
def test_speakers_take_turns_and_never_refer_to_what_they_say(corpus: Corpus, part: str) -> None:
    chosen = list(readings(corpus, "test" if part == "test" else "closed", 2, SHORT))
    assert sorted(corpus.row(one.number).speaker for one in chosen) == sorted(TEST)
    for one in chosen:
        assert corpus.row(one.number).part == part
        assert one.number not in one.reference
        for other in one.reference:
            assert corpus.row(other).speaker == corpus.row(one.number).speaker
        assert SHORT[0] <= sum(corpus.row(other).seconds for other in one.reference) <= SHORT[1]


def test_a_list_is_what_the_evaluation_reads(corpus: Corpus, tmp_path: Path) -> None:
    path = write_list(corpus, tmp_path, "free", 3, SHORT)
    found = read_rows(str(path))
    assert not found.problems
    assert len(found.rows) == 3
    expected = list(readings(corpus, "test", 3, SHORT))
    for row, reading in zip(found.rows, expected, strict=True):
        assert row.text == corpus.row(reading.number).text
        assert row.speech is not None
        assert row.reference is not None
        spoken = corpus[reading.number].samples
        assert np.abs(read_clip(row.speech).samples - spoken).max() < 1e-3
        voice = np.concatenate([corpus[one].samples for one in reading.reference])
        assert np.abs(read_clip(row.reference).samples - voice).max() < 1e-3


def test_too_few_utterances_are_told(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="only 2 such utterances, not 9"):
        list(readings(corpus, "closed", 9, SHORT))
    assert main([str(corpus.folder), str(tmp_path), "--count", "9"]) == 2
    assert "There are only 0 such utterances" in capsys.readouterr().err
