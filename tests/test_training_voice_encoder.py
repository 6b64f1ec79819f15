"""The voice encoder's training: voices are told apart, and what is learnt is what is used."""

from __future__ import annotations

import io
import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.conditioning import Tokens, embed_speaker
from cbflash.config import ModelConfig, VoiceEncoderConfig
from cbflash.errors import ModelError, UsageError
from cbflash.features import sinc_resample_24k_to_16k
from cbflash.spectrum import Floats
from cbflash.tokens import SAMPLES_PER_TOKEN
from cuda_backend.voice_encoder import VoiceEncoder
from tests.closeness import assert_close
from tests.feature_folders import write_features
from training.features import Features
from training.ge2e import GE2E
from training.loop import Report
from training.recipe import Recipe
from training.verification import verify
from training.voice_encoder import (
    main,
    make_model,
    read_embeddings,
    read_voice_encoder,
    teach,
    write_embeddings,
)

TABLE = {"steps": 24, "speakers": 4, "windows": 3, "warmup": 2, "judged": 12, "rate": 1e-2}
RECIPE = """
name = "tiny"
seed = 3
[sizes.voice_encoder]
hidden = 24
layers = 2
embedding = 20
[voice_encoder]
steps = 24
speakers = 4
windows = 3
warmup = 2
judged = 12
rate = 1e-2
"""


def tiny(**table: object) -> Recipe:
    sizes = ModelConfig(voice_encoder=VoiceEncoderConfig(hidden=24, layers=2, embedding=20))
    return Recipe("tiny", 3, sizes, {"voice_encoder": TABLE | table})


@dataclass
class Work:
    """A folder to train in, and what its utterances sound like."""

    folder: Path
    said: list[Floats]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("work")
    return Work(folder, write_features(folder / "features"))


def empty(work: Work, folder: Path) -> Path:
    """Another folder to train in, with the same features."""
    folder.mkdir(exist_ok=True)
    (folder / "features").symlink_to(work.folder / "features")
    return folder


def quiet() -> Report:
    return Report(stream=io.StringIO())


def text(report: Report) -> str:
    assert isinstance(report.stream, io.StringIO)
    return report.stream.getvalue()


@dataclass
class OnlyVoices:
    """`cbflash.conditioning.Encoders` with nothing but the voice encoder."""

    encoder: VoiceEncoder

    def speech_tokens(self, log_mel: Floats) -> Tokens:
        raise NotImplementedError

    def x_vector(self, fbank: Floats) -> Floats:
        raise NotImplementedError

    def speaker_embedding(self, windows: Floats) -> Floats:
        embedded: Floats = self.encoder(torch.from_numpy(windows)).numpy()
        return embedded


