"""That stages train where they are told to, tried on a device that is neither here nor there.

On PyTorch's meta device nothing is computed; and what is given tensors of two devices at once is
refused here as on a card. So a whole step shows whether anything was left on the processor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx.experimental._config as experimental
import torch.nn.functional as functional
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cbflash.errors import EngineError
from cuda_backend.flow import Flow
from tests.spoken_corpus import SIZES, make_recipe, make_speech
from tests.sung_corpus import write_sung
from training import codec, voice_encoder
from training.checkpoints import Checkpoints
from training.command import Command
from training.devices import find_device
from training.features import Features
from training.flow import FlowMatching, FlowStage, Pace
from training.mean_flow import Distillation, MeanFlowSettings
from training.parameters import trainable
from training.prompted import PromptedSpeech
from training.spoken import Speech
from training.student import By, StudentSettings, StudentStage
from training.teacher import TeacherStage, make_decoder
from training.vocoder.__main__ import open_data
from training.vocoder.predictor import PitchStage
from training.vocoder.settings import PitchSettings, Settings
from training.vocoder.stage import Stage

ELSEWHERE = torch.device("meta")
CARRIERS = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class OneDevice(TorchDispatchMode):
    """Refuses what a card refuses. What has no dimension may come from the processor."""

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.ndim]
        devices = {str(x.device) for x in given}
        if len(devices) > 1 and function not in CARRIERS:
            raise RuntimeError(f"{function} of more than one device: {', '.join(devices)}")
        return function(*args, **(kwargs or {}))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Every number is nothing there, and no result comes back."""
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: contextlib.nullcontext())
    monkeypatch.setattr(Tensor, "item", lambda x: 1.0)
    monkeypatch.setattr(Tensor, "__float__", lambda x: 1.0)
    monkeypatch.setattr(Tensor, "__bool__", lambda x: True)
    monkeypatch.setattr(Tensor, "cpu", lambda x: torch.zeros(x.shape, dtype=x.dtype))
    monkeypatch.setattr(Checkpoints, "save", lambda *given: None)
    with experimental.patch(meta_nonzero_assume_all_nonzero=True), OneDevice():
        yield ELSEWHERE


@pytest.fixture(scope="module")
def features(spoken_features: Path) -> Features:
    return Features(spoken_features)


@pytest.fixture(scope="module")
def speech(features: Features) -> Speech:
    return make_speech(features, pairs=0.5, unconditional=0.5)


def test_what_is_on_two_devices_is_refused(speech: Speech, elsewhere: torch.device) -> None:
    """Else nothing here would say anything."""
    one, other = torch.zeros(2, 2), torch.zeros(2, 2, device=elsewhere)
    for mixed in (lambda: one @ other, lambda: one + other, lambda: other[one > 0]):
        with pytest.raises(RuntimeError, match="more than one device"):
            mixed()
    stage = TeacherStage(make_recipe(teacher={"steps": 1}), speech, Path(), elsewhere)
    stage.model.speech_head.to_empty(device="cpu")
    with pytest.raises(RuntimeError, match="more than one device"):
        stage.train()


def test_a_teacher(speech: Speech, tmp_path: Path, elsewhere: torch.device) -> None:
    recipe = make_recipe(teacher={"steps": 1, "tokens": 60, "period": 8})
    assert TeacherStage(recipe, speech, tmp_path, elsewhere).train()


@pytest.mark.parametrize("by", ["paper", "distill"])
def test_a_student(speech: Speech, tmp_path: Path, elsewhere: torch.device, by: By) -> None:
    teacher = make_decoder(make_recipe(), elsewhere)
    settings = StudentSettings(by=by, steps=1, tokens=60)
    assert StudentStage(make_recipe(), settings, teacher, speech, tmp_path).train()


def test_a_codec(
    features: Features, tmp_path: Path, elsewhere: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearly(scores: Tensor, letters: Tensor, *lengths: Tensor, **how: bool) -> Tensor:
        """Of this loss the device makes nothing; lengths may be the processor's."""
        return scores.mean() + letters.float().mean()

    monkeypatch.setattr(functional, "ctc_loss", nearly)
    recipe = make_recipe(codec={"steps": 1, "tokens": 60})
    assert codec.CodecStage(recipe, features, tmp_path, elsewhere).train()


@pytest.mark.parametrize("distilled", [False, True])
def test_a_flow(
    features: Features, tmp_path: Path, elsewhere: torch.device, distilled: bool
) -> None:
    sizes = replace(SIZES.flow, channels=88)
    count = sum(item.tokens for item in features.items)
    speech = PromptedSpeech(
        features, np.zeros(count, np.uint16), lambda fbank: fbank[:, 0, : sizes.xvector], (3, 5)
    )
    flow, teacher = (trainable(Flow(sizes), 1, elsewhere) for _ in range(2))
    settings = MeanFlowSettings(guidance=0.5)
    loss = Distillation(teacher, settings) if distilled else FlowMatching(0.5)
    pace = Pace(steps=1, rate=1e-3, tokens=60, seed=1)
    assert FlowStage(flow, loss, speech, pace, Checkpoints(tmp_path, {})).train()


def test_a_vocoder(tmp_path: Path, elsewhere: torch.device) -> None:
    data = open_data(write_sung(tmp_path))
    config = replace(SIZES.hift, channels=16)
    pitch = PitchSettings(steps=1, batch=2, frames=16)
    assert PitchStage(config, pitch, 1, tmp_path / "pitch", elsewhere).train(data)
    sound = Settings(batch=2, frames=12, heard=6, adversarial=0, channels=2, spectra=(256,))
    stage = Stage(config, sound, 1, elsewhere)
    assert stage.take(data, data.long_enough("train", sound.frames))


def test_a_voice_encoder(features: Features, elsewhere: torch.device) -> None:
    model = voice_encoder.make_model(make_recipe(), elsewhere)
    loss = voice_encoder.GE2E().to(elsewhere)
    windows = torch.zeros(2, 3, 160, 40, device=elsewhere)
    value, _ = loss(model(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]))
    value.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.device == elsewhere


def test_a_card_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("cpu") == torch.device("cpu")
    assert find_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(EngineError, match="no NVIDIA card"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("cuda").type == "cuda"
    command = Command.of_training("song", None)
    assert command.parser.parse_args(["work", "--device", "cuda"]).device == "cuda"
