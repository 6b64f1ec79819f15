"""cbflash say --file: many lines, and going on after a stop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cbflash.errors import EngineError
from cbflash.fake import FakeBackend, Moment
from tests.fake_cli import Program, seconds_of

LINES = "# greetings\nGood morning.\n\nGood afternoon to you.\n  Good night.  \n"
TEXTS = ["Good morning.", "Good afternoon to you.", "Good night."]
FILES = ["0001.wav", "0002.wav", "0003.wav"]


@pytest.fixture
def program(program: Program) -> Program:
    program.add_voice()
    program.write("lines.txt", LINES)
    return program


def made(program: Program, folder: str = "out") -> list[str]:
    return sorted(path.name for path in (program.work / folder).glob("*.wav"))


def manifest(program: Program, folder: str = "out") -> list[dict[str, Any]]:
    path = program.work / folder / "manifest.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def failing_at(prefill: int) -> FakeBackend:
    """An engine that fails when it begins its `prefill`-th batch."""
    begun = 0

    def watch(moment: Moment) -> None:
        nonlocal begun
        begun += moment == "prefill"
        if begun == prefill:
            raise EngineError("The card fell out.")

    return FakeBackend(watch=watch)


def test_lines_become_numbered_files_and_a_manifest(program: Program) -> None:
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--seed", "10")
    assert done.code == 0
    assert made(program) == FILES
    rows = manifest(program)
    assert [row["text"] for row in rows] == TEXTS
    assert [row["file"] for row in rows] == FILES
    assert [row["seed"] for row in rows] == [10, 11, 12]
    for row in rows:
        assert row["duration"] == pytest.approx(seconds_of(program.work / "out" / row["file"]))
    assert "3 files in out: " in done.out
    assert program.litter() == []


def test_json_has_an_object_for_each_file(program: Program) -> None:
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--json")
    assert [row["file"] for row in done.records] == [f"out/{name}" for name in FILES]
    assert done.err == ""


def test_the_folder_is_named_after_the_file(program: Program) -> None:
    assert program.run("say", "--file", "lines.txt").code == 0
    assert made(program, "lines") == FILES


def test_lines_may_come_from_a_pipe(program: Program) -> None:
    done = program.spawn("say", "--file", "-", "--out-dir", "out", stdin=LINES.encode())
    assert done.code == 0, done.err
    assert made(program) == FILES


def test_a_batch_makes_the_same_files(program: Program) -> None:
    for batch in ("1", "2", "8"):
        arguments = ("--file", "lines.txt", "--out-dir", batch, "--batch", batch, "--seed", "4")
        assert program.run("say", *arguments).code == 0
    for name in FILES:
        sounds = {(program.work / folder / name).read_bytes() for folder in ("1", "2", "8")}
        assert len(sounds) == 1


def test_what_is_finished_stays_and_resume_goes_on(program: Program) -> None:
    arguments = ("say", "--file", "lines.txt", "--out-dir", "out", "--seed", "10")
    program.backend = failing_at(3)
    failed = program.run(*arguments)
    assert failed.code == 7
    assert "The card fell out." in failed.err
    assert "2 of 3 files done and kept" in failed.err
    assert "--resume" in failed.err
    assert made(program) == FILES[:2]
    assert len(manifest(program)) == 2
    before = [(program.work / "out" / name).stat().st_mtime_ns for name in FILES[:2]]

    program.backend = FakeBackend()
    done = program.run(*arguments, "--resume")
    assert done.code == 0
    assert "2 of 3 files are there already" in done.err
    assert made(program) == FILES
    assert [(program.work / "out" / n).stat().st_mtime_ns for n in FILES[:2]] == before
    assert [row["seed"] for row in manifest(program)] == [10, 11, 12]


def test_resume_keeps_each_lines_seed_whatever_is_missing(program: Program) -> None:
    arguments = ("say", "--file", "lines.txt", "--out-dir", "out", "--seed", "10", "--batch", "4")
    assert program.run(*arguments).code == 0
    whole = {name: (program.work / "out" / name).read_bytes() for name in FILES}
    for name in ("0001.wav", "0003.wav"):
        (program.work / "out" / name).unlink()
    assert program.run(*arguments, "--resume").code == 0
    assert {name: (program.work / "out" / name).read_bytes() for name in FILES} == whole
    assert [row["seed"] for row in manifest(program)] == [10, 11, 12, 10, 12]


def test_resume_of_a_finished_folder_loads_no_model(program: Program) -> None:
    assert program.run("say", "--file", "lines.txt", "--out-dir", "out").code == 0
    program.backend = FakeBackend(reason="No engine today.")
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--resume")
    assert done.code == 0
    assert "3 of 3 files are there already" in done.err


def test_resume_notices_that_the_list_has_changed(program: Program) -> None:
    assert program.run("say", "--file", "lines.txt", "--out-dir", "out").code == 0
    program.write("lines.txt", LINES.replace("afternoon", "evening"))
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--resume")
    assert done.code == 2
    assert "0002.wav was made of 'Good afternoon to you.'" in done.err
    assert "line 4" in done.err
    forced = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--force")
    assert forced.code == 0
    assert manifest(program)[-2]["text"] == "Good evening to you."
    assert program.run("say", "--file", "lines.txt", "--out-dir", "out", "--resume").code == 0


def test_a_torn_manifest_is_mended(program: Program) -> None:
    assert program.run("say", "--file", "lines.txt", "--out-dir", "out").code == 0
    path = program.work / "out" / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    (program.work / "out" / "0002.wav").unlink()
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--resume")
    assert done.code == 0
    last = path.read_text("utf-8").splitlines()[-1]
    assert json.loads(last)["file"] == "0002.wav"


def test_files_that_are_there_are_not_replaced(program: Program) -> None:
    (program.work / "out").mkdir()
    program.write("out/0002.wav", "precious")
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out")
    assert done.code == 8
    assert "0002.wav is already there" in done.err
    assert "--resume" in done.err
    assert made(program) == ["0002.wav"]
    assert program.run("say", "--file", "lines.txt", "--out-dir", "out", "--force").code == 0
    assert seconds_of(program.work / "out" / "0002.wav") > 0.3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no line to speak"),
        ("# only a comment\n\n   \n", "has no line to speak"),
        ("Good.\n!!!\n", "lines.txt, line 2: Nothing in '!!!' can be spoken"),
    ],
)
def test_lists_that_cannot_be_spoken_are_refused(program: Program, text: str, words: str) -> None:
    program.write("lines.txt", text)
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out")
    assert done.code == 2
    assert words in done.err
    assert not (program.work / "out").exists()


def test_lines_do_not_go_into_one_file(program: Program) -> None:
    done = program.run("say", "--file", "lines.txt", "--out", "out.wav")
    assert done.code == 2
    assert "--out-dir" in done.err
    assert "--long" in done.err


def test_line_ends_of_other_systems_are_line_ends(program: Program) -> None:
    program.write("lines.txt", "Good morning.\r\nGood night.\r\n")
    done = program.run("say", "--file", "lines.txt", "--out-dir", "out", "--json")
    assert [row["text"] for row in done.records] == ["Good morning.", "Good night."]
