"""How close continuous results have to be to golden ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def assert_close(ours: npt.ArrayLike, golden: np.ndarray, tolerance: float = 1e-4) -> None:
    """The largest difference over the largest value; `ours` is an array of any library."""
    found = np.asarray(ours)
    assert found.shape == golden.shape
    error = np.abs(found - golden).max() / np.abs(golden).max()
    assert error < tolerance, error
