"""The MLX decoder against the released one: two layers at real widths, seeded weights."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from cbflash.settings import Sampling
from cbflash.weights import t3 as table
from mlx_port.decode import Decoder
from mlx_port.t3 import T3
from tests.closeness import assert_close
from tests.decoder_contract import CONFIG, GOLDEN, DecoderContract, prompt
from tests.golden.t3_cases import CASES, Case
from tests.seeded_mlx import fill


def build() -> T3:
    model = T3(CONFIG)
    fill(model, table.RULES, "t3.")
    return model


def rebuilt_head(change: Callable[[np.ndarray], None]) -> T3:
    """The model with another head."""
    model = build()
    head = np.array(model.speech_head.weight)
    change(head)
    model.speech_head.weight = mx.array(head)
    return model


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(build())


@pytest.fixture(scope="module")
def stopping_decoder() -> Decoder:
    """The end token is likely now and then, as in the golden cases that stop."""

    def change(head: np.ndarray) -> None:
        head[CONFIG.stop_speech] = Case().stop_row()

    return Decoder(rebuilt_head(change))


@pytest.fixture(scope="module")
def even_decoder() -> Decoder:
    return Decoder(rebuilt_head(lambda head: head.fill(0.0)))


class TestMLXDecoder(DecoderContract):
    pass


def test_conditioning_and_prefix(decoder: Decoder) -> None:
    given = prompt(CASES["greedy"])
    model = decoder.model
    x = model.embed_prefix(
        mx.array([given.text_tokens]),
        mx.array(given.voice.speaker_embedding),
        mx.array(given.voice.prompt_tokens)[None],
        0.5,
    )
    assert_close(x[0, : CONFIG.conditioning], GOLDEN["conditioning"])
    _, hidden = decoder._prefix(given, Sampling(cfg_scale=1.0))
    assert_close(hidden[0, -5:-1], GOLDEN["prefix_hidden"])
    assert_close(hidden[0, -1], GOLDEN["null_hidden"])


def test_prior(decoder: Decoder) -> None:
    assert_close(mx.exp(decoder.log_prior()), np.maximum(GOLDEN["prior"], 1e-8))
