"""The vocoder's training: pitch and sound are learnt, and what was stopped goes on."""

from __future__ import annotations

import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cbflash.audio import read_clip
from cbflash.config import HiFTConfig, ModelConfig
from cbflash.errors import ModelError, UsageError
from cuda_backend.hift import HiFT
from tests.sung_corpus import write_sung
from training.checkpoints import Checkpoints, load
from training.recipe import Recipe
from training.vocoder.__main__ import learn, main, open_data, read_vocoder
from training.vocoder.crops import Data
from training.vocoder.judge import PitchErrors, Resynthesis, judge
from training.vocoder.predictor import PitchStage
from training.vocoder.settings import PitchSettings, Settings
from training.vocoder.stage import Stage

SMALL = HiFTConfig(
    channels=16, resblock_kernels=(3,), resblock_dilations=(1,), source_kernels=(3, 3, 3),
    f0_channels=16, f0_layers=2,
)  # fmt: skip
PITCH = PitchSettings(steps=4, batch=2, frames=16, warmup=1)
SOUND = Settings(
    steps=4, batch=2, frames=12, heard=6, adversarial=1, channels=2, spectra=(256,), periods=(3,),
    windows=(512, 256), warmup=1, bfloat16=False,
)  # fmt: skip
RECIPE = """
name = "small"
seed = 3
[sizes.hift]
channels = 16
resblock_kernels = [3]
resblock_dilations = [1]
source_kernels = [3, 3, 3]
f0_channels = 16
f0_layers = 2
[pitch]
steps = 3
batch = 2
frames = 16
[vocoder]
steps = 3
batch = 2
frames = 12
heard = 6
adversarial = 1
channels = 2
spectra = [256]
periods = [3]
windows = [512, 256]
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sung(tmp_path_factory.mktemp("sung"))


@pytest.fixture(scope="module")
def data(work: Path) -> Data:
    return open_data(work)


def beside(work: Path, folder: Path, recipe: str = RECIPE) -> tuple[Path, Path]:
    """Another folder to train in, of the same corpus, and its recipe."""
    for name in ("corpus", "features"):
        (folder / name).symlink_to(work / name)
    path = folder / "small.toml"
    path.write_text(recipe, "utf-8")
    return folder, path


def make_recipe(**tables: dict[str, object]) -> Recipe:
    return Recipe("small", 3, ModelConfig(hift=SMALL), tables)


# -- pitch -----------------------------------------------------------------------------------


def test_the_predictor_learns_the_pitch(data: Data, tmp_path: Path) -> None:
    settings = replace(PITCH, steps=400, batch=4, rate=5e-3, frames=24)
    stage = PitchStage(SMALL, settings, 3, tmp_path)
    places = data.long_enough("train", settings.frames)
    before = stage.judge(data, data.features.part("valid"))
    assert stage.train(data)
    after = stage.judge(data, data.features.part("valid"))
    assert before["cents"] > 400
    assert after["cents"] < 150
    assert after["voicing"] < 0.08
    assert stage.take(data, places)["pitch"] < 0.3


def test_errors_of_pitch() -> None:
    assert PitchErrors(10.0).means() == {}
    errors = PitchErrors(10.0)
    errors.add(np.array([100.0, 100.0, 0.0, 9.0]), np.array([100.0, 50.0, 0.0, 70.0]))
    errors.add(np.array([200.0, 80.0]), np.array([100.0, 0.0]))
    assert errors.means() == {"cents": 1200.0, "voicing": pytest.approx(2 / 6)}
    silent = PitchErrors(10.0)
    silent.add(np.zeros(3), np.zeros(3))
    assert np.isnan(silent.means()["cents"])


# -- sound -----------------------------------------------------------------------------------


def test_a_vocoder_learns_to_sing(data: Data) -> None:
    settings = replace(SOUND, steps=60, adversarial=60, frames=24, rate=4e-3)
    stage = Stage(SMALL, settings, 3)
    places = data.long_enough("train", settings.frames)
    torch.manual_seed(1)
    losses = []
    for _ in range(settings.steps):
        losses.append(stage.take(data, places))
        stage.run.step += 1
    for name in ("mel", "spectra"):
        first, last = (np.mean([one[name] for one in part]) for part in (losses[:5], losses[-5:]))
        assert last < 0.8 * first, name
    found = judge(Resynthesis.of(stage.hift, SMALL), data, data.features.part("valid"))
    assert found["mel"] < 3.0


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_step_moves_all_that_is_trained(data: Data, bfloat16: bool) -> None:
    stage = Stage(SMALL, replace(SOUND, adversarial=0, bfloat16=bfloat16), 3)
    models = {"hift": stage.hift, "discriminators": stage.discriminators}
    before = {
        (name, path): parameter.detach().clone()
        for name, model in models.items()
        for path, parameter in model.named_parameters()
    }
    losses = stage.take(data, data.long_enough("train", 12))
    assert set(losses) == {"mel", "spectra", "told apart", "real", "unlike"}
    for (name, path), old in before.items():
        moved = not torch.equal(models[name].get_parameter(path), old)
        assert moved == (not path.startswith("f0_predictor")), path
    # Whoever is listened to learns nothing from what the generator loses.
    assert all(one.grad is None for one in stage.discriminators.parameters())


def test_discriminators_wait_for_their_step(data: Data) -> None:
    stage = Stage(SMALL, SOUND, 3)
    places = data.long_enough("train", SOUND.frames)
    assert set(stage.take(data, places)) == {"mel", "spectra"}
    stage.run.step += 1
    assert "told apart" in stage.take(data, places)


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(data: Data, tmp_path: Path) -> None:
    places = data.long_enough("train", SOUND.frames)
    whole = Stage(SMALL, SOUND, 3)
    torch.manual_seed(5)
    for step in range(4):
        if step == 2:
            Checkpoints(tmp_path, {}).save(whole.run)
        expected = whole.take(data, places)
        whole.run.step += 1
    resumed = Stage(SMALL, SOUND, 4)
    torch.manual_seed(6)
    assert Checkpoints(tmp_path, {}).resume(resumed.run)
    for _ in range(2):
        found = resumed.take(data, places)
        resumed.run.step += 1
    assert found == expected
    for path, parameter in whole.hift.named_parameters():
        assert torch.equal(resumed.hift.get_parameter(path), parameter)


# -- the whole stage -------------------------------------------------------------------------


def test_the_command_learns_listens_and_goes_on(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, recipe = beside(work, tmp_path)
    command = [str(folder), "--recipe", str(recipe)]
    assert main(command) == 0
    out = capsys.readouterr().err
    assert "2 of 2 shards of pitch" in out
    assert "step 3 of 3" in out
    assert "step 3, not trained on: mel" in out
    assert [path.name for path in (folder / "vocoder").glob("step-*")] == ["step-000003"]
    assert main(command) == 0
    assert "going on from step 3" in capsys.readouterr().err

    assert main([*command, "--listen", "1", "--wrong-words", "1"]) == 0
    out = capsys.readouterr().out
    listen = folder / "vocoder" / "listen"
    assert f"{listen / '00002.wav'}\n" in out
    true, made = (read_clip(listen / name) for name in ("00002-true.wav", "00002.wav"))
    assert len(true.samples) == len(made.samples) == 1.28 * 24_000
    assert "wrong words of 1 utterances, pocketsphinx" in out
    assert "true sound" in out
    assert "from its mel" in out


def test_what_was_learnt_is_what_is_used(work: Path, data: Data, tmp_path: Path) -> None:
    """Packed and not, the same; and the predictor is that of the first stage."""
    folder, recipe = beside(work, tmp_path)
    assert main([str(folder), "--recipe", str(recipe)]) == 0
    trained = load(folder / "vocoder", "hift", HiFT(SMALL))
    first = load(folder / "vocoder" / "predictor", "f0_predictor", HiFT(SMALL).f0_predictor)
    for name, parameter in first.named_parameters():
        assert torch.equal(trained.f0_predictor.get_parameter(name), parameter)
    mel = np.asarray(data.mel(0), np.float32)
    pitch, samples = read_vocoder(folder, make_recipe())(mel)
    with torch.inference_mode():
        expected = trained.f0(torch.from_numpy(mel)[None])[0].numpy()
    assert np.allclose(pitch, expected, rtol=1e-4, atol=1e-3)
    assert samples.shape == (480 * len(mel),)


def test_a_recipe_makes_the_same_vocoder_again_and_a_longer_one(work: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        folder, recipe = beside(work, tmp_path / name)
        assert main([str(folder), "--recipe", str(recipe)]) == 0
        found.append(load(folder / "vocoder", "hift", HiFT(SMALL)))
    one, other = found
    for path, parameter in one.named_parameters():
        assert torch.equal(other.get_parameter(path), parameter), path

    recipe.write_text(RECIPE.replace("steps = 3", "steps = 5"), "utf-8")
    assert main([str(folder), "--recipe", str(recipe)]) == 0
    longer = load(folder / "vocoder", "hift", HiFT(SMALL))
    first = load(folder / "vocoder" / "predictor", "f0_predictor", HiFT(SMALL).f0_predictor)
    for path, parameter in first.named_parameters():
        assert torch.equal(longer.f0_predictor.get_parameter(path), parameter)
    assert not torch.equal(longer.output.weight, one.output.weight)
    assert not torch.equal(longer.f0_predictor.output.weight, one.f0_predictor.output.weight)


def test_one_signal_stops_the_pitch_and_nothing_else_begins(work: Path, tmp_path: Path) -> None:
    folder, _ = beside(work, tmp_path)
    told = open_data(folder)
    recipe = make_recipe(
        pitch={"steps": 10**6, "batch": 1, "frames": 16},
        vocoder={"frames": 12, "heard": 6, "windows": [256], "spectra": [256]},
    )
    crops = told.crops

    class Told(Data):
        def crops(self, *arguments: object, **options: object) -> object:
            signal.raise_signal(signal.SIGTERM)
            return crops(*arguments, **options)

    told.__class__ = Told
    assert not learn(recipe, folder, told)
    assert [path.name for path in (folder / "vocoder" / "predictor").iterdir()] == ["step-000001"]
    assert not list((folder / "vocoder").glob("step-*"))


def test_it_is_trained_where_there_is_nothing_to_judge_by(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "work"
    for name in ("corpus", "features"):
        shutil.copytree(work / name, folder / name)
    for path in (*folder.glob("*/*.json"), *folder.glob("*/*.jsonl")):
        found = path.read_text("utf-8")
        path.write_text(re.sub('"part": "(valid|closed)"', '"part": "train"', found), "utf-8")
    recipe = tmp_path / "small.toml"
    recipe.write_text(RECIPE, "utf-8")
    command = [str(folder), "--recipe", str(recipe)]
    assert main(command) == 0
    assert [path.name for path in (folder / "vocoder").glob("step-*")] == ["step-000003"]
    assert "not trained on" not in capsys.readouterr().err
    for option, part in (("--wrong-words", "closed"), ("--listen", "valid")):
        assert main([*command, option, "1"]) == UsageError.exit_code
        assert f"no utterance of the part {part}" in capsys.readouterr().err


def test_other_mels_are_learnt_from(work: Path, tmp_path: Path) -> None:
    mels = tmp_path / "mels"
    mels.mkdir()
    for path in sorted((work / "features").glob("*.mel.npy")):
        np.save(mels / path.name, np.load(path) - np.float16(1.0))
    mine, theirs = open_data(work, mels), open_data(work)
    for place in range(len(mine.features)):
        assert np.array_equal(mine.mel(place), theirs.mel(place) - np.float16(1.0))
    np.save(mels / "00000.mel.npy", np.zeros((7, 80), np.float16))
    with pytest.raises(UsageError, match="holds 169 frames of mel, the features 324"):
        open_data(work, mels)


# -- bad input -------------------------------------------------------------------------------


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="heard is 9, more than"):
        replace(SOUND, heard=9, frames=8)
    with pytest.raises(UsageError, match="frames are too few"):
        replace(SOUND, frames=2, heard=1, windows=(2048,))
    with pytest.raises(UsageError, match="heard is too little"):
        replace(SOUND, heard=1, spectra=(1024,))
    with pytest.raises(UsageError, match=r"vocoder\.batch is 0"):
        replace(SOUND, batch=0)
    with pytest.raises(UsageError, match=r"pitch\.frames is -1"):
        replace(PITCH, frames=-1)


def test_utterances_that_are_too_short(data: Data) -> None:
    with pytest.raises(UsageError, match="part train has 500 frames"):
        data.long_enough("train", 500)


def test_nothing_to_listen_to(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no checkpoint"):
        read_vocoder(tmp_path, make_recipe())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (RECIPE.replace("heard", "hard"), "vocoder.hard"),
        (RECIPE.replace("batch", "bach", 1), "pitch.bach"),
        (RECIPE.replace("frames = 16", "frames = 500"), "has 500 frames"),
    ],
)
def test_a_recipe_that_cannot_be(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, message: str
) -> None:
    folder, path = beside(work, tmp_path, recipe)
    assert main([str(folder), "--recipe", str(path)]) == UsageError.exit_code
    assert message in capsys.readouterr().err
    assert not list((folder / "vocoder").glob("step-*"))


def test_features_of_another_corpus_are_refused(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "features", tmp_path / "features")
    (tmp_path / "corpus").symlink_to(work / "corpus")
    index = tmp_path / "features" / "00001.json"
    index.write_text(index.read_text("utf-8").replace("Go.", "Come.", 1), "utf-8")
    with pytest.raises(UsageError, match="holds features of another corpus"):
        open_data(tmp_path)


@pytest.mark.parametrize("option", ["--listen", "--wrong-words"])
def test_at_least_one_is_listened_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), option, "-1"])
    assert f"{option}: -1 is less than 1" in capsys.readouterr().err


def test_a_folder_without_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == UsageError.exit_code
    assert "holds no corpus" in capsys.readouterr().err
