"""The table of mels, where there is nothing to make them of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbflash.errors import UsageError
from training import flow_table
from training.features import Features
from training.flow_table import main
from training.prompted import PromptedSpeech


@pytest.mark.parametrize("option", ["--utterances", "--prompt"])
def test_there_is_at_least_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), option, "0"])
    assert f"{option}: 0 is less than 1" in capsys.readouterr().err


def test_a_corpus_without_tests_is_refused(
    spoken_features: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = Features(spoken_features)
    tokens = np.zeros(sum(item.tokens for item in features.items), np.int64)
    speech = PromptedSpeech(features, tokens, lambda banks: banks, (1, 1))
    monkeypatch.setattr(features, "part", lambda name: [])
    monkeypatch.setattr(flow_table, "read_codec", lambda work, sizes: None)
    monkeypatch.setattr(flow_table, "open_speech", lambda work, codec, prompt: speech)
    assert main([str(tmp_path)]) == UsageError.exit_code
    assert "has no utterance of the part test" in capsys.readouterr().err
