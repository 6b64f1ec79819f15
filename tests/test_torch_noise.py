"""The decoder's random numbers on PyTorch: the core's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cbflash.noise import Key, hash_bits, noise_key
from cbflash.noise import gumbel as defined
from cuda_backend.noise import gumbel
from cuda_backend.noise import hash_bits as hashed

COUNT = 200_000
KEYS = [(0, 0), (2**32 - 1, 2**31), *(noise_key(7, 2, step, "token") for step in range(3))]


def key_tensor(key: Key) -> torch.Tensor:
    return torch.from_numpy(np.array(key, np.uint32).view(np.int32))


@pytest.mark.parametrize("key", KEYS)
def test_bits_are_the_same(key: Key) -> None:
    bits = hashed(torch.arange(COUNT, dtype=torch.int32), key_tensor(key))
    assert np.array_equal(bits.numpy().view(np.uint32), hash_bits(key, COUNT))


@pytest.mark.parametrize("key", KEYS)
def test_numbers_are_the_same_to_rounding(key: Key) -> None:
    numbers = gumbel(torch.arange(COUNT, dtype=torch.int32), key_tensor(key))
    assert np.allclose(numbers.numpy(), defined(key, COUNT), rtol=2e-6, atol=2e-6)


def test_elements_and_keys_broadcast() -> None:
    keys = torch.stack([key_tensor(key) for key in KEYS])
    together = gumbel(torch.arange(9, dtype=torch.int32), keys[:, None])
    alone = [gumbel(torch.arange(9, dtype=torch.int32), key) for key in keys]
    assert torch.equal(together, torch.stack(alone))
