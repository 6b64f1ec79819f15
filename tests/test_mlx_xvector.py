"""The MLX speaker encoder against the released CAMPPlus: full depth, seeded weights."""

from __future__ import annotations

import itertools
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from cbflash.config import XVectorConfig
from cbflash.weights import xvector as table
from mlx_port.xvector import XVector
from tests.golden.speaker_cases import XVECTOR, fbank
from tests.release_tables import assert_total, release
from tests.seeded_mlx import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "xvector.npz")


@pytest.fixture(scope="module")
def model() -> XVector:
    module = XVector(XVectorConfig())
    fill(module, table.RULES, "xvector.")
    return module


def test_the_head_agrees(model: XVector) -> None:
    head = np.array(model.head(mx.array(fbank(XVECTOR[0]))))[:, ::5]
    expected = GOLDEN["head"]
    assert head.shape == expected.shape
    assert np.abs(head - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("frames", XVECTOR)
def test_embeddings_agree(model: XVector, frames: int) -> None:
    embedding = np.array(model(mx.array(fbank(frames))))
    expected = GOLDEN[f"embedding_{frames}"]
    assert embedding.shape == expected.shape
    assert np.abs(embedding - expected).max() < 1e-4 * np.abs(expected).max()


def test_golden_embeddings_tell_clips_apart() -> None:
    embeddings = [GOLDEN[f"embedding_{frames}"] for frames in XVECTOR]
    for one, other in itertools.pairwise(embeddings):
        assert np.abs(one - other).max() > 0.1 * np.abs(one).max()


@pytest.mark.parametrize("frames", [3, 20, 21, 47])
def test_a_tiny_model_gives_a_finite_embedding(frames: int) -> None:
    config = XVectorConfig(
        mels=16, embedding=6, head_channels=4, head_blocks=(1, 2), tdnn_kernel=3,
        init_channels=8, growth=4, bottleneck=2, dense_layers=(2, 1), dense_dilations=(1, 2),
        segment=10,
    )  # fmt: skip
    rng = np.random.default_rng(frames)
    x = mx.array(rng.standard_normal((2, frames, 16), dtype=np.float32))
    module = XVector(config)
    fill(module, table.RULES, "xvector.")
    embedding = np.array(module(x))
    assert embedding.shape == (2, 6)
    assert np.isfinite(embedding).all()
    np.testing.assert_allclose(embedding[1:], np.array(module(x[1:])), atol=1e-5)


def test_the_table_is_total() -> None:
    tensors = release("s3gen.safetensors", "speaker_encoder.")
    assert_total(table.RULES, tensors, XVector(XVectorConfig()), "xvector.")