def test_every_parameter_is_taught() -> None:
    model, loss = make_model(tiny()), GE2E()
    windows = torch.rand(12, 160, 40, generator=torch.Generator().manual_seed(1))
    value, _ = loss(model(windows).unflatten(0, (4, 3)))
    value.backward()
    for name, parameter in [*model.named_parameters(), *loss.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_voices_are_told_apart_when_trained(work: Work, tmp_path: Path) -> None:
    report = Report(every=0.0, stream=io.StringIO())
    assert teach(empty(work, tmp_path), tiny(), report=report)
    losses = [float(found) for found in re.findall(r"loss ([\d.]+)", text(report))]
    rights = [float(found) for found in re.findall(r"right ([\d.]+)", text(report))]
    assert len(losses) == 24
    assert losses[0] > 0.7
    assert max(losses[-3:]) < 0.1
    assert rights[-1] == 1.0


def test_it_is_judged_by_speakers_that_it_has_not_heard(work: Work, tmp_path: Path) -> None:
    """As the embeddings are that everything else is given."""
    folder, report = empty(work, tmp_path), quiet()
    teach(folder, tiny(steps=5, judged=3), report=report)
    list(write_embeddings(folder, tiny(steps=5, judged=3)))
    features = Features(folder / "features")
    unseen = [at for at, item in enumerate(features.items) if item.part in ("test", "closed")]
    found = verify(read_embeddings(folder)[unseen], [features.items[at].speaker for at in unseen])
    assert text(report).count("step 3, not trained on") == 1
    line = f"step 5, not trained on: error {found.error:.4f}  margin {found.margin:.4f}"
    assert line in text(report)


class Stopping(io.StringIO):
    """A stream of progress at whose third line somebody stops the program."""

    def write(self, text: str) -> int:
        if text.startswith("step 3 "):
            signal.raise_signal(signal.SIGTERM)
        return super().write(text)


def test_a_stopped_run_ends_as_if_it_had_not_been(work: Work, tmp_path: Path) -> None:
    folders = [empty(work, tmp_path / name) for name in ("whole", "stopped")]
    recipe = tiny(steps=7)
    assert teach(folders[0], recipe, report=quiet())
    assert not teach(folders[1], recipe, report=Report(every=0.0, stream=Stopping()))
    assert [path.name for path in (folders[1] / "voice_encoder").iterdir()] == ["step-000003"]
    torch.manual_seed(99)
    assert teach(folders[1], recipe, report=quiet())
    whole, stopped = (read_voice_encoder(folder, recipe) for folder in folders)
    for ours, theirs in zip(stopped.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_may_be_lengthened(work: Work, tmp_path: Path) -> None:
    """And judged at other steps; but not gone on with at another rate."""
    folder, recipe = empty(work, tmp_path), tiny(steps=3, judged=2)
    assert teach(folder, recipe, report=quiet())
    short = [one.clone() for one in read_voice_encoder(folder, tiny(steps=5)).parameters()]
    for ours, theirs in zip(read_voice_encoder(folder, recipe).parameters(), short, strict=True):
        assert torch.equal(ours, theirs)
    report = quiet()
    assert teach(folder, tiny(steps=5, judged=4, warmup=1, decay=0.2), report=report)
    assert "going on from step 3" in text(report)
    assert "step 4, not trained on" in text(report)
    long = read_voice_encoder(folder, recipe).parameters()
    assert not all(torch.equal(ours, theirs) for ours, theirs in zip(long, short, strict=True))
    with pytest.raises(ModelError, match=r"trained with voice_encoder\.rate = 0\.01, not 0\.02"):
        teach(folder, tiny(steps=5, rate=2e-2), report=quiet())


def test_weights_are_read_without_a_change_to_random_numbers(work: Work, tmp_path: Path) -> None:
    folder = empty(work, tmp_path)
    assert teach(folder, tiny(steps=1), report=quiet())
    torch.manual_seed(8)
    before = torch.get_rng_state()
    read_voice_encoder(folder, tiny())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("left", ["nobody", "one"])
def test_it_is_trained_where_there_is_nobody_to_judge_by(tmp_path: Path, left: str) -> None:
    """Nobody who is not trained on, or one speaker alone."""
    write_features(tmp_path / "features")
    for index in (tmp_path / "features").glob("*.json"):
        items = json.loads(index.read_text("utf-8"))
        for item in items:
            if left == "nobody" or item["speaker"] != "s0":
                item["part"] = "train"
        index.write_text(json.dumps(items), "utf-8")
    report = quiet()
    assert teach(tmp_path, tiny(steps=3, judged=2), report=report)
    assert "step 3 of 3" in text(report)
    assert "not trained on" not in text(report)


def test_embeddings_are_those_of_the_product(work: Work, tmp_path: Path) -> None:
    folder = empty(work, tmp_path)
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    assert main([str(folder), "--recipe", str(recipe)]) == 0
    assert main([str(folder), "--recipe", str(recipe), "--embed"]) == 0
    embeddings = read_embeddings(folder)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (len(work.said), 20)
    encoders = OnlyVoices(read_voice_encoder(folder, tiny()))
    for row, samples in zip(embeddings, work.said, strict=True):
        whole = len(samples) // SAMPLES_PER_TOKEN * SAMPLES_PER_TOKEN
        expected = embed_speaker(sinc_resample_24k_to_16k(samples[:whole]), encoders)
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-5)
    assert np.ptp(embeddings, axis=0).max() > 0.3  # of different voices


def test_folded_weights_take_mels_as_they_are() -> None:
    model = make_model(tiny())
    windows = torch.rand(3, 160, 40, generator=torch.Generator().manual_seed(2))
    model.levels.copy_(torch.linspace(0.01, 2.0, 40))
    expected = model(windows).detach()
    assert_close(model.folded()(windows), expected.numpy(), 1e-5)
    assert torch.equal(model(windows), expected)  # a copy was folded


def test_embeddings_before_a_training_are_refused(work: Work, tmp_path: Path) -> None:
    folder = empty(work, tmp_path)
    with pytest.raises(
        ModelError, match=r"voice_encoder holds no checkpoint\. Train that stage first"
    ):
        read_voice_encoder(folder, tiny())
    with pytest.raises(UsageError, match=r"embeddings\.npy cannot be read.*--embed"):
        read_embeddings(folder)


def test_embeddings_of_other_features_are_refused(work: Work, tmp_path: Path) -> None:
    folder = empty(work, tmp_path)
    (folder / "voice_encoder").mkdir()
    np.save(folder / "voice_encoder" / "embeddings.npy", np.zeros((5, 20), np.float32))
    with pytest.raises(UsageError, match="is of 5 utterances, and there are 32"):
        read_embeddings(folder)


def test_too_few_speakers_are_an_error(work: Work, tmp_path: Path) -> None:
    folder = empty(work, tmp_path)
    with pytest.raises(UsageError, match="has 4 speakers with 3 utterances, and a batch takes 5"):
        teach(folder, tiny(speakers=5), report=quiet())
    with pytest.raises(UsageError, match=r"voice_encoder\.pitch"):
        teach(folder, tiny(pitch=2), report=quiet())


def test_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == UsageError.exit_code
    assert "training.voice_encoder: " in capsys.readouterr().err
    assert main([str(tmp_path), "--embed"]) == ModelError.exit_code
    assert main([str(tmp_path), "--recipe", "none"]) == UsageError.exit_code
