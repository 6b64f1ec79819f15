"""Rotary position frequencies of the decoder, always in float32.

The released package rounds them together with the weights when it loads in bfloat16, half a
radian at position 500. They are not weights, and here nothing rounds them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cbflash.config import T3Config


def inverse_frequencies(config: T3Config) -> npt.NDArray[np.float32]:
    """Radians per position for each pair of dimensions, [head_dim / 2], llama3 scaling.

    Wavelengths beyond the original context are stretched by `rope_factor`, short ones are
    left alone, those between are blended (Llama 3.1; released llama_configs.py).
    """
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    frequency = config.rope_theta**-exponents
    turns = config.rope_original_length * frequency / (2 * np.pi)  # in the original context
    low, high = config.rope_low_freq, config.rope_high_freq
    blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
    scaled = (1 - blend) * frequency / config.rope_factor + blend * frequency
    return scaled.astype(np.float32)
