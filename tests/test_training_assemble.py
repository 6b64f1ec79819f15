"""What stages learnt becomes a model folder, and a teacher's can be heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cbflash.audio import read_clip, write_audio
from cbflash.checkpoint import Checkpoint
from cbflash.engine import BlockResult, EngineOptions, Prompt
from cbflash.errors import ModelError
from cbflash.settings import Sampling
from cuda_backend.backend import TorchBackend
from cuda_backend.flow import Flow
from cuda_backend.hift import HiFT
from cuda_backend.weights import read_model
from mlx_port.backend import MLXBackend
from tests.spoken_corpus import SIZES, make_recipe, murmur
from training import speak
from training.assemble import assemble, read_codec, write_model
from training.autoregressive import Draw
from training.checkpoints import Checkpoints, Run
from training.codec import Codec
from training.ge2e import GE2E
from training.letters import tokenizer_json
from training.parameters import trainable
from training.t3 import Prefix
from training.teacher import make_decoder
from training.voice_encoder import begin, make_checkpoints, make_model

RECIPE = make_recipe()


def keep(folder: Path, **models: nn.Module) -> None:
    """A checkpoint of a stage that was trained no further."""
    Checkpoints(folder, {}).save(Run(models, {}, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    keep(work / "codec", codec=trainable(Codec(SIZES, 3), 1))
    keep(work / "teacher", t3=make_decoder(RECIPE))
    keep(work / "vocoder", hift=trainable(HiFT(SIZES.hift), 2))
    make_checkpoints(work, RECIPE).save(begin(RECIPE, make_model(RECIPE), GE2E()))
    return work


@pytest.fixture(scope="module")
def folder(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = assemble(work, RECIPE, "teacher", "codec")
    return write_model(model, tmp_path_factory.mktemp("model") / "small", "fp32")


def test_every_part_is_what_its_stage_learnt(work: Path, folder: Path) -> None:
    model = read_model(Checkpoint.open(folder), torch.float32, torch.device("cpu"))
    codec = read_codec(work, SIZES)
    assert torch.equal(model.flow.embedding.weight, codec.flow.embedding.weight)
    assert torch.equal(model.xvector.embedding.weight, codec.x_vector.embedding.weight)
    tokenizer = codec.trained_tokenizer()
    assert torch.equal(model.s3tokenizer.project_down.weight, tokenizer.project_down.weight)
    assert torch.equal(model.t3.speech_head.weight, make_decoder(RECIPE).speech_head.weight)
    assert torch.allclose(model.hift.output.bias, trainable(HiFT(SIZES.hift), 2).output.bias)
    vocab = tokenizer_json(SIZES.t3)["model"]["vocab"]
    rows = model.t3.text_embedding.weight
    assert torch.equal(rows[vocab["Q"]], rows[vocab["q"]])


def test_the_flow_is_that_of_its_stage_if_not_the_codecs(work: Path, tmp_path: Path) -> None:
    for part in ("codec", "teacher", "vocoder", "voice_encoder"):
        (tmp_path / part).symlink_to(work / part)
    flow = trainable(Flow(SIZES.flow), 9)
    keep(tmp_path / "flow", flow=flow)
    model = assemble(tmp_path, RECIPE, "teacher")
    assert torch.equal(model.flow.mean.weight, flow.mean.weight)


def test_both_engines_open_it(folder: Path) -> None:
    for backend in (TorchBackend("cpu"), MLXBackend()):
        engine = backend.load(str(folder), EngineOptions(dtype="float32"))
        assert engine.info.model == "small"


def test_a_stage_that_was_not_trained_is_named(work: Path) -> None:
    with pytest.raises(ModelError, match="student_paper holds no checkpoint"):
        assemble(work, RECIPE, "student_paper", "codec")
    with pytest.raises(ModelError, match="flow holds no checkpoint"):
        assemble(work, RECIPE, "teacher")


# -- an autoregressive decoder, heard ------------------------------------------------------------


@pytest.mark.parametrize("period", [0, 4])
def test_blocks_of_the_engine_are_the_tokens_of_the_decoder(
    folder: Path, tmp_path: Path, period: int
) -> None:
    tts = speak.load(folder, period)
    write_audio(tmp_path / "clip.wav", np.concatenate([murmur(one) for one in range(12)]), 24_000)
    voice = tts.encode_voice(tmp_path / "clip.wav")
    prompt = Prompt(tts.tokenizer.encode("Hello.").ids, voice, 40, 5)
    sampling = Sampling(temperature=0.9, cfg_scale=0.5, seed=5)
    results = [one for one in tts.engine.decode([prompt], sampling) if isinstance(one, BlockResult)]
    prefix = Prefix(
        torch.tensor([prompt.text_tokens]),
        torch.tensor([len(prompt.text_tokens)]),
        torch.from_numpy(voice.speaker_embedding.copy())[None],
        torch.from_numpy(voice.prompt_tokens.copy())[None].long(),
        torch.tensor([0.5]),
    )
    assert isinstance(tts.engine, speak.AutoregressiveEngine)
    draw = Draw(0.9, scale=0.5, limit=40, period=period)
    generator = torch.Generator().manual_seed(5)
    [expected] = speak.speak(tts.engine.t3, prefix, draw, generator)
    assert [token for one in results for token in one.tokens] == expected.tolist()
    assert [one.block for one in results] == list(range(len(results)))
    assert [one.end is None for one in results] == [True] * (len(results) - 1) + [False]


def test_the_command_writes_a_sound_for_each_row(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "clip.wav", np.concatenate([murmur(one) for one in range(12)]), 24_000)
    rows = [{"id": name, "text": "Hello.", "ref_audio": "clip.wav"} for name in ("a", "b")]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    given = [str(folder), str(tmp_path / "list.jsonl"), str(tmp_path / "out")]
    assert speak.main(given) == 0
    for name in ("a", "b"):
        assert len(read_clip(tmp_path / "out" / f"{name}.wav").samples) > 0
    seconds = len(read_clip(tmp_path / "out" / "b.wav").samples) / 24_000
    assert f"b: {seconds:.2f} s of sound in " in capsys.readouterr().out


def test_a_row_without_a_voice_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.jsonl").write_text(json.dumps({"id": "a", "text": "Hello."}), "utf-8")
    assert speak.main([str(folder), str(tmp_path / "list.jsonl"), str(tmp_path / "out")]) == 2
    assert "names no voice" in capsys.readouterr().err
