"""The threshold's rule, and that both engines keep to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as mlx_nn
import numpy as np
import pytest
import torch

from cbflash.filling import FillKind, Prior
from cbflash.threshold import chosen
from cuda_backend import fill as torch_fill
from mlx_port import fill as mlx_fill
from tests import fill_reference as reference
from tests.fill_reference import CONFIG, MASKED, Given

THRESHOLD = 0.015
ROWS, LENGTH = 6, 12


# -- the rule --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """Positions of one block, and how many of them may stay masked."""

    confidence: np.ndarray
    rank: np.ndarray
    masked: np.ndarray
    left: int

    def filled(self, threshold: float) -> np.ndarray:
        return chosen(self.confidence, self.rank, self.masked, threshold, self.left)


def blocks() -> Iterator[Block]:
    """Of all kinds; confidence is often at the threshold, ranks are often equal."""
    rng = np.random.default_rng(2)
    for _ in range(500):
        length = rng.integers(1, 17)
        yield Block(
            rng.integers(0, 31, length).astype(np.float32) / 1000,
            rng.integers(-3, 4, length).astype(np.float32),
            rng.random(length) < rng.random() * 1.2,
            int(rng.integers(0, 17)),
        )


def test_a_step_fills_all_that_is_sure_and_what_the_schedule_asks_for() -> None:
    for block in blocks():
        filled, masked = block.filled(THRESHOLD), block.masked
        sure = masked & (block.confidence >= THRESHOLD)
        assert not (filled & ~masked).any()
        assert not (sure & ~filled).any()
        needed = min(masked.sum(), max(masked.sum() - block.left, 1))
        assert filled.sum() == max(sure.sum(), needed)
        others, rest = filled & ~sure, masked & ~filled
        if others.any() and rest.any():
            assert block.rank[others].min() >= block.rank[rest].max()


def test_without_confidence_it_is_the_schedule() -> None:
    for block in blocks():
        filled = block.filled(math.inf)
        places = np.flatnonzero(block.masked)
        best = sorted(places, key=lambda place, rank=block.rank: (-rank[place], place))
        assert set(np.flatnonzero(filled)) == set(best[: max(len(best) - block.left, 1)])


def test_a_probability_at_the_threshold_is_enough() -> None:
    confidence = np.array([0.499, 0.5], np.float32)
    filled = chosen(confidence, np.zeros(2, np.float32), np.ones(2, np.bool_), 0.5, left=2)
    assert filled.tolist() == [False, True]


# -- the engines -----------------------------------------------------------------------------


def by_mlx(sure: np.ndarray, rank: np.ndarray, masked: np.ndarray, left: int) -> np.ndarray:
    return np.array(mlx_fill.chosen(mx.array(sure), mx.array(rank), mx.array(masked), left))


def by_torch(sure: np.ndarray, rank: np.ndarray, masked: np.ndarray, left: int) -> np.ndarray:
    return torch_fill.chosen(*map(torch.from_numpy, (sure, rank, masked)), left).numpy()


@pytest.mark.parametrize("rule", [by_mlx, by_torch])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_engines_choose_what_the_rule_says(rule: Callable[..., np.ndarray], share: float) -> None:
    """Rows of all kinds, ranks that are often equal."""
    rng = np.random.default_rng(4)
    for left in range(LENGTH + 1):
        confidence = rng.random((ROWS, LENGTH), np.float32)
        rank = rng.integers(0, 4, (ROWS, LENGTH)).astype(np.float32)
        masked = rng.random((ROWS, LENGTH)) < np.linspace(0, 1, ROWS)[:, None]
        expected = [
            chosen(*row, 1 - share, left) for row in zip(confidence, rank, masked, strict=True)
        ]
        found = rule(confidence >= np.float32(1 - share), rank, masked, left)
        assert np.array_equal(found, np.array(expected))


def mlx_filled(step: Given, kind: FillKind) -> np.ndarray:
    head = mlx_nn.Linear(*reversed(step.head.shape), bias=False)
    head.weight = mx.array(step.head)
    arrays = (step.tokens, step.hidden, step.shift, step.log_prior, step.options)
    noise = mx.array(step.token_noise), mx.array(step.position_noise)
    return np.array(mlx_fill.Fill(kind, head, CONFIG)(*map(mx.array, arrays), noise))


def torch_filled(step: Given, kind: FillKind) -> np.ndarray:
    arrays = (step.tokens.astype(np.int64), step.hidden, step.shift, step.log_prior, step.options)
    noise = torch.from_numpy(step.token_noise), torch.from_numpy(step.position_noise)
    head = torch.nn.Linear(*reversed(step.head.shape), bias=False)
    head.weight.data = torch.from_numpy(step.head)
    fill = torch_fill.Fill(kind, head, CONFIG, torch.device("cpu"))
    with torch.inference_mode():
        return fill(*map(torch.from_numpy, arrays), noise).numpy()


@pytest.mark.parametrize("engine", [mlx_filled, torch_filled])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("threshold", [0.0, 0.04, 0.15, 1.0])
def test_engines_fill_what_the_reference_does(
    engine: Callable[[Given, FillKind], np.ndarray],
    guided: bool,
    temperature: float,
    threshold: float,
) -> None:
    """Confidence is guided, among the ids that may be drawn, and knows no temperature."""
    step = reference.given(guided, temperature, threshold)
    kind = reference.kind(guided=guided, greedy=temperature == 0)
    expected = reference.filled(step, kind)
    assert engine(step, kind).tolist() == expected.tolist()


@pytest.mark.parametrize("engine", [mlx_filled, torch_filled])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("prior", ["block", "none"])
def test_positions_are_ranked_by_what_the_reference_does(
    engine: Callable[[Given, FillKind], np.ndarray], guided: bool, prior: Prior
) -> None:
    step = reference.given(guided, 0.5, threshold=1.0)
    kind = reference.kind(guided=guided, prior=prior)
    expected = reference.filled(step, kind)
    assert engine(step, kind).tolist() == expected.tolist()
    assert expected.tolist() != reference.filled(step, reference.kind(guided=guided)).tolist()


@pytest.mark.parametrize("threshold", [0.04, 0.15])
@pytest.mark.parametrize("guided", [True, False])
def test_the_cases_tell_rows_apart(guided: bool, threshold: float) -> None:
    """Some rows fill more than the schedule asks for, some just that, one is done."""
    step, kind = reference.given(guided, 0.5, threshold), reference.kind(guided=guided)
    after = (reference.filled(step, kind) == CONFIG.mask).sum(axis=1)
    counts = np.array(MASKED) - after
    assert counts[-1] == 0
    assert len(set(counts)) > 2
    assert (after < kind.left).any()
