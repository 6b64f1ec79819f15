"""Speech of an autoregressive model: what whole sequences say comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cbflash.checkpoint import Checkpoint
from cuda_backend.t3 import T3
from cuda_backend.weights import read_model
from tests.decoder_rows import CONFIG, prefix
from tests.spoken_corpus import SIZES
from training.autoregressive import Draw, speak
from training.parameters import trainable
from training.t3 import Layout, Prefix, hidden_states, logits

LIMIT = 14
GREEDY = Draw(temperature=0.0, limit=LIMIT)
SCALES = [0.0, 0.7]


@pytest.fixture(scope="module")
def read(tiny_model: Path) -> T3:
    """It never says its stop."""
    model = read_model(Checkpoint.open(tiny_model), torch.float32, torch.device("cpu")).t3
    model.speech_head.weight[CONFIG.stop_speech] = 0.0
    return model


@pytest.fixture
def model(read: T3) -> Iterator[T3]:
    """A test may choose another id for the stop."""
    yield read
    read.config = CONFIG


def row_of(both: Prefix, row: int) -> Prefix:
    """A row by itself, without padding."""
    return Prefix(
        both.text[row : row + 1, : both.lengths[row]],
        both.lengths[row : row + 1],
        both.speaker[row : row + 1],
        both.prompt[row : row + 1],
        both.exaggeration[row : row + 1],
    )


@torch.no_grad()
def next_scores(
    model: T3, alone: Prefix, tokens: list[int], scale: float, period: int = 0
) -> Tensor:
    """Logits [V] of what follows the tokens, from whole sequences."""
    speech = torch.tensor([[CONFIG.start_speech, *tokens, 0]])
    layout = Layout.causal(speech.shape[1], period=period)
    told, untold = (
        logits(model, hidden_states(model, alone, speech, layout, unconditional=nulls))[0, -1]
        for nulls in (torch.tensor([False]), torch.tensor([True]))
    )
    return told + scale * (told - untold)


def stepwise(model: T3, row: int, scale: float, period: int = 0) -> list[int]:
    tokens: list[int] = []
    for _ in range(LIMIT):
        scores = next_scores(model, row_of(prefix(), row), tokens, scale, period)
        tokens.append(int(scores.argmax()))
    return tokens


@pytest.fixture(scope="module")
def expected(read: T3) -> dict[float, list[list[int]]]:
    return {scale: [stepwise(read, row, scale) for row in range(2)] for scale in SCALES}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("padding", [0, 99])
def test_greedy_speech_is_the_likeliest_token_again_and_again(
    model: T3, expected: dict[float, list[list[int]]], scale: float, padding: int
) -> None:
    """Rows of different text lengths in one batch; padded with anything."""
    found = speak(model, prefix(padding), replace(GREEDY, scale=scale))
    assert [row.tolist() for row in found] == expected[scale]
    assert expected[0.0] != expected[0.7], "guidance matters"
    assert len(set(expected[scale][0])) > 3, "it says something"


def test_learned_positions_begin_anew_where_the_model_learnt_it(
    model: T3, expected: dict[float, list[list[int]]]
) -> None:
    found = [row.tolist() for row in speak(model, prefix(), replace(GREEDY, period=4))]
    assert found == [stepwise(model, row, 0.0, period=4) for row in range(2)]
    assert found != expected[0.0]


def test_speech_ends_before_the_stop(model: T3, expected: dict[float, list[list[int]]]) -> None:
    """Each row where it says so, the others go on."""
    first, second = expected[0.0]
    stop = first[5]
    assert stop not in second, "a stop of the first row alone"
    model.config = replace(CONFIG, stop_speech=stop)
    found = speak(model, prefix(), GREEDY)
    assert found[0].tolist() == first[: first.index(stop)]
    assert found[1].tolist() == second


def test_a_stop_at_the_limit_is_no_token(model: T3, expected: dict[float, list[list[int]]]) -> None:
    first, second = expected[0.0]
    places = [place for place in range(2, LIMIT) if first[place] not in first[:place]]
    model.config = replace(CONFIG, stop_speech=first[places[-1]])
    for limit in (places[-1], places[-1] + 1):
        found = speak(model, prefix(), replace(GREEDY, limit=limit))
        assert found[0].tolist() == first[: places[-1]]
        assert found[1].tolist() == second[:limit]


def test_no_row_is_longer_than_the_limit(model: T3, expected: dict[float, list[list[int]]]) -> None:
    for limit in (0, 1, 6):
        found = speak(model, prefix(), replace(GREEDY, limit=limit))
        assert [row.tolist() for row in found] == [row[:limit] for row in expected[0.0]]


def test_of_little_probability_only_the_likeliest_is_left(
    model: T3, expected: dict[float, list[list[int]]]
) -> None:
    found = speak(model, prefix(), Draw(temperature=1.0, top_p=0.0, limit=LIMIT))
    assert [row.tolist() for row in found] == expected[0.0]


def test_draws_come_from_the_generator(model: T3) -> None:
    draw = Draw(temperature=1.0, top_p=1.0, limit=6)
    one, again, other = (
        [row.tolist() for row in speak(model, prefix(), draw, torch.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    )
    assert one == again != other


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_tokens_are_drawn_from_the_nucleus_as_often_as_they_are_likely(temperature: float) -> None:
    model, rows = trainable(T3(SIZES.t3)).requires_grad_(False), 500
    model.speech_head.weight *= 8
    many = Prefix(
        text=torch.tensor([[2, 5, 6, 0]]).expand(rows, -1),
        lengths=torch.full((rows,), 4),
        speaker=torch.ones(rows, SIZES.t3.speaker_dim),
        prompt=torch.zeros(rows, 3, dtype=torch.int64),
        exaggeration=torch.ones(rows),
    )
    speech = torch.tensor([[SIZES.t3.start_speech, 0]])
    scores = logits(model, hidden_states(model, row_of(many, 0), speech, Layout.causal(2)))[0, 0]
    ranked, ids = torch.softmax(scores / temperature, dim=-1).sort(descending=True)
    inside = ranked.cumsum(0) - ranked <= 0.6
    chances = ranked[inside] / ranked[inside].sum()
    assert 2 < len(chances) < 60
    draw = Draw(temperature=temperature, top_p=0.6, limit=1)
    found = torch.cat(speak(model, many, draw, torch.Generator().manual_seed(1))).tolist()
    assert set(found) <= set(ids[inside].tolist())
    for token, chance in list(zip(ids.tolist(), chances.tolist(), strict=False))[:3]:
        assert found.count(token) / rows == pytest.approx(chance, abs=0.07)
