"""The autoregressive teacher: its loss is that of what counts, and it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import training.teacher
from cuda_backend.t3 import T3
from tests.spoken_corpus import (
    CODES,
    SIZES,
    make_recipe,
    make_speech,
    speaker_number,
    stop_at,
)
from training.checkpoints import load
from training.features import Features
from training.spoken import Speech, Spoken
from training.t3 import Layout, Prefix, hidden_states, logits
from training.teacher import TeacherStage, main, make_decoder, next_token_loss

PLACES = [0, 15, 7, 3]


@pytest.fixture(scope="module")
def features(spoken_features: Path) -> Features:
    return Features(spoken_features)


@pytest.fixture(scope="module")
def speech(features: Features) -> Speech:
    return make_speech(features, pairs=0.5, unconditional=0.2)


@pytest.fixture(scope="module")
def loud() -> T3:
    """It expects some tokens more than others."""
    model = make_decoder(make_recipe()).requires_grad_(False)
    model.speech_head.weight *= 10
    return model


def stage(speech: Speech, folder: Path, **settings: object) -> TeacherStage:
    return TeacherStage(make_recipe(teacher={"tokens": 100, **settings}), speech, folder)


def parameters(model: T3) -> list[float]:
    return torch.cat([one.detach().flatten() for one in model.parameters()]).tolist()


def told(batch: Spoken, untold: bool = False) -> Spoken:
    return replace(batch, unconditional=torch.full((len(batch.speech),), untold))


def alone(model: T3, batch: Spoken, row: int, period: int = 0) -> Tensor:
    """The losses of a row's tokens and its stop, in float32 and without padding."""
    prefix, length = batch.prefix, int(batch.lengths[row])
    one = slice(row, row + 1)
    text = prefix.text[one, : prefix.lengths[row]]
    parts = (prefix.lengths[one], prefix.speaker[one], prefix.prompt[one], prefix.exaggeration[one])
    ids = batch.speech[one, : length + 2]
    hidden = hidden_states(
        model, Prefix(text, *parts), ids, Layout.causal(length + 2, period=period),
        unconditional=batch.unconditional[one],
    )  # fmt: skip
    return F.cross_entropy(logits(model, hidden)[0], ids[0, 1:], reduction="none")


@pytest.mark.parametrize(("untold", "period"), [(False, 0), (True, 0), (False, 3)])
def test_the_loss_is_of_all_tokens_and_one_stop_of_each_row(
    speech: Speech, loud: T3, untold: bool, period: int
) -> None:
    batch = told(speech.batch(PLACES, np.random.default_rng(1)), untold)
    losses = torch.cat([alone(loud, batch, row, period) for row in range(len(PLACES))])
    assert len(losses) == sum(int(length) + 1 for length in batch.lengths)
    assert losses.std() > 0.5
    found = next_token_loss(loud, batch, period).item()
    assert found == pytest.approx(losses.mean().item(), rel=3e-3)


def test_rows_that_are_not_told_do_not_know_what_to_say(speech: Speech, loud: T3) -> None:
    batch = speech.batch(PLACES, np.random.default_rng(1))
    prefix = batch.prefix
    other = replace(batch, prefix=replace(prefix, text=prefix.text + 1, speaker=-prefix.speaker))
    assert next_token_loss(loud, told(batch)) != next_token_loss(loud, told(other))
    assert next_token_loss(loud, told(batch, True)) == next_token_loss(loud, told(other, True))


def test_a_seed_decides_how_it_begins() -> None:
    recipe = make_recipe()
    one, again = make_decoder(recipe), make_decoder(recipe)
    assert parameters(one) == parameters(again)
    assert parameters(one) != parameters(make_decoder(replace(recipe, seed=4)))
    assert all(parameter.requires_grad for parameter in one.parameters())


def test_it_learns(speech: Speech, tmp_path: Path) -> None:
    """That a speaker has sixteen of the 84 ids."""
    teacher = stage(speech, tmp_path, steps=40, rate=1e-2)
    before = teacher.judge()
    assert teacher.train()
    after = teacher.judge()
    assert set(after) == {"valid", "test", "closed"}
    assert before["valid"] == pytest.approx(np.log(SIZES.t3.speech_vocab), abs=0.1)
    assert after["valid"] < before["valid"] - 0.4
    assert teacher.judge() == after, "it is always judged on the same"


