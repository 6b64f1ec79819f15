"""Weights from a seed and a tensor's name, so that no weights are stored.

What a model of such weights says is noise; its path is the real one. Scales are chosen so
that tests bite: attention that attends, norms that are not the identity, gains near one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np

from cbflash.spectrum import hann, slaney_mel_bank

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]

SEED = 20260


def normal(std: float, mean: float = 0.0) -> Draw:
    return lambda rng, shape: mean + std * rng.standard_normal(shape, dtype=np.float32)


def fan_in(gain: float) -> Draw:
    """Normal with the standard deviation that keeps the variance, times `gain`."""
    return lambda rng, shape: normal(gain / np.sqrt(max(1, np.prod(shape[1:]))))(rng, shape)


def uniform(low: float, high: float) -> Draw:
    return lambda rng, shape: rng.uniform(low, high, shape).astype(np.float32)


def no_specials(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Head rows of the special ids are zero: they are never the likeliest."""
    weight = fan_in(3.6)(rng, shape)
    weight[int(shape[0] * 6561 / 8194) :] = 0.0
    return weight


# First match wins. Names are those of the release.
SCALES: tuple[tuple[str, Draw], ...] = (
    (r"speech_head\.weight", no_specials),
    (r"(speech|text)_emb\.weight", normal(0.7)),
    (r"(speech|text)_pos_emb\.emb\.weight", normal(0.3)),
    (r".*pre_attention_query", normal(1.0)),
    # The encoder's output grows to 4 over six layers: FSQ values that use all three levels.
    (r".*project_down\.weight", fan_in(0.45)),
    # Gates that open and close.
    (r"lstm\.weight_\w+", fan_in(2.0)),
    # Some frames with a voice, some without; sound at an ordinary loudness.
    (r".*f0_predictor\.classifier\.weight", fan_in(80.0)),
    (r".*conv_post\..*original0", uniform(0.06, 0.14)),
    (r".*conv_post\.bias", normal(0.3, -0.8)),
    (r".*m_source\.l_linear\.weight", normal(1.0)),
    (r".*pos_bias_[uv]", normal(0.5)),
    (r".*\.(q_proj|k_proj|to_q|to_k|linear_q|linear_k)\.weight", fan_in(1.5)),
    (r".*running_var", uniform(0.5, 1.5)),
    (r".*running_mean", normal(0.1)),
    (r".*(norm|layernorm)\w*\.weight", normal(0.1, 1.0)),
    (r".*original0", uniform(0.5, 1.5)),
    (r".*alpha", uniform(0.5, 1.5)),
    (r".*bias\w*", normal(0.1)),
    (r".*", fan_in(1.0)),
)


# Not weights at all: a release stores the front end of its speech tokenizer too.
CONSTANTS: dict[str, Callable[[], np.ndarray]] = {
    "tokenizer._mel_filters": lambda: slaney_mel_bank(16000, 400, 128, 8000.0),
    "tokenizer.window": lambda: hann(400),
}


def tensor(name: str, shape: Shape, seed: int = SEED) -> np.ndarray:
    """The float32 values of a tensor; depends on its name and shape and the seed only."""
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    if name in CONSTANTS:
        return CONSTANTS[name]().astype(np.float32)
    if name.endswith("num_batches_tracked"):
        return np.array(1000, np.int64)
    for pattern, draw in SCALES:
        if re.fullmatch(pattern, name):
            if len(shape) == 1 and draw is SCALES[-1][1]:
                return normal(0.1, 1.0)(rng, shape).astype(np.float32)  # a norm by another name
            return draw(rng, shape).astype(np.float32)
    raise AssertionError("unreachable: the last pattern matches everything")
