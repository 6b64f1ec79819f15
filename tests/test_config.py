"""Sizes from config.json: the release's by default, and nothing accepted that is not a size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cbflash.config import ModelConfig, T3Config, read_config
from cbflash.errors import ModelError


def test_sizes_survive_a_round_trip_through_json() -> None:
    config = ModelConfig(name="other", t3=T3Config(width=64, layers=2))
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_absent_sizes_are_the_released_ones() -> None:
    config = ModelConfig.from_dict({"t3": {"layers": 2}})
    assert config.t3 == T3Config(layers=2)
    assert config.hift == ModelConfig().hift


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"t5": {}}, "unknown size 't5'"),
        ({"t3": {"widht": 3}}, "unknown size 'widht' in T3Config"),
        ({"t3": {"width": "64"}}, "T3Config.width"),
        ({"t3": {"width": -1}}, "T3Config.width"),
        ({"t3": {"width": True}}, "T3Config.width"),
        ({"t3": 5}, "T3Config must be a JSON object"),
        ({"flow": {"meanflow": 1}}, "FlowConfig.meanflow"),
        ({"hift": {"upsample_rates": [8, "5"]}}, "HiFTConfig.upsample_rates"),
        ({"name": 7}, "ModelConfig.name"),
    ],
)
def test_bad_sizes_are_named(sizes: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelConfig.from_dict(sizes)


@pytest.mark.parametrize("text", ["{", "[]", "5", '"sizes"'])
def test_a_file_that_is_no_config_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        read_config(path)
