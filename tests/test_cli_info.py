"""cbflash info: what this machine has."""

from __future__ import annotations

import pytest

from cbflash import __version__
from cbflash.fake import FakeBackend
from tests.fake_cli import Program


def test_info_for_a_person(program: Program) -> None:
    program.add_voice("me")
    told = program.run("info").out
    for words in (
        f"cbflash {__version__}",
        str(program.home),
        "offline: no",
        "fake 1.0 on imagination",
        "tiny (",
        "  me\n",
    ):
        assert words in told


def test_info_for_a_program(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program.backend = FakeBackend(reason="Its driver is too old.")
    monkeypatch.setenv("CBFLASH_BACKEND", "fake")
    [facts] = program.run("info", "--json").records
    assert facts["version"] == __version__
    assert facts["data"] == str(program.home)
    assert facts["backend"] == "fake"
    [engine] = facts["engines"]
    assert engine["available"] is False
    assert engine["reason"] == "Its driver is too old."
    assert [model["name"] for model in facts["models"]] == ["tiny"]
    assert facts["voices"] == []


def test_a_missing_engine_says_why(program: Program) -> None:
    program.backend = FakeBackend(reason="Its driver is too old.")
    assert "fake: not here. Its driver is too old." in program.run("info").out


@pytest.mark.parametrize("arguments", [["--offline", "info"], ["info", "--offline"]])
def test_info_knows_the_offline_switch(program: Program, arguments: list[str]) -> None:
    assert "offline: yes" in program.run(*arguments).out
    assert program.run(*arguments, "--json").records[0]["offline"] is True


def test_an_empty_home_is_no_error(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBFLASH_HOME", str(program.folder / "nowhere"))
    told = program.run("info")
    assert told.code == 0
    assert "models: none" in told.out
    assert not (program.folder / "nowhere").exists(), "looking makes nothing"
