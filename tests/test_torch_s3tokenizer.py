"""The PyTorch speech tokenizer against the released one: real width, seeded weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.config import S3TokenizerConfig
from cbflash.weights import s3tokenizer as table
from cuda_backend.layers import pack
from cuda_backend.s3tokenizer import S3Tokenizer
from tests.closeness import assert_close
from tests.golden.speaker_cases import TOKENIZER, log_mel
from tests.seeded_torch import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "s3tokenizer.npz")


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=TOKENIZER)
def layers(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module", params=["plain", "packed"])
def model(layers: int, request: pytest.FixtureRequest) -> S3Tokenizer:
    module = S3Tokenizer(S3TokenizerConfig(layers=layers))
    fill(module, table.RULES, "s3tokenizer.")
    if request.param == "packed":
        pack(module)
    return module


def mel(layers: int) -> torch.Tensor:
    return torch.from_numpy(log_mel(layers))


def test_the_encoder_agrees(model: S3Tokenizer, layers: int) -> None:
    hidden = model.encode(mel(layers))[..., ::8]
    assert_close(hidden, GOLDEN[f"hidden_{layers}"], 2e-5)


def test_values_before_rounding_agree(model: S3Tokenizer, layers: int) -> None:
    assert_close(model.project(mel(layers)), GOLDEN[f"values_{layers}"], 5e-5)


def test_tokens_are_equal(model: S3Tokenizer, layers: int) -> None:
    tokens = model(mel(layers))
    assert tokens.dtype == torch.int32
    np.testing.assert_array_equal(tokens.numpy(), GOLDEN[f"tokens_{layers}"])


def test_the_clips_of_a_batch_do_not_hear_each_other(model: S3Tokenizer, layers: int) -> None:
    clip = mel(layers)
    tokens = model(torch.cat([clip.flip(1), clip, -clip]))
    np.testing.assert_array_equal(tokens[1:2].numpy(), GOLDEN[f"tokens_{layers}"])
    for row, other in ((0, clip.flip(1)), (2, -clip)):
        assert (tokens[row] != tokens[1]).float().mean() > 0.5
        # Elsewhere than in the golden clip a value may lie at a boundary.
        assert (tokens[row] == model(other)[0]).float().mean() > 0.9


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (4, 1), (5, 2), (7, 2), (40, 10), (41, 11)])
def test_a_tiny_model_gives_a_token_for_every_four_frames(frames: int, count: int) -> None:
    config = S3TokenizerConfig(
        mels=8, width=16, heads=2, layers=1, mlp=24, fsmn_kernel=5, fsq_dims=3, fsq_levels=5
    )
    module = S3Tokenizer(config)
    fill(module, table.RULES, "s3tokenizer.")
    x = torch.from_numpy(np.random.default_rng(frames).standard_normal((2, frames, 8), np.float32))
    tokens = module(x)
    assert tokens.shape == (2, count)
    assert tokens.min() >= 0
    assert tokens.max() < config.codebook
    assert module.project(x).abs().max() < 2
