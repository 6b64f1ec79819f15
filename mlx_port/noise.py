"""The decoder's random numbers on MLX's device: `cbflash.noise`, bit for bit."""

from __future__ import annotations

import mlx.core as mx

from cbflash.noise import FACTORS, SHIFTS, STRIDE


def gumbel(elements: mx.array, key: mx.array) -> mx.array:
    """Standard Gumbel numbers, float32, for the given elements of a draw.

    elements: uint32, the index of each number in its draw; key: [2] uint32 (or [..., 2],
    broadcast against `elements`).
    """
    bits = _mix(_mix(elements * mx.array(STRIDE, mx.uint32) + key[..., 0]) ^ key[..., 1]) >> 9
    uniform = (bits.astype(mx.float32) + 0.5) * 2.0**-23
    return -mx.log(-mx.log(uniform))


def _mix(x: mx.array) -> mx.array:
    x = x ^ (x >> SHIFTS[0])
    x = x * mx.array(FACTORS[0], mx.uint32)
    x = x ^ (x >> SHIFTS[1])
    x = x * mx.array(FACTORS[1], mx.uint32)
    return x ^ (x >> SHIFTS[2])
