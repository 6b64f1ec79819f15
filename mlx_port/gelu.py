"""The exact GELU (the one with the error function), fast on the CPU too."""

from __future__ import annotations

from functools import partial

import mlx.core as mx

# The error function of x / sqrt 2 as x P(x^2) / Q(x^2), lowest power first: a least-squares
# fit, reweighted until even, that is within 2e-8 for |x| up to the limit. From there on it
# is 1 in float32.
_P = (0.797884459, 0.0681491762, 0.00937964173, 3.41879464e-4, 1.27044099e-5, 4.4962703e-8)
_Q = (1.0, 0.252078162, 0.028770212, 0.00189643811, 7.42507678e-5, 1.18970297e-6)
_LIMIT = 5.54


@partial(mx.compile, shapeless=True)
def gelu(x: mx.array) -> mx.array:
    """x times the normal distribution function of x, within 3e-7 |x|; any shape.

    As exact as `nn.gelu` and six times faster on the CPU, where MLX's error function is
    computed number by number; on Metal either is one kernel. Halves are computed in float32.
    """
    wide = x.astype(mx.float32)
    bounded = mx.clip(wide, -_LIMIT, _LIMIT)
    square = bounded * bounded
    error = bounded * _polynomial(_P, square) / _polynomial(_Q, square)
    half = 0.5 * wide
    return (half + half * error).astype(x.dtype)


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    *lower, highest = coefficients
    y = highest * x
    for coefficient in reversed(lower[1:]):
        y = (y + coefficient) * x
    return y + lower[0]
