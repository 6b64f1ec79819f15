"""The PyTorch voice encoder against the released one: whole, seeded weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.config import VoiceEncoderConfig
from cbflash.weights import voice_encoder as table
from cuda_backend.layers import pack
from cuda_backend.voice_encoder import VoiceEncoder
from tests.golden.speaker_cases import windows
from tests.seeded_torch import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "voice_encoder.npz")


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["plain", "packed"])
def model(request: pytest.FixtureRequest) -> VoiceEncoder:
    module = VoiceEncoder(VoiceEncoderConfig())
    fill(module, table.RULES, "voice_encoder.")
    if request.param == "packed":
        pack(module)
    return module


def test_the_last_state_agrees(model: VoiceEncoder) -> None:
    x = torch.from_numpy(windows()).transpose(0, 1)
    for layer in model.lstm:
        x = layer(x)
    np.testing.assert_allclose(x[-1].numpy(), GOLDEN["hidden"], rtol=0, atol=2e-6)


def test_embeddings_agree(model: VoiceEncoder) -> None:
    embedding = model(torch.from_numpy(windows()))
    np.testing.assert_allclose(embedding.numpy(), GOLDEN["embedding"], rtol=0, atol=1e-6)


def test_a_tiny_model_gives_unit_vectors() -> None:
    config = VoiceEncoderConfig(mels=5, hidden=8, layers=2, embedding=12)
    module = VoiceEncoder(config)
    fill(module, table.RULES, "voice_encoder.")
    x = torch.from_numpy(np.random.default_rng(1).random((4, 9, 5), np.float32))
    embedding = module(x)
    assert embedding.shape == (4, 12)
    assert embedding.min() >= 0
    np.testing.assert_allclose(torch.linalg.vector_norm(embedding, dim=1).numpy(), 1, atol=1e-6)
    np.testing.assert_allclose(module(x[2:]).numpy(), embedding[2:].numpy(), atol=1e-6)
