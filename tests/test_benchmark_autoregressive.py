"""Teacher and student side by side: what is counted of each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from app.evaluate.rows import Row
from benchmarks.autoregressive import Taken, main, measure, table
from cbflash.builtin import builtin_folder
from cbflash.errors import UsageError
from cbflash.settings import Sampling
from cbflash.synth import ChatterboxFlash
from training.speak import load

MODEL = builtin_folder()
CLIP = Path(__file__).parent.parent / "assets" / "voices" / "sample.flac"
ROW = Row("a", "The sea is blue.", "", CLIP)


def test_a_teacher_takes_a_pass_for_each_token_and_a_student_fewer() -> None:
    models = {
        "teacher": (load(MODEL, 16), Sampling(temperature=0.2, seed=1)),
        "student": (
            ChatterboxFlash.load(MODEL, backend="cpu", dtype="float32"),
            Sampling(num_steps=4, time_shift_tau=0.0, seed=1),
        ),
    }
    taken = measure(models, [ROW, ROW])
    teacher, student = taken["teacher"], taken["student"]
    assert teacher.passes == teacher.tokens + 2, "the stop takes one too"
    assert teacher.tokens > 20
    assert student.passes == 4 * math.ceil(student.tokens / 2 / 16) * 2
    for one in taken.values():
        assert one.tokens % 2 == 0, "the same row twice, with the same seed"
        assert 0 < one.decoding < one.whole
        assert 0 < one.sound < 60


def test_a_model_that_said_nothing_has_no_speed() -> None:
    assert table({"teacher": Taken()}).endswith("| teacher | nan | nan | nan |")


def test_a_list_without_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text('{"id": "a", "text": "Hello."}')
    monkeypatch.setattr("sys.argv", ["autoregressive", str(MODEL), str(path), "--rows", "0"])
    assert main() == 1
    assert "no row to be spoken" in capsys.readouterr().err


def test_the_table_divides_by_the_sound() -> None:
    taken = {"teacher": Taken(50, 50, 4.0, 2.5, 6.0), "student": Taken(25, 10, 0.5, 1.0, 0.75)}
    lines = table(taken).splitlines()
    assert lines[2:] == [
        "| teacher | 25.0 | 2.000 | 2.400 |",
        "| student | 10.0 | 0.500 | 0.750 |",
    ]


def test_a_row_without_a_voice_is_refused() -> None:
    student = ChatterboxFlash.load(MODEL, backend="cpu")
    with pytest.raises(UsageError, match="names no voice"):
        measure({"student": (student, Sampling())}, [Row("a", "Hello.", "line 1")])
