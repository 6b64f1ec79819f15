"""The unmask schedule against the released step function, and what any schedule must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cbflash.schedule import unmask_schedule
from tests.golden.t3_cases import SCHEDULES

GOLDEN = np.load(Path(__file__).parent / "golden" / "t3.npz")


def test_equals_the_released_step_function_over_the_grid() -> None:
    golden = GOLDEN["schedules"]
    assert len(golden) == len(SCHEDULES) == 3600
    for (length, steps, shift, tau), row in zip(SCHEDULES, golden, strict=True):
        counts = tuple(int(count) for count in row if count >= 0)
        assert unmask_schedule(length, steps, shift, tau) == counts, (length, steps, shift, tau)


def test_released_default_takes_every_step_of_a_whole_block() -> None:
    assert unmask_schedule(16, 10, 0.5, 0.1) == (1, 1, 1, 1, 1, 2, 2, 2, 2, 3)


def test_more_early_decoding_takes_fewer_steps() -> None:
    taken = [len(unmask_schedule(16, 10, 0.5, early)) for early in (0.1, 0.5, 1.0, 2.0)]
    assert taken == [10, 8, 6, 5]


@given(
    st.integers(1, 64),
    st.integers(1, 40),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_fills_every_position_exactly_once(
    length: int, steps: int, shift: float, early: float
) -> None:
    counts = unmask_schedule(length, steps, shift, early)
    assert sum(counts) == length
    assert all(count >= 0 for count in counts)
    assert len(counts) <= steps
    assert counts[-1] > 0