def test_some_voices_may_be_learnt_from_alone(speech: Speech, tmp_path: Path) -> None:
    heard: list[set[int]] = []

    def remember(batch: Spoken) -> None:
        tokens = batch.speech[:, 1:][batch.counted]
        heard.append(set((tokens[tokens < CODES] // 16).tolist()))

    teacher = stage(speech, tmp_path, steps=10, tokens=40, voices=["bob"])
    with pytest.MonkeyPatch.context() as patch:
        listen_to(patch, remember)
        assert teacher.train()
    assert len(heard) == 10
    assert set().union(*heard) == {speaker_number("bob")}


def listen_to(patch: pytest.MonkeyPatch, remember: Callable[[Spoken], None]) -> None:
    """Let `remember` have each batch that is learnt from."""
    loss = training.teacher.next_token_loss

    def listening(model: T3, batch: Spoken, period: int = 0) -> Tensor:
        if torch.is_grad_enabled():
            remember(batch)
        return loss(model, batch, period)

    patch.setattr(training.teacher, "next_token_loss", listening)


# -- letters ----------------------------------------------------------------------------------


def heard_by(teacher: TeacherStage, batch: Spoken) -> tuple[Tensor, Tensor]:
    """What the middle of the decoder says, and the loss of its letters."""
    with torch.no_grad(), teacher.spelling.listening() as heard:
        next_token_loss(teacher.model, batch)
    [hidden] = heard
    return hidden.float(), teacher.spelling.loss(hidden.float(), batch)


def test_letters_are_of_the_token_that_follows_and_of_rows_that_are_told(
    speech: Speech, tmp_path: Path
) -> None:
    teacher = stage(speech, tmp_path)
    batch = speech.batch(PLACES, np.random.default_rng(2))
    batch = replace(batch, unconditional=torch.tensor([False, True, False, False]))
    assert batch.letters is not None
    hidden, loss = heard_by(teacher, batch)
    prefix = hidden.shape[1] - batch.speech.shape[1]
    losses = []
    for row in (0, 2, 3):
        for token in range(int(batch.lengths[row])):
            scores = teacher.spelling.letters(hidden[row, prefix + token]).view(2, -1)
            place = int(batch.letters[row, token])
            letters = batch.prefix.text[row, place : place + 2]
            losses.append(F.cross_entropy(scores, letters))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)
    assert teacher.spelling.loss(hidden, told(batch, untold=True)).item() == 0, "nobody is told"


def test_letters_are_learnt_and_thrown_away(speech: Speech, tmp_path: Path) -> None:
    batch = speech.batch(PLACES, np.random.default_rng(2))
    batch = replace(batch, unconditional=torch.zeros(len(PLACES), dtype=torch.bool))
    losses = {}
    for spelling in (0.0, 1.0):
        teacher = stage(speech, tmp_path / str(spelling), steps=40, rate=1e-2, spelling=spelling)
        assert teacher.train()
        losses[spelling] = heard_by(teacher, batch)[1].item()
    assert losses[1.0] < losses[0.0] - 0.3
    assert not [name for name in teacher.model.state_dict() if "letters" in name]
    load(tmp_path / "1.0", "t3", make_decoder(make_recipe()))


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage(speech, tmp_path / "whole", steps=6)
    assert not whole.resume()
    assert whole.train()
    with monkeypatch.context() as patch:
        stop_at(patch, Speech, 3)
        stopped = stage(speech, tmp_path / "stopped", steps=6)
        assert not stopped.train()
    resumed = stage(speech, tmp_path / "stopped", steps=6)
    assert resumed.train()
    assert parameters(resumed.model) == parameters(whole.model) != parameters(stopped.model)
    again = stage(speech, tmp_path / "whole", steps=6)
    assert again.resume()
    assert parameters(again.model) == parameters(whole.model)


def test_what_lacks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--recipe", "nobody"]) == 2
    assert main([str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("training.teacher: The recipe")
    assert lines[1].startswith("training.teacher: ")
    assert "features holds no features" in lines[1]
