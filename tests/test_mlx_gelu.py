"""The exact GELU against the error function of the standard library."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from mlx_port.gelu import gelu


def test_it_is_exact_in_float32() -> None:
    x = np.linspace(-30, 30, 60_001, dtype=np.float32)
    expected = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()])
    error = np.abs(np.array(gelu(mx.array(x))) - expected)
    assert (error <= 3e-7 * np.abs(x) + 1e-12).all()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_halves_are_rounded_once(dtype: mx.Dtype) -> None:
    x = mx.arange(-60, 60, dtype=mx.float32).astype(dtype) / 8
    half = gelu(x)
    assert half.dtype == dtype
    wide = gelu(x.astype(mx.float32)).astype(dtype)
    assert mx.array_equal(half, wide)
