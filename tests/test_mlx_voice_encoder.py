"""The MLX voice encoder against the released one: whole, seeded weights."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from cbflash.config import VoiceEncoderConfig
from cbflash.weights import voice_encoder as table
from mlx_port.voice_encoder import VoiceEncoder
from tests.golden.speaker_cases import windows
from tests.release_tables import assert_total, release
from tests.seeded_mlx import fill

GOLDEN = np.load(Path(__file__).parent / "golden" / "voice_encoder.npz")


@pytest.fixture(scope="module")
def model() -> VoiceEncoder:
    module = VoiceEncoder(VoiceEncoderConfig())
    fill(module, table.RULES, "voice_encoder.")
    return module


def test_the_last_state_agrees(model: VoiceEncoder) -> None:
    x = mx.array(windows()).swapaxes(0, 1)
    for layer in model.lstm:
        x = layer(x)
    np.testing.assert_allclose(np.array(x[-1]), GOLDEN["hidden"], rtol=0, atol=1e-5)


def test_embeddings_agree(model: VoiceEncoder) -> None:
    embedding = np.array(model(mx.array(windows())))
    np.testing.assert_allclose(embedding, GOLDEN["embedding"], rtol=0, atol=1e-5)


def test_golden_embeddings_tell_windows_apart() -> None:
    likeness = GOLDEN["embedding"] @ GOLDEN["embedding"].T
    assert likeness[~np.eye(len(likeness), dtype=bool)].max() < 0.9


def test_a_tiny_model_gives_unit_vectors() -> None:
    config = VoiceEncoderConfig(mels=5, hidden=8, layers=2, embedding=12)
    rng = np.random.default_rng(1)
    module = VoiceEncoder(config)
    fill(module, table.RULES, "voice_encoder.")
    embedding = np.array(module(mx.array(rng.random((4, 9, 5), dtype=np.float32))))
    assert embedding.shape == (4, 12)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)


def test_the_table_is_total() -> None:
    tensors = release("ve.safetensors")
    assert_total(table.RULES, tensors, VoiceEncoder(VoiceEncoderConfig()), "voice_encoder.")
