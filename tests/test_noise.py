"""The decoder's random numbers: their distribution, and the same bits on MLX."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from cbflash.noise import gumbel, hash_bits, noise_key, uniform
from mlx_port.noise import gumbel as mlx_gumbel

COUNT = 200_000


def test_keys_differ_in_every_argument() -> None:
    base = noise_key(1, 2, 3, "token")
    others = {
        noise_key(2, 2, 3, "token"),
        noise_key(1, 3, 3, "token"),
        noise_key(1, 2, 4, "token"),
        noise_key(1, 2, 3, "position"),
    }
    assert base not in others
    assert len(others) == 4
    assert noise_key(1, 2, 3, "token") == base


def test_uniform_numbers_are_uniform() -> None:
    numbers = uniform(noise_key(5, 0, 0, "token"), COUNT)
    assert numbers.min() > 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=100, range=(0, 1))
    expected = COUNT / 100
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 150  # 99 degrees of freedom: about 1 in 1,500 by chance; the key is fixed


def test_neighbours_and_keys_are_uncorrelated() -> None:
    numbers = uniform(noise_key(5, 0, 0, "token"), COUNT).astype(np.float64) - 0.5
    other = uniform(noise_key(5, 0, 1, "token"), COUNT).astype(np.float64) - 0.5
    for left, right in ((numbers[1:], numbers[:-1]), (numbers, other)):
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.01


def test_every_bit_is_fair() -> None:
    bits = hash_bits(noise_key(9, 1, 1, "position"), COUNT)
    for bit in range(32):
        assert abs(float(((bits >> np.uint32(bit)) & np.uint32(1)).mean()) - 0.5) < 0.006


def test_gumbel_numbers_have_the_right_mean_and_variance() -> None:
    numbers = gumbel(noise_key(3, 0, 0, "token"), COUNT).astype(np.float64)
    assert np.isfinite(numbers).all()
    assert abs(numbers.mean() - np.euler_gamma) < 0.01
    assert abs(numbers.var() - np.pi**2 / 6) < 0.03


def test_mlx_draws_the_same_numbers() -> None:
    key = noise_key(123, 4, 5, "token")
    ours = gumbel(key, COUNT)
    theirs = mlx_gumbel(mx.arange(COUNT).astype(mx.uint32), mx.array(key, mx.uint32))
    # The bits are equal; the two logarithms may differ in their last place.
    np.testing.assert_allclose(np.array(theirs), ours, rtol=2e-6, atol=2e-6)
