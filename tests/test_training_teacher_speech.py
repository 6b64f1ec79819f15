"""What the teacher says, and the commands from a teacher to its students."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.errors import UsageError
from cuda_backend.t3 import T3
from tests.spoken_corpus import SIZES, make_recipe, make_speech, write_recipe, write_work
from training import student, teacher, teacher_speech
from training.autoregressive import Draw, speak
from training.checkpoints import checkpoints_in, load
from training.features import Features
from training.spoken import Speech
from training.teacher import make_decoder
from training.teacher_speech import SpeechSettings, make, read_teacher_speech

CONFIG = SIZES.t3
SETTINGS = SpeechSettings(count=10, batch=4, temperature=1.0, top_p=1.0, limit=60)


@pytest.fixture(scope="module")
def speech(spoken_features: Path) -> Speech:
    return make_speech(Features(spoken_features), pairs=0.5)


@pytest.fixture(scope="module")
def model() -> T3:
    """It says its stop now and then."""
    model = make_decoder(make_recipe()).requires_grad_(False)
    model.speech_head.weight *= 2
    return model


def test_it_says_texts_that_are_trained_on(speech: Speech, model: T3, tmp_path: Path) -> None:
    assert list(make(tmp_path, speech, model, SETTINGS, 3)) == [4, 8, 10]
    found = read_teacher_speech(tmp_path)
    assert 2 <= len(found) < 10, "some never ended"
    assert set(found) <= set(speech.places("train", pairs=False))
    for row in found.values():
        assert 0 < len(row) < SETTINGS.limit
        assert CONFIG.stop_speech not in row


@pytest.mark.parametrize("period", [0, 4])
def test_of_each_batch_it_says_what_the_model_says(
    speech: Speech, model: T3, tmp_path: Path, period: int
) -> None:
    list(make(tmp_path, speech, model, SETTINGS, 3, period))
    numbers = np.random.default_rng(3)
    places = numbers.permutation(speech.places("train", pairs=False))[:10]
    places = places[np.argsort([len(speech.text(place)) for place in places], kind="stable")]
    prefix = speech.batch([*map(int, places[4:8])], np.random.default_rng([3, 4])).prefix
    draw = Draw(1.0, 1.0, limit=SETTINGS.limit, period=period)
    said = speak(model, prefix, draw, torch.Generator().manual_seed(7))
    found = read_teacher_speech(tmp_path)
    ended = [
        (at, row)
        for at, row in zip(places[4:8], said, strict=True)
        if 0 < len(row) < SETTINGS.limit
    ]
    assert ended
    for at, row in ended:
        assert found[int(at)].tolist() == row.tolist()


def test_what_was_said_is_not_said_again(speech: Speech, model: T3, tmp_path: Path) -> None:
    steps = make(tmp_path, speech, model, SETTINGS, 3)
    assert next(steps) == 4
    steps.close()
    [first] = (tmp_path / "teacher_speech").glob("*.npz")
    before = first.stat().st_mtime_ns
    list(make(tmp_path, speech, model, SETTINGS, 3))
    assert first.stat().st_mtime_ns == before
    other = tmp_path / "other"
    other.mkdir()
    list(make(other, speech, model, SETTINGS, 3))
    one, two = read_teacher_speech(tmp_path), read_teacher_speech(other)
    assert {at: row.tolist() for at, row in one.items()} == {
        at: row.tolist() for at, row in two.items()
    }


def test_speech_of_another_teacher_or_with_other_numbers_is_not_mixed(
    speech: Speech, model: T3, tmp_path: Path
) -> None:
    """More texts have another order, and the files are named by places in it."""
    list(make(tmp_path, speech, model, SETTINGS, 3))
    for settings, seed in ((replace(SETTINGS, count=12), 3), (SETTINGS, 4)):
        with pytest.raises(UsageError, match=r"made with another (count, )?.*texts.*Remove"):
            list(make(tmp_path, speech, model, settings, seed))
    other = copy.deepcopy(model)
    other.speech_head.weight *= 2
    with pytest.raises(UsageError, match="made with another teacher"):
        list(make(tmp_path, speech, other, SETTINGS, 3))


def test_where_nothing_was_said_there_is_nothing_to_learn(
    speech: Speech, model: T3, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"said nothing. Run training\.teacher_speech"):
        read_teacher_speech(tmp_path)
    unended = SpeechSettings(count=4, batch=4, temperature=0.0, limit=1)
    list(make(tmp_path, speech, model, unended, 3))
    with pytest.raises(UsageError, match="said nothing"):
        read_teacher_speech(tmp_path)


# -- the commands -----------------------------------------------------------------------------


def test_from_a_teacher_to_its_students(
    spoken_features: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell, told = Speech.told, []

    def remember(self: Speech, tokens: Mapping[int, np.ndarray]) -> Speech:
        told.append(set(tokens))
        return tell(self, tokens)

    monkeypatch.setattr(Speech, "told", remember)
    write_work(tmp_path, spoken_features)
    few = {"steps": 1, "tokens": 60}
    recipe = write_recipe(
        tmp_path / "small.toml",
        teacher=few,
        teacher_speech={"count": 12, "batch": 12, "temperature": 1.0, "top_p": 1.0, "limit": 120},
        student_paper=few,
        student_distill=few | {"annealed": 1},
    )
    arguments = [str(tmp_path), "--recipe", recipe]
    assert student.main(arguments) != 0
    assert "teacher holds no checkpoint. Train that stage first." in capsys.readouterr().err
    assert teacher.main(arguments) == 0
    assert student.main([*arguments, "--by", "distill"]) == 2
    assert "The teacher has said nothing." in capsys.readouterr().err
    assert teacher_speech.main(arguments) == 0
    assert "12 of 12 utterances" in capsys.readouterr().err
    for by in ("paper", "distill"):
        assert student.main([*arguments, "--by", by]) == 0
        [path] = checkpoints_in(tmp_path / f"student_{by}")
        assert json.loads((path / "state.json").read_text("utf-8"))["config"]["by"] == by
        load(tmp_path / f"student_{by}", "t3", T3(CONFIG))
        learnt_from = [] if by == "paper" else [set(read_teacher_speech(tmp_path))]
        assert told == learnt_from
