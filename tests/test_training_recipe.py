"""Recipes: what they say is known to the stages, and the built-in model is small enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from cbflash.errors import ModelError, UsageError
from cuda_backend.model import Chatterbox
from training.codec import CodecSettings
from training.recipe import Recipe, read_recipe
from training.student import StudentSettings
from training.teacher import TeacherSettings

MOST = 12.5e6  # parameters: 25 MB in bfloat16


@dataclass(frozen=True)
class Settings:
    steps: int = 10
    rate: float = 0.5
    loud: bool = False
    by: str = "paper"
    counts: tuple[int, ...] = ()


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return str(path)


def opened(folder: Path, text: str) -> Recipe:
    return read_recipe(written(folder, text))


def test_a_stage_reads_its_own_table(tmp_path: Path) -> None:
    recipe = opened(tmp_path, "seed = 7\n[sizes.t3]\nwidth = 8\n[codec]\nsteps = 3\n[flow]\nx = 1")
    assert (recipe.name, recipe.seed, recipe.sizes.name) == ("mine", 7, "mine")
    assert (recipe.sizes.t3.width, recipe.sizes.t3.layers) == (8, 30)
    assert recipe.settings("codec", Settings) == Settings(steps=3)
    assert recipe.settings("teacher", Settings) == Settings()


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    recipe = opened(tmp_path, 'name = "ours"\n[codec]\nstep = 3')
    known = "by, counts, loud, rate, steps"
    message = rf"The recipe ours has codec\.step.* The settings of codec are: {known}\."
    with pytest.raises(UsageError, match=message):
        recipe.settings("codec", Settings)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('steps = "many"', r"ours has codec\.steps = 'many', which is not a whole number"),
        ("steps = 3.0", r"codec\.steps = 3\.0, which is not a whole number"),
        ("steps = true", r"codec\.steps = True, which is not a whole number"),
        ('rate = "1"', r"codec\.rate = '1', which is not a number"),
        ("rate = true", r"codec\.rate = True, which is not a number"),
        ("loud = 1", r"codec\.loud = 1, which is not true or false"),
        ("by = 2", r"codec\.by = 2, which is not a text"),
    ],
)
def test_a_setting_of_another_type_is_refused(tmp_path: Path, setting: str, message: str) -> None:
    recipe = opened(tmp_path, f'name = "ours"\n[codec]\n{setting}')
    with pytest.raises(UsageError, match=message):
        recipe.settings("codec", Settings)


def test_settings_of_their_types_are_taken(tmp_path: Path) -> None:
    """A whole number is one with a point, too."""
    table = 'steps = 3\nrate = 2\nloud = true\nby = "us"\ncounts = [1, 2]'
    found = opened(tmp_path, f"[codec]\n{table}").settings("codec", Settings)
    assert (found.steps, found.rate, found.loud, found.by) == (3, 2, True, "us")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 3", r"mine\.toml has steps = 3, which is of no stage"),
        ("[codec", r"mine\.toml is no TOML"),
        ('seed = "one"', r"mine\.toml has seed = 'one', which is not a whole number from 0"),
        ("seed = -1", r"seed = -1, which is not"),
        ("seed = 1.5", r"seed = 1\.5, which is not"),
        ("sizes = 3", r"mine\.toml has sizes = 3\..*\[sizes\.t3\]"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        opened(tmp_path, text)


def test_an_unknown_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mine\.toml: .*unknown size 'widht' in T3Config"):
        opened(tmp_path, "[sizes.t3]\nwidht = 8")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nobody\.toml cannot be read: .*project are: .*mini"):
        read_recipe("nobody")
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(UsageError, match=r"mine\.toml is no TOML"):
        read_recipe(str(tmp_path / "mine.toml"))


def test_the_built_in_model_is_small_enough() -> None:
    model = Chatterbox(read_recipe("mini").sizes)
    assert 10e6 < sum(one.numel() for one in model.parameters()) <= MOST


def test_sizes_of_the_built_in_model_fit_together() -> None:
    sizes = read_recipe("mini").sizes
    assert sizes.name == "mini"
    assert sizes.s3tokenizer.codebook == sizes.flow.codebook == sizes.t3.start_speech
    assert sizes.t3.start_speech < sizes.t3.stop_speech < sizes.t3.speech_vocab
    assert sizes.xvector.embedding == sizes.flow.xvector
    assert sizes.voice_encoder.embedding == sizes.t3.speaker_dim


def test_stages_know_the_settings_of_the_built_in_model() -> None:
    recipe = read_recipe("mini")
    recipe.settings("codec", CodecSettings)
    recipe.settings("teacher", TeacherSettings)
    for by in ("paper", "distill"):
        student = recipe.settings(f"student_{by}", StudentSettings)
        assert 0 <= student.annealed < student.steps
