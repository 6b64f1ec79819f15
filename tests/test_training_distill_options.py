"""What the options of cbflash-distill stand for, and whether a model has room for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.errors import UsageError
from tests.autoregressive_folders import make_autoregressive
from tests.decoder_rows import VOICES
from tests.seeded_models import TINY
from training.distill.lesson import Lesson, share
from training.distill.options import parser, read_settings
from training.distill.script import Script, SpokenScript
from training.distill.settings import Settings
from training.distill.teacher import Teacher
from training.divergence import Divergence

CPU = torch.device("cpu")


def settings_of(positions: int, *options: object) -> Settings:
    """Of some options, for a tiny model of so many learned positions."""
    given = ["teacher", "texts", "--voices", "clip", "--out", "out", *map(str, options)]
    return read_settings(parser().parse_args(given), replace(TINY.t3, speech_positions=positions))


@pytest.mark.parametrize(
    ("positions", "block", "limit"),
    [(4100, 16, 1000), (512, 16, 495), (513, 16, 511), (15, 7, 11), (16, 15, 13), (3, 2, 1)],
)
def test_texts_are_as_long_as_the_model_has_positions_for(
    positions: int, block: int, limit: int
) -> None:
    """Of 14 positions behind the start blocks of 7 fill all, but those of 3, from which they grow,
    only 12: 11 tokens and the stop."""
    assert settings_of(positions, "--block", block).draw.limit == limit


def test_a_text_of_any_length_is_cut_to_what_there_is_room_for() -> None:
    assert settings_of(512, "--longest", 1e308).draw.limit == 495
    assert settings_of(512, "--longest", 2).draw.limit == 50


@pytest.mark.parametrize("block", [7, 16, 24])
def test_the_longest_text_can_be_learnt_in_blocks_of_every_size(
    tmp_path: Path, tiny_model: Path, block: int
) -> None:
    teacher = make_autoregressive(tiny_model, tmp_path / "teacher")
    decoder = Teacher.open(teacher).read_decoder(CPU)
    settings = settings_of(TINY.t3.speech_positions, "--block", block, "--steps", 100)
    script = Script(((255, 5, 0),), tuple(VOICES), 1, TINY.t3, 0)
    speech = SpokenScript(script, {0: np.arange(settings.draw.limit)}, 0.0, CPU)
    lesson = Lesson(share(decoder), decoder, speech, settings)
    spoken = speech.batch([0], np.random.default_rng(0))
    for step in (0, 15, 30, 45, 60):
        assert torch.isfinite(lesson.loss(lesson.masked(spoken, step)))


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.5, float("nan"), float("inf")])
def test_a_divergence_that_is_always_zero_is_none(beta: float) -> None:
    with pytest.raises(UsageError, match="it must be more than 0 and less than 1"):
        Divergence(beta)


def test_a_negative_number_of_ids_is_none() -> None:
    with pytest.raises(UsageError, match="top is -1; it must be at least 0"):
        Divergence(top=-1)
