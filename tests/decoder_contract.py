"""What every decoder must keep to: the released tokens, whatever tensors are made of.

A test file makes a class of `DecoderContract` and three fixtures, all of two layers at real
widths with seeded weights: `decoder`; `stopping_decoder`, which finds the end token likely now
and then (its row of the head is `Case.stop_row`); `even_decoder`, whose head is zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbflash.config import T3Config
from cbflash.decoding import BlockLoop, BlockModel
from cbflash.engine import BlockResult, InjectedNoise, Prompt, StepResult
from cbflash.settings import Sampling
from cbflash.voice import Voice
from tests.golden.t3_cases import CASES, LAYERS, Case, inputs, noise

GOLDEN = np.load(Path(__file__).parent / "golden" / "t3.npz")
CONFIG = T3Config(layers=LAYERS)


def voice(index: int) -> Voice:
    given = inputs(index)
    return Voice(
        name="seeded",
        created="2026-01-01T00:00:00+00:00",
        model_id="test",
        source_hash="",
        engine="test",
        seconds=6.0,
        speaker_embedding=given.speaker,
        prompt_tokens=given.prompt,
        s3_tokens=np.zeros(2, np.int32),
        s3_mel=np.zeros((4, 80), np.float32),
        x_vector=np.zeros(192, np.float32),
    )


def prompt(case: Case, seed: int = 0, *, injected: bool = False) -> Prompt:
    draws = None
    if injected:
        blocks = range(-(-case.budget // 16))
        table = [[noise(b, k) for k in range(case.sampling["num_steps"])] for b in blocks]
        draws = InjectedNoise(
            token=[[token for token, _ in row] for row in table],
            position=[[position for _, position in row] for row in table],
        )
    text = tuple(inputs(case.inputs).text)
    return Prompt(text, voice(case.inputs), case.budget, seed, draws)


def sampling(case: Case, end_rule: str = "released") -> Sampling:
    options = dict(case.sampling)
    options["prior_calibration"] = options.pop("pmi_uncond_prior_precompute", True)
    return Sampling(end_rule=end_rule, **options)


def decoded(
    decoder: BlockModel[Any], prompts: list[Prompt], options: Sampling
) -> list[tuple[list[int], str | None]]:
    rows: list[tuple[list[int], str | None]] = [([], None) for _ in prompts]
    for result in BlockLoop(decoder, CONFIG, options).run(prompts):
        if isinstance(result, BlockResult):
            tokens, end = rows[result.row]
            assert end is None, "nothing follows the end"
            rows[result.row] = (tokens + list(result.tokens), result.end)
    return rows


class DecoderContract:
    """The tests; the module of a subclass brings the fixtures."""

    @pytest.mark.parametrize("name", CASES)
    def test_tokens_are_the_released_ones(
        self, name: str, decoder: BlockModel[Any], stopping_decoder: BlockModel[Any]
    ) -> None:
        case = CASES[name]
        chosen = stopping_decoder if case.boost_stop else decoder
        loop = BlockLoop(chosen, CONFIG, sampling(case))
        tokens: list[int] = []
        dropped = 0
        for result in loop.run([prompt(case, injected=case.sampling["temperature"] > 0)]):
            if isinstance(result, BlockResult):
                tokens += result.tokens
                dropped += result.dropped
        golden = GOLDEN[f"tokens_{name}"]
        assert tokens == [t for t in golden.tolist() if t < CONFIG.start_speech]
        assert dropped == int((golden >= CONFIG.start_speech).sum())

    def test_a_batch_gives_each_text_what_it_gets_alone(
        self, stopping_decoder: BlockModel[Any]
    ) -> None:
        """Prompts of different lengths, budgets and voices; some stop early, one ends short."""
        cases = [Case(0, 64), Case(1, 37), Case(2, 80)]
        options = Sampling(num_steps=4)
        prompts = [
            Prompt(tuple(inputs(c.inputs).text), voice(c.inputs), c.budget, seed=70 + i)
            for i, c in enumerate(cases)
        ]
        together = decoded(stopping_decoder, prompts, options)
        alone = [decoded(stopping_decoder, [one], options)[0] for one in prompts]
        assert together == alone
        assert len({len(tokens) for tokens, _ in alone}) > 1, "the rows end at different times"

    def test_a_seed_decides_the_tokens(self, decoder: BlockModel[Any]) -> None:
        options = Sampling(num_steps=3)
        text, speaker = tuple(inputs(1).text), voice(1)
        runs = [decoded(decoder, [Prompt(text, speaker, 16, seed)], options) for seed in (1, 1, 2)]
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    def test_positions_before_the_end_token_are_finished(
        self, stopping_decoder: BlockModel[Any]
    ) -> None:
        """The released rule loses the masked positions in front of it; ours finishes them."""
        case = CASES["stop"]
        given = [prompt(case)]
        released = decoded(stopping_decoder, given, sampling(case, "released"))[0][0]
        finished = decoded(stopping_decoder, given, sampling(case, "finish"))[0][0]
        golden = GOLDEN["tokens_stop"]
        assert (golden == CONFIG.mask).sum() > 0, "the golden case loses positions"
        assert len(finished) == len(golden) > len(released)

    def test_only_sound_is_drawn(self, even_decoder: BlockModel[Any]) -> None:
        """With every id equally likely, a fifth of the draws would be no sound."""
        given = Prompt((255, 5, 0), voice(0), 64, 3)
        tokens, end = decoded(even_decoder, [given], Sampling(num_steps=2))[0]
        assert end == "stop" or len(tokens) == 64
        assert all(token < CONFIG.start_speech for token in tokens)

    def test_closing_ends_between_two_steps(self, decoder: BlockModel[Any]) -> None:
        options = Sampling(num_steps=10)
        results = BlockLoop(decoder, CONFIG, options).run([prompt(CASES["greedy"])])
        first = next(results)
        assert isinstance(first, StepResult)
        assert (first.step, first.steps, first.masked) == (1, 10, 15)
        results.close()
        again = decoded(decoder, [prompt(CASES["greedy"])], sampling(CASES["greedy"]))
        assert again[0][0] == GOLDEN["tokens_greedy"].tolist()
