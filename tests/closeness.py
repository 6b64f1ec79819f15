"""How close continuous results have to be to golden ones."""

from __future__ import annotations

import mlx.core as mx
import numpy as np


def assert_close(ours: mx.array, golden: np.ndarray, tolerance: float = 1e-4) -> None:
    """The largest difference over the largest value."""
    assert ours.shape == golden.shape
    error = np.abs(np.array(ours) - golden).max() / np.abs(golden).max()
    assert error < tolerance, error
