"""The CPU's own exponential and what is made of it, against numpy in double precision."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_port.attention import attend
from mlx_port.exp import exp, silu, softmax

WIDE = np.linspace(-86.9, 87.9, 100_003, dtype=np.float32)


def test_exp_over_the_whole_range() -> None:
    expected = np.exp(WIDE.astype(np.float64))
    # x log2(e) is rounded once, which counts most where x is large.
    np.testing.assert_allclose(np.array(exp(mx.array(WIDE))), expected, rtol=8e-6)
    near = np.abs(WIDE) < 4
    np.testing.assert_allclose(np.array(exp(mx.array(WIDE[near]))), expected[near], rtol=6e-7)


def test_exp_beyond_the_range_is_tiny_or_huge_and_never_nan() -> None:
    ends = np.array(exp(mx.array([-np.inf, -1e30, -200.0, 200.0, 1e30])))
    assert np.isfinite(ends).all()
    assert (ends[:3] < 1e-37).all()
    assert (ends[3:] > 1e38).all()


def test_silu() -> None:
    x = WIDE.astype(np.float64)
    expected = x / (1 + np.exp(-x))
    np.testing.assert_allclose(np.array(silu(mx.array(WIDE))), expected, rtol=1e-5, atol=1e-35)
    np.testing.assert_allclose(
        np.array(silu(mx.array(WIDE))), np.array(nn.silu(mx.array(WIDE))), rtol=1e-5, atol=1e-35
    )


def test_softmax_with_hidden_places() -> None:
    scores = np.random.default_rng(0).normal(0, 4, (3, 5, 70)).astype(np.float32)
    scores[..., 50:] = -np.inf
    shares = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    expected = shares / shares.sum(axis=-1, keepdims=True)
    ours = np.array(softmax(mx.array(scores)))
    np.testing.assert_allclose(ours[..., :50], expected[..., :50], rtol=4e-6)
    assert ours[..., 50:].max() < 1e-35


def test_attend_is_mlx_s_attention() -> None:
    rng = np.random.default_rng(1)
    q, k, v = (
        mx.array(rng.standard_normal((2, 4, length, 16)).astype(np.float32))
        for length in (5, 40, 40)
    )
    mask = np.where(rng.random((2, 1, 5, 40)) < 0.3, -np.inf, 0).astype(np.float32)
    for given in (None, mx.array(mask)):
        theirs = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask=given)
        np.testing.assert_allclose(
            np.array(attend(q, k, v, 0.25, given)), np.array(theirs), rtol=1e-5, atol=1e-6
        )
