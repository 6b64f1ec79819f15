"""Which utterances a step is given: all of them once an epoch, alike in length, always the same."""

from __future__ import annotations

import numpy as np
import pytest

from cbflash.errors import UsageError
from training.batches import Batches

COUNT, TOKENS = 1000, 800
PLACES = [3 * place + 5 for place in range(COUNT)]
LENGTHS = [int(n) for n in np.random.default_rng(1).integers(10, 270, COUNT)]
LENGTH_OF = dict(zip(PLACES, LENGTHS, strict=True))


def made(seed: int = 1) -> Batches:
    return Batches(PLACES, LENGTH_OF.__getitem__, TOKENS, seed)


def epochs(count: int) -> list[list[list[int]]]:
    """The batches of each epoch: steps until all places were there."""
    batches, step = made(), 0
    found = []
    for _ in range(count):
        epoch: list[list[int]] = []
        while sum(map(len, epoch)) < COUNT:
            epoch.append(batches(step))
            step += 1
        found.append(epoch)
    return found


def test_every_place_comes_once_an_epoch() -> None:
    found = epochs(3)
    for epoch in found:
        assert sorted(place for batch in epoch for place in batch) == PLACES
    assert found[0] != found[1] != found[2]


def test_a_step_is_given_the_same_whoever_asks() -> None:
    batches = made()
    asked = {step: batches(step) for step in range(600)}
    assert len({tuple(batch) for batch in asked.values()}) > 500
    for step in (0, 1, 211, 599):
        assert made()(step) == asked[step]
    other = made(seed=2)
    assert any(other(step) != asked[step] for step in range(5))


def test_a_step_may_be_asked_for_again_but_not_those_of_epochs_before() -> None:
    batches = made()
    assert batches(3) == batches(3)
    batches(600)
    with pytest.raises(ValueError, match="in order"):
        batches(3)


def test_lengths_of_a_batch_are_near_each_other() -> None:
    [epoch] = epochs(1)
    spans = [np.ptp([LENGTH_OF[place] for place in batch]) for batch in epoch]
    # 64 of 1000 sorted ones are a sixteenth of the lengths there are; batches are smaller.
    assert max(spans) <= 2 * 260 / 16
    assert all(500 < sum(LENGTH_OF[place] for place in batch) < 1100 for batch in epoch[:20])


def test_batches_come_in_any_order() -> None:
    [epoch] = epochs(1)
    means = np.array([np.mean([LENGTH_OF[place] for place in batch]) for batch in epoch])
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.3


def test_an_utterance_longer_than_a_batch_is_one() -> None:
    batches = Batches([7, 8], {7: 900, 8: 5000}.__getitem__, TOKENS, 1)
    assert sorted([batches(0), batches(1)]) == [[7], [8]]


def test_without_utterances_there_is_nothing_to_train_on() -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        Batches([], len, TOKENS, 1)
