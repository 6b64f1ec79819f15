"""Random numbers of the decoder, the same on every engine.

Each number is a hash of (seed, block, step, stream, element), so it depends neither on the
batch a text is decoded in nor on the machine. The hash is plain 32-bit arithmetic that any
tensor library can do; this file is the definition, the backends do the same on their device,
and a test compares them bit for bit.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Literal

import numpy as np
import numpy.typing as npt

Stream = Literal["token", "position"]
Key = tuple[int, int]  # two uint32

# One round of the mixer (a bijection of uint32): x ^= x >> SHIFT; x *= FACTOR, three times.
SHIFTS = (16, 15, 15)
FACTORS = (0x21F0AAAD, 0x735A2D97)
STRIDE = 0x9E3779B9  # spreads neighbouring elements; odd, so a bijection too


def noise_key(seed: int, block: int, step: int, stream: Stream) -> Key:
    """The key of one draw: of all token or position noise of one step of one block."""
    digest = hashlib.blake2s(
        struct.pack("<QII", seed, block, step) + stream.encode(), digest_size=8
    ).digest()
    first, second = struct.unpack("<II", digest)
    return first, second


def gumbel(key: Key, count: int) -> npt.NDArray[np.float32]:
    """`count` standard Gumbel numbers, float32: the reference the backends are held to."""
    return -np.log(-np.log(uniform(key, count)))


def uniform(key: Key, count: int) -> npt.NDArray[np.float32]:
    """`count` numbers strictly between 0 and 1, float32, multiples of 2**-24."""
    bits = hash_bits(key, count) >> np.uint32(9)
    numbers: npt.NDArray[np.float32] = (bits.astype(np.float32) + np.float32(0.5)) * np.float32(
        2.0**-23
    )
    return numbers


def hash_bits(key: Key, count: int) -> npt.NDArray[np.uint32]:
    """`count` uint32 numbers: mix(mix(element * STRIDE + key[0]) ^ key[1])."""
    with np.errstate(over="ignore"):
        element = np.arange(count, dtype=np.uint32) * np.uint32(STRIDE)
        return _mix(_mix(element + np.uint32(key[0])) ^ np.uint32(key[1]))


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(SHIFTS[0]))
    x = x * np.uint32(FACTORS[0])
    x = x ^ (x >> np.uint32(SHIFTS[1]))
    x = x * np.uint32(FACTORS[1])
    mixed: npt.NDArray[np.uint32] = x ^ (x >> np.uint32(SHIFTS[2]))
    return mixed
