"""The decoder in half precision: one dtype from the embeddings to the cache, and no NaN."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from cbflash.checkpoint import Checkpoint
from cbflash.engine import EngineOptions, Prompt
from cbflash.settings import Sampling
from mlx_port.backend import BACKEND
from mlx_port.cache import sink_biases
from mlx_port.decode import Batch, Decoder
from mlx_port.weights import load_model
from tests.contract import make_clip, make_prompt

DTYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16}
DIFFERENCE = {"float16": 0.01, "bfloat16": 0.05}  # of the largest hidden value


@pytest.fixture(scope="module")
def prompts(tiny_model: Path) -> list[Prompt]:
    """Of two lengths, so that one row is padded; it stays hidden by minus infinity."""
    engine = BACKEND.load(str(tiny_model), EngineOptions(dtype="float32"))
    voice = engine.encode_voice(make_clip())
    return [make_prompt(engine, voice, seed) for seed in (1, 2)]


def passes(decoder: Decoder, prompts: list[Prompt]) -> tuple[Batch, list[mx.array]]:
    """A guided batch after a prefix, a first step and a step that settles a block."""
    batch = decoder.prefill(prompts, Sampling())
    batch.tokens = mx.full((len(prompts), 16), decoder.config.mask, mx.int32)
    first = decoder._hidden(batch, None)
    settled = mx.arange(32, dtype=mx.int32).reshape(2, 16)
    return batch, [batch.shift, first, decoder._hidden(batch, settled)]


@pytest.mark.parametrize("name", DTYPES)
def test_hidden_states(tiny_model: Path, prompts: list[Prompt], name: str) -> None:
    checkpoint = Checkpoint.open(tiny_model)
    exact = Decoder(load_model(checkpoint, mx.float32).t3)
    half = Decoder(load_model(checkpoint, DTYPES[name]).t3)
    _, expected = passes(exact, prompts)
    batch, found = passes(half, prompts)
    cache = batch.cache
    kept = [*cache.keys, *cache.values, cache.bias, *found]
    assert {array.dtype for array in kept} == {DTYPES[name]}
    for ours, theirs in zip(found, expected, strict=True):
        error = np.abs(np.array(ours.astype(mx.float32)) - np.array(theirs)).max()
        assert error < DIFFERENCE[name] * np.abs(np.array(theirs)).max()
    prior = half.log_prior()
    assert prior.dtype == mx.float32
    np.testing.assert_allclose(np.array(prior), np.array(exact.log_prior()), atol=0.1)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("count", [2, 37, 96, 105, 350, 2000])
def test_two_sinks_weigh_as_much_as_the_zeros_they_stand_for(dtype: mx.Dtype, count: int) -> None:
    biases = mx.array(sink_biases(count, dtype)).astype(dtype).astype(mx.float32)
    assert abs(float(mx.exp(biases).sum()) / count - 1) < 1e-3
