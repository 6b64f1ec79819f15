"""The paper in miniature: what is run, and what is told and drawn of what was measured."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from app.evaluate.row_score import Hearing, RowScore
from app.evaluate.scores import Scores
from app.evaluate.sound import Effort
from app.evaluate.word_errors import score
from benchmarks import miniature
from benchmarks.miniature import GROUPS, Way, evaluate, folder_of, plot, table, with_block
from cbflash.config import read_config


def measured(folder: Path, way: Way, group: str, words: list[str], steps: int) -> None:
    """Scores of one text with a seed for each of the words that were heard."""
    effort = Effort(
        seconds=1.0, first_sound=None, steps=steps, blocks=2, ended=True, notes=(), tokens=20
    )
    rows = [
        RowScore("a", "one two", 2.0, seed, effort=effort,
                 hearings=(Hearing("closed", heard, score("one two", heard)),))
        for seed, heard in enumerate(words)
    ]  # fmt: skip
    path = folder_of(folder, group, way)
    path.mkdir(parents=True)
    Scores(tuple(rows)).save(path)


def test_a_table_tells_what_was_measured_of_a_group(tmp_path: Path) -> None:
    first, second, *_ = GROUPS["alpha"][1]
    measured(tmp_path, first, "alpha", ["one two", "one"], 20)
    measured(tmp_path, second, "alpha", ["one two", "one two"], 14)
    lines = table("alpha", tmp_path).splitlines()
    assert len(lines) == 4, "the other two were not measured"
    assert lines[0].startswith("| alpha of early decoding |  | wrong words, closed grammar | steps")
    assert lines[2].startswith("| 0 | prior-calibrated | 25.0 ± 35.4 % | 10.00 ± 0.00 |")
    assert lines[3].startswith("| 0.25 | prior-calibrated | 0.0 ± 0.0 % | 7.00 ± 0.00 |")


def test_it_is_drawn(tmp_path: Path) -> None:
    for way in GROUPS["steps"][1][::5]:
        measured(tmp_path, way, "steps", ["one two", "one"], 20)
    plot("steps", tmp_path, tmp_path / "plots")
    plot("alpha", tmp_path, tmp_path / "plots")  # of which there is nothing
    [path] = (tmp_path / "plots").iterdir()
    assert path.name == "miniature-steps.png"
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_a_way_is_spoken_with_its_options_and_every_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []

    def remember(arguments: list[str]) -> int:
        given.append(arguments)
        return 7

    monkeypatch.setattr(miniature, "cbflash", remember)
    options = argparse.Namespace(
        list=Path("list"), folder=tmp_path, model="mini", backend="cpu", seeds=2, rows=9
    )
    way = next(way for way in GROUPS["steps"][1] if way.line == "naive confidence")
    assert evaluate(way, "steps", options) == 7
    [words] = given
    assert words[:2] == ["eval", "list"]
    assert words[words.index("--out") + 1] == str(tmp_path / "steps" / "naive-confidence-4")
    assert words[words.index("--model") + 1] == "mini"
    for expected in (["--seed", "0", "--seed", "1"], ["--rows", "9"], ["--num-steps", "4"]):
        begin = words.index(expected[0])
        assert words[begin : begin + len(expected)] == expected
    assert {"--ranking", "confidence", "--no-care"} <= set(words)


def test_blocks_of_another_size_are_those_of_a_model_of_its_own(
    tiny_model: Path, tmp_path: Path
) -> None:
    made = with_block(str(tiny_model), 24, tmp_path)
    assert with_block(str(tiny_model), 24, tmp_path) == made
    assert read_config(made / "config.json").t3.block_size == 24
    before, after = (json.loads((one / "config.json").read_text()) for one in (tiny_model, made))
    assert before["sizes"]["t3"].pop("block_size", 16) == 16
    assert after["sizes"]["t3"].pop("block_size") == 24
    assert before == after
    assert {path.name for path in made.iterdir()} == {path.name for path in tiny_model.iterdir()}


def test_blocks_of_another_size_of_a_model_without_sizes(tiny_model: Path, tmp_path: Path) -> None:
    """Such as the release, whose sizes are those of the program."""
    given = tmp_path / "given"
    given.mkdir()
    for path in tiny_model.iterdir():
        if path.name != "config.json":
            (given / path.name).symlink_to(path)
    made = with_block(str(given), 8, tmp_path / "made")
    assert json.loads((made / "config.json").read_text()) == {"sizes": {"t3": {"block_size": 8}}}


def test_a_way_that_was_stopped_is_not_there_yet(tmp_path: Path) -> None:
    first, second, *_ = GROUPS["alpha"][1]
    measured(tmp_path, first, "alpha", ["one two", "one"], 20)
    folder_of(tmp_path, "alpha", second).mkdir(parents=True)
    assert len(table("alpha", tmp_path).splitlines()) == 3
