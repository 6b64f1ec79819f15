"""Options are checked once, with messages that name the option and what it may be."""

from __future__ import annotations

import dataclasses
import math

import pytest

from cbflash.errors import UsageError
from cbflash.settings import PRESETS, Sampling


def test_best_is_the_released_default() -> None:
    best = PRESETS["best"]
    assert (best.num_steps, best.temperature, best.time_shift_tau) == (10, 0.6, 0.1)
    assert (best.omnivoice_schedule_t_shift, best.cfg_scale, best.position_temperature) == (
        0.5,
        1.0,
        5.0,
    )
    assert (best.n_cfm_timesteps, best.exaggeration, best.prior_calibration) == (2, 0.5, True)


def test_paper_is_the_papers_setting() -> None:
    paper = Sampling.preset("paper")
    assert (paper.num_steps, paper.temperature, paper.time_shift_tau) == (8, 0.2, 0.5)


def test_presets_take_changes() -> None:
    changed = Sampling.preset("fast", seed=7, temperature=0)
    assert changed == dataclasses.replace(PRESETS["fast"], seed=7, temperature=0)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_steps", 0),
        ("num_steps", 2.5),
        ("num_steps", True),
        ("num_steps", "10"),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", None),
        ("time_shift_tau", -1),
        ("omnivoice_schedule_t_shift", -0.5),
        ("cfg_scale", 21),
        ("position_temperature", -5),
        ("n_cfm_timesteps", 0),
        ("exaggeration", 3),
        ("threshold", -0.01),
        ("threshold", 1.5),
        ("threshold", "0.015"),
        ("max_speech_tokens", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("end_rule", "soon"),
        ("ranking", "random"),
    ],
)
def test_a_bad_value_is_named(option: str, value: object) -> None:
    with pytest.raises(UsageError, match=option):
        Sampling(**{option: value})


def test_what_positions_are_scored_against() -> None:
    assert Sampling().prior == "unconditional"
    assert Sampling(prior_calibration=False).prior == "block"
    assert Sampling(ranking="confidence").prior == "none"
    assert Sampling(ranking="confidence", prior_calibration=False).prior == "none"


def test_a_threshold_goes_with_our_end_rule_only() -> None:
    assert Sampling(threshold=0.015).threshold == 0.015
    with pytest.raises(UsageError, match=r"no threshold.*'finish'"):
        Sampling(threshold=0.015, end_rule="released")


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'fastest'.*best, paper, fast, draft"):
        Sampling.preset("fastest")
    with pytest.raises(UsageError, match=r"'temprature'.*temperature"):
        Sampling.preset("best", temprature=0.5)
