"""The command cbflash-convert: what it says, what it leaves, how it ends; and its progress."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbflash.checkpoint import Checkpoint
from cbflash.tensorfile import TensorFile
from convert import Progress, convert
from convert.__main__ import main
from convert.progress import ProgressLine
from tests.folders import leftovers
from tests.hub_server import HubServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CBFLASH_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CBFLASH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def release(tmp_path: Path, tiny_model: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "release"))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_converts_verifies_and_says_so(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "8bit"
    code, said, told = run(capsys, tiny_model, "--bits", 8, "--out", out, "--verify")
    assert code == 0
    assert Checkpoint.open(out).kind == "converted"
    assert f"{out}: 4 MB -> " in said
    assert "| decoder | 0.999" in said
    assert "decoder: 32/32 parameters, 100%" in told


def test_the_result_goes_to_the_models_folder(
    home: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, _ = run(capsys, tiny_model, "--bits", 16, "--dtype", "fp16")
    assert code == 0
    assert Checkpoint.open(home / "models" / "tiny-fp16").kind == "converted"


def test_a_hub_id_is_downloaded_once(
    home: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with HubServer("org/tiny", {"main": ("a" * 40, tiny_model)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        assert run(capsys, "org/tiny")[0] == 0
        asked = len(hub.log)
        assert run(capsys, "org/tiny", "--bits", 8)[0] == 0
        assert len(hub.log) == asked
    result = json.loads((home / "models" / "org--tiny-8bit" / "config.json").read_text("utf-8"))
    assert result["source"]["name"] == "org/tiny"
    assert result["source"]["revision"] == "a" * 40


def truncated(release: Path) -> Path:
    path = release / "s3gen.safetensors"
    os.truncate(path, path.stat().st_size - 100)
    return release


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere/at/all",), 2, "no folder nowhere/at/all"),
        (("./nowhere",), 2, "no folder ./nowhere"),
        (("{tiny}", "--bits", "5"), 2, "bits is 5. It must be one of 4, 8, 16"),
        (("{tiny}", "--group-size", "48"), 2, "It must be one of 32, 64, 128"),
        (("{tiny}", "--dtype", "int8"), 2, "dtype is 'int8'"),
        (("{tiny}", "--out", "{tiny}", "--force"), 2, "is the source itself"),
        (("{four}", "--out", "{place}/out"), 2, "is converted already"),
        (("{tiny}", "--out", "{place}"), 8, "is already there"),
        (("{truncated}", "--out", "{place}/out"), 5, "100 bytes are missing"),
        (("{place}", "--out", "{place}/out"), 5, "is no complete model"),
        (("{tiny}", "--upload", "me/model"), 2, "needs an access token"),
    ],
)
def test_a_mistake_gets_one_plain_sentence(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    tiny_model: Path,
    tiny_4bit: Path,
    release: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    before = leftovers(tiny_model)
    filled = [
        argument.format(tiny=tiny_model, four=tiny_4bit, place=place, truncated=release)
        for argument in arguments
    ]
    if "{truncated}" in arguments:
        truncated(release)
    found, said, told = run(capsys, *filled)
    assert found == code
    assert said == ""
    assert words in told
    assert "Traceback" not in told
    assert leftovers(place) == []
    assert leftovers(tiny_model) == before


def test_force_replaces_an_old_result(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(capsys, tiny_model, "--out", out)[0] == 0
    assert run(capsys, tiny_model, "--out", out, "--bits", 8)[0] == 8
    assert run(capsys, tiny_model, "--out", out, "--bits", 8, "--force")[0] == 0
    t3 = TensorFile.open(out / "t3.safetensors")
    assert t3["t3.speech_head.weight"].shape == (8194, 64 * 8 // 32)


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    for word in ("--bits", "--group-size", "--verify", "--upload", "ResembleAI/chatterbox-flash"):
        assert word in said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking() -> Iterator[float]:
    seconds = 0.0
    while True:
        yield seconds
        seconds += 1.0


def test_progress_says_how_fast_and_how_long() -> None:
    terminal, time = Terminal(), ticking()
    line = ProgressLine(terminal, lambda: next(time))
    for done in range(5):
        line(Progress("t3", done, 4, done * 10_000_000, 40_000_000))
    assert "decoder: 2/4 parameters, 50%, 10 MB/s, 2 s left" in terminal.getvalue()
    assert terminal.getvalue().endswith("decoder: 4/4 parameters, 100%, 10 MB/s, 4.0 s\n")


def test_progress_in_a_file_is_a_line_a_stage() -> None:
    file, time = io.StringIO(), ticking()
    line = ProgressLine(file, lambda: next(time))
    for stage in ("check", "t3"):
        for done in range(5):
            line(Progress(stage, done, 4, done * 10_000_000, 40_000_000))
    assert [text.partition(":")[0] for text in file.getvalue().splitlines()] == [
        "checking the source",
        "decoder",
    ]


def test_progress_counts_everything_once(tmp_path: Path, tiny_model: Path) -> None:
    seen: list[Progress] = []
    convert(tiny_model, tmp_path / "out", progress=seen.append)
    assert list(dict.fromkeys(one.stage for one in seen)) == ["check", "t3", "s3gen", "ve"]
    for stage in ("check", "t3", "s3gen", "ve"):
        mine = [one for one in seen if one.stage == stage]
        assert mine[-1].done == mine[-1].total
        assert mine[-1].read == mine[-1].size
        assert [one.read for one in mine] == sorted(one.read for one in mine)
