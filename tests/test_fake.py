"""What the fake engine adds to the contract: ways to go on, to fail and to be missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cbflash.backends import choose_backend
from cbflash.engine import EngineOptions
from cbflash.errors import EngineError, ModelError
from cbflash.fake import SPEECH_PER_TEXT, FakeBackend, FakeEngine, Moment
from cbflash.settings import Sampling
from cbflash.tokens import SAMPLES_PER_TOKEN
from tests.contract import blocks_of, decode, make_clip, make_prompt, tokens_of
from tests.model_folders import make_release


def test_speech_is_as_long_as_the_text() -> None:
    engine = FakeEngine()
    prompt = make_prompt(engine, engine.encode_voice(make_clip()))
    results = decode(engine, [prompt])
    assert len(tokens_of(results)) == SPEECH_PER_TEXT * len(prompt.text_tokens)
    assert blocks_of(results)[-1].end == "stop"


def test_without_an_end_the_budget_decides() -> None:
    engine = FakeEngine(ends=False)
    results = decode(engine, [make_prompt(engine, engine.encode_voice(make_clip()), budget=40)])
    assert len(tokens_of(results)) == 40
    assert blocks_of(results)[-1].end == "budget"


def test_the_released_end_rule_drops_what_is_still_masked() -> None:
    engine = FakeEngine()
    prompt = make_prompt(engine, engine.encode_voice(make_clip()))
    released = decode(engine, [prompt], Sampling(end_rule="released"))
    dropped = sum(block.dropped for block in blocks_of(released))
    assert dropped > 0
    # The end is seen at the first of the end tokens that happens to be filled.
    assert len(tokens_of(released)) + dropped >= SPEECH_PER_TEXT * len(prompt.text_tokens)


def test_zero_temperature_does_not_draw() -> None:
    engine = FakeEngine()
    voice = engine.encode_voice(make_clip())
    first = make_prompt(engine, voice, seed=3)
    prompts = [first, dataclasses.replace(first, seed=4)]
    greedy = [tokens_of(decode(engine, [p], Sampling(temperature=0.0))) for p in prompts]
    assert greedy[0] == greedy[1]


def test_two_clips_are_two_voices() -> None:
    engine = FakeEngine()
    one, other = (engine.encode_voice(make_clip(digest=digest * 32)) for digest in ("ab", "cd"))
    assert one != other
    assert one == engine.encode_voice(make_clip())
    prompts = [make_prompt(engine, voice) for voice in (one, other)]
    assert tokens_of(decode(engine, prompts[:1])) != tokens_of(decode(engine, prompts[1:]))


def test_the_watcher_sees_every_moment_in_order(tmp_path: Path) -> None:
    seen: list[Moment] = []
    backend = FakeBackend(watch=seen.append)
    engine = backend.load(str(make_release(tmp_path / "model")), EngineOptions())
    prompt = make_prompt(engine, engine.encode_voice(make_clip()), budget=16)
    steps = sum(block.steps for block in blocks_of(decode(engine, [prompt])))
    sound = engine.vocoder(prompt.voice, Sampling(), 1).push([1, 2], last=True)
    assert seen == ["load", "voice", "prefill", *["step"] * steps, "sound"]
    assert len(sound) == 2 * SAMPLES_PER_TOKEN


def test_a_watcher_can_make_the_work_fail() -> None:
    def fail(moment: Moment) -> None:
        if moment == "step":
            raise EngineError("Out of memory.")

    engine = FakeEngine(watch=fail)
    prompt = make_prompt(engine, engine.encode_voice(make_clip()))
    with pytest.raises(EngineError, match=r"Out of memory\."):
        decode(engine, [prompt])


def test_a_backend_can_be_missing_with_a_reason() -> None:
    missing = FakeBackend("gpu", reason="There is no graphics card.")
    assert not missing.probe().available
    with pytest.raises(EngineError, match=r"no graphics card"):
        choose_backend("gpu", [missing])
    with pytest.raises(EngineError, match=r"no graphics card"):
        missing.load("anywhere", EngineOptions())
    assert choose_backend("auto", [missing, FakeBackend()]).name == "fake"


def test_a_model_folder_gives_the_engine_its_name_and_sizes(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "model")
    (folder / "config.json").write_text('{"sizes": {"name": "small", "t3": {"block_size": 8}}}')
    options = EngineOptions(dtype="bfloat16", bits=4)
    engine = FakeBackend().load(str(folder), options)
    assert (engine.info.model, engine.info.dtype, engine.info.bits) == ("small", "bfloat16", 4)
    assert engine.info.model_id.startswith("sha256:")
    results = decode(engine, [make_prompt(engine, engine.encode_voice(make_clip()))])
    assert len(blocks_of(results)[0].tokens) == 8


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        FakeBackend().load(str(tmp_path / "nothing"), EngineOptions())
