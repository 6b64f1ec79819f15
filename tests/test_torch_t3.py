"""The PyTorch decoder against the released one: two layers at real widths, seeded weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from cbflash.weights import t3 as table
from cuda_backend.cpu_attention import Products
from cuda_backend.decode import Decoder
from cuda_backend.graph import Eager
from cuda_backend.layers import pack
from cuda_backend.t3 import T3
from tests.closeness import assert_close
from tests.decoder_contract import CONFIG, GOLDEN, DecoderContract, prompt
from tests.golden.t3_cases import CASES, Case
from tests.seeded_torch import fill


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def build() -> T3:
    model = T3(CONFIG)
    fill(model, table.RULES, "t3.")
    return model


def decoding(model: T3) -> Decoder:
    pack(model)
    return Decoder(model, Eager(Products(), CONFIG, torch.float32, torch.device("cpu")))


def rebuilt_head(change: Callable[[np.ndarray], None]) -> T3:
    """The model with another head."""
    model = build()
    change(model.speech_head.weight.numpy())
    return model


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return decoding(build())


@pytest.fixture(scope="module")
def stopping_decoder() -> Decoder:
    """The end token is likely now and then, as in the golden cases that stop."""

    def change(head: np.ndarray) -> None:
        head[CONFIG.stop_speech] = Case().stop_row()

    return decoding(rebuilt_head(change))


@pytest.fixture(scope="module")
def even_decoder() -> Decoder:
    return decoding(rebuilt_head(lambda head: head.fill(0.0)))


class TestTorchDecoder(DecoderContract):
    pass


def test_conditioning(decoder: Decoder) -> None:
    given = prompt(CASES["greedy"])
    x = decoder.model.embed_prefix(
        torch.tensor([given.text_tokens]),
        torch.from_numpy(given.voice.speaker_embedding),
        torch.from_numpy(given.voice.prompt_tokens)[None],
        0.5,
    )
    assert_close(x[0, : CONFIG.conditioning], GOLDEN["conditioning"])


def test_prior(decoder: Decoder) -> None:
    assert_close(decoder.log_prior().exp(), np.maximum(GOLDEN["prior"], 1e-8))
