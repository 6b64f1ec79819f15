"""The decoder's random numbers on PyTorch's device: `cbflash.noise`, bit for bit.

PyTorch has no arithmetic on uint32. Numbers of the hash are int32 with the same bits:
products and sums wrap alike, and a right shift only has to lose the copies of the sign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cbflash.noise import FACTORS, SHIFTS, STRIDE


def gumbel(elements: Tensor, key: Tensor) -> Tensor:
    """Standard Gumbel numbers, float32, for the given elements of a draw.

    elements: int32, the index of each number in its draw; key: int32 [2] (or [..., 2],
    broadcast against `elements`), the bits of a `cbflash.noise.Key`.
    """
    bits = _shift(hash_bits(elements, key), 9)
    uniform = (bits.to(torch.float32) + 0.5) * 2.0**-23
    return -torch.log(-torch.log(uniform))


def hash_bits(elements: Tensor, key: Tensor) -> Tensor:
    """The hash of each element, int32 with the bits of the uint32."""
    return _mix(_mix(elements * signed(STRIDE) + key[..., 0]) ^ key[..., 1])


def signed(number: int) -> int:
    """The int32 that has the bits of a uint32."""
    return number - 2**32 if number >= 2**31 else number


def _mix(x: Tensor) -> Tensor:
    x = x ^ _shift(x, SHIFTS[0])
    x = x * signed(FACTORS[0])
    x = x ^ _shift(x, SHIFTS[1])
    x = x * signed(FACTORS[1])
    return x ^ _shift(x, SHIFTS[2])


def _shift(x: Tensor, by: int) -> Tensor:
    """x >> by, with zeros coming in on the left."""
    return (x >> by) & ((1 << (32 - by)) - 1)
