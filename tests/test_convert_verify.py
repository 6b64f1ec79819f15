"""Comparing a result with its source."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cbflash.checkpoint import Checkpoint
from cbflash.errors import ModelError
from convert.metrics import agreement, cosine, divergence, log_mel_distance, top_agreement
from convert.verify import Line, require_sound, table, verify
from tests.folders import replace_tensor


def test_metrics_of_known_arrays() -> None:
    one, other = np.array([3.0, 4.0], np.float32), np.array([4.0, 3.0], np.float32)
    assert cosine(one, other) == pytest.approx(24 / 25)
    assert cosine(one, 0 * other) == 0.0
    logits = np.log(np.array([[0.5, 0.5], [0.25, 0.75]], np.float32))
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    assert divergence(logits, logits).tolist() == [0.0, 0.0]
    assert divergence(logits[1:], logits[:1] + 7.0)[0] == pytest.approx(expected, rel=1e-5)
    assert top_agreement(logits, logits[:, ::-1]) == 0.5
    assert agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == 0.75
    tenfold = np.zeros((2, 3), np.float32), np.full((2, 3), np.log(10.0), np.float32)
    assert log_mel_distance(*tenfold) == pytest.approx(20.0)


@pytest.mark.parametrize("likeness", [0.2, -1.0, float("nan")])
def test_a_broken_network_is_an_error(likeness: float) -> None:
    lines = [Line("decoder", 0.9, ""), Line("flow", likeness, "log-mel 30 dB")]
    with pytest.raises(ModelError, match="flow"):
        require_sound(lines)
    require_sound(lines[:1])
    assert "| flow |" in table(lines)


def test_verify_finds_a_broken_result(tmp_path: Path, tiny_model: Path, tiny_4bit: Path) -> None:
    broken = Path(shutil.copytree(tiny_4bit, tmp_path / "broken"))
    replace_tensor(broken / "t3.safetensors", "t3.norm.weight", 0x7FC0)  # NaN in bfloat16
    lines = verify(Checkpoint.open(tiny_model), Checkpoint.open(broken))
    with pytest.raises(ModelError, match="decoder"):
        require_sound(lines)
