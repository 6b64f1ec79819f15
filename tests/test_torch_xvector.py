"""The PyTorch speaker encoder against the released CAMPPlus: full depth, seeded weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.config import XVectorConfig
from cbflash.weights import xvector as table
from cuda_backend.layers import pack
from cuda_backend.xvector import XVector
from tests.closeness import assert_close
from tests.golden.speaker_cases import XVECTOR, fbank
from tests.seeded_torch import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "xvector.npz")


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["plain", "packed"])
def model(request: pytest.FixtureRequest) -> XVector:
    module = XVector(XVectorConfig())
    fill(module, table.RULES, "xvector.")
    if request.param == "packed":
        pack(module)
    return module


def bank(frames: int) -> torch.Tensor:
    return torch.from_numpy(fbank(frames))


def test_the_head_agrees(model: XVector) -> None:
    assert_close(model.head(bank(XVECTOR[0]))[:, ::5], GOLDEN["head"], 5e-6)


@pytest.mark.parametrize("frames", XVECTOR)
def test_embeddings_agree(model: XVector, frames: int) -> None:
    assert_close(model(bank(frames)), GOLDEN[f"embedding_{frames}"], 1e-5)


@pytest.mark.parametrize("frames", [3, 20, 21, 47])
def test_a_tiny_model_gives_a_finite_embedding(frames: int) -> None:
    config = XVectorConfig(
        mels=16, embedding=6, head_channels=4, head_blocks=(1, 2), tdnn_kernel=3,
        init_channels=8, growth=4, bottleneck=2, dense_layers=(2, 1), dense_dilations=(1, 2),
        segment=10,
    )  # fmt: skip
    module = XVector(config)
    fill(module, table.RULES, "xvector.")
    x = torch.from_numpy(np.random.default_rng(frames).standard_normal((2, frames, 16), np.float32))
    embedding = module(x)
    assert embedding.shape == (2, 6)
    assert embedding.isfinite().all()
    np.testing.assert_allclose(embedding[1:].numpy(), module(x[1:]).numpy(), atol=1e-5)
