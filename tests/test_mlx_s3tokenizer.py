"""The MLX speech tokenizer against the released one: real width, seeded weights."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from cbflash.config import S3TokenizerConfig
from cbflash.weights import s3tokenizer as table
from mlx_port.s3tokenizer import S3Tokenizer, depthwise_by_taps
from tests.golden.speaker_cases import TOKENIZER, log_mel
from tests.release_tables import assert_total, release
from tests.seeded_mlx import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "s3tokenizer.npz")


@pytest.fixture(scope="module", params=TOKENIZER)
def layers(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def model(layers: int) -> S3Tokenizer:
    module = S3Tokenizer(S3TokenizerConfig(layers=layers))
    fill(module, table.RULES, "s3tokenizer.")
    return module


def test_the_encoder_agrees(model: S3Tokenizer, layers: int) -> None:
    hidden = np.array(model.encode(mx.array(log_mel(layers))))[..., ::8]
    expected = GOLDEN[f"hidden_{layers}"]
    assert hidden.shape == expected.shape
    assert np.abs(hidden - expected).max() < 1e-4 * np.abs(expected).max()


def test_values_before_rounding_agree(model: S3Tokenizer, layers: int) -> None:
    values = np.array(model.project(mx.array(log_mel(layers))))
    np.testing.assert_allclose(values, GOLDEN[f"values_{layers}"], rtol=0, atol=1e-4)


def test_tokens_are_equal(model: S3Tokenizer, layers: int) -> None:
    tokens = model(mx.array(log_mel(layers)))
    assert tokens.dtype == mx.int32
    np.testing.assert_array_equal(np.array(tokens), GOLDEN[f"tokens_{layers}"])


def test_golden_tokens_use_many_codes_and_all_levels(layers: int) -> None:
    tokens = GOLDEN[f"tokens_{layers}"]
    assert len(np.unique(tokens)) > 0.8 * tokens.size
    digits = np.round(GOLDEN[f"values_{layers}"])
    assert min(np.mean(digits == level) for level in (-1, 0, 1)) > 0.05


def test_depthwise_by_taps_is_the_grouped_convolution() -> None:
    rng = np.random.default_rng(0)
    x = mx.array(rng.standard_normal((2, 50, 12), dtype=np.float32))
    weight = mx.array(rng.standard_normal((12, 31, 1), dtype=np.float32))
    expected = np.array(mx.conv1d(x, weight, groups=12))
    np.testing.assert_allclose(np.array(depthwise_by_taps(x, weight)), expected, atol=1e-5)


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (4, 1), (5, 2), (7, 2), (40, 10), (41, 11)])
def test_a_tiny_model_gives_a_token_for_every_four_frames(frames: int, count: int) -> None:
    config = S3TokenizerConfig(
        mels=8, width=16, heads=2, layers=1, mlp=24, fsmn_kernel=5, fsq_dims=3, fsq_levels=5
    )
    rng = np.random.default_rng(frames)
    mel = mx.array(rng.standard_normal((1, frames, 8), dtype=np.float32))
    module = S3Tokenizer(config)
    tokens = np.array(module(mel))
    assert tokens.shape == (1, count)
    assert tokens.min() >= 0
    assert tokens.max() < config.codebook
    assert np.abs(np.array(module.project(mel))).max() < 2


def test_the_table_is_total() -> None:
    tensors = release("s3gen.safetensors", "tokenizer.")
    assert_total(table.RULES, tensors, S3Tokenizer(S3TokenizerConfig()), "s3tokenizer.")
