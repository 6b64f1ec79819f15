"""What becomes the built-in model, and what does not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cbflash.builtin import BUILTIN
from cbflash.checkpoint import CONFIG, FILES, verify
from cbflash.errors import OutputError
from cbflash.manifest import read_manifest
from cbflash.tensorfile import Array, TensorFile, TensorSpec, write_tensors
from tests.full_disk import files_up_to
from training import ship
from training.ship import main

Spoil = Callable[[Path], None]


@pytest.fixture
def model(mini_assets: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(mini_assets / BUILTIN, tmp_path / "trained"))


def run(model: Path, assets: Path) -> int:
    return main([str(model), "--assets", str(assets)])


def rewrite(path: Path, changed: TensorSpec, array: Array) -> None:
    """Put one tensor more, or another in the place of one of that name, into a file."""
    file = TensorFile.open(path)
    specs = {name: TensorSpec(name, file[name].dtype, file[name].shape) for name in file}
    arrays: dict[str, Array] = {name: np.array(file.raw(name)) for name in file}
    specs[changed.name], arrays[changed.name] = changed, array
    write_tensors(path, list(specs.values()), [arrays[name] for name in specs])


def test_a_trained_model_becomes_the_built_in_one(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "assets" / BUILTIN
    target.mkdir(parents=True)
    (target / ship.CARD).write_text("what it is", "utf-8")
    (model / "notes.txt").write_text("not for shipping", "utf-8")
    assert run(model, tmp_path / "assets") == 0
    assert re.search(rf"{re.escape(str(target))}: 2\d\.\d MB", capsys.readouterr().out)
    names = {*FILES["release"].values(), CONFIG}
    assert {path.name for path in target.iterdir()} == {*names, ship.CARD, ship.MANIFEST}
    assert (target / ship.CARD).read_text("utf-8") == "what it is"
    manifest = read_manifest(target)
    assert manifest is not None
    assert set(manifest.files) == names
    assert all(line.ok and "sha256" in line.message for line in verify(target))
    assert run(model, tmp_path / "assets") == 0, "it can be replaced by a better one"


def test_a_full_disk_is_told(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_up_to(1000):
        assert run(model, tmp_path / "assets") == OutputError.exit_code
    assert "could not be written" in capsys.readouterr().err
    assert not list((tmp_path / "assets").iterdir())


def rename(model: Path) -> None:
    config = json.loads((model / CONFIG).read_text("utf-8"))
    config["sizes"]["name"] = "other"
    (model / CONFIG).write_text(json.dumps(config), "utf-8")


def add_a_tensor(model: Path) -> None:
    spec = TensorSpec("similarity_weight", "F32", (1,))
    rewrite(model / FILES["release"]["ve"], spec, np.ones(1, np.float32))


def widen_a_matrix(model: Path) -> None:
    path = model / FILES["release"]["ve"]
    file = TensorFile.open(path)
    spec = TensorSpec("proj.weight", "F32", file["proj.weight"].shape)
    rewrite(path, spec, np.array(file.read("proj.weight"), np.float32))


def forget_a_letter(model: Path) -> None:
    path = model / FILES["release"]["tokenizer"]
    data = json.loads(path.read_text("utf-8"))
    data["model"]["vocab"]["ø"] = data["model"]["vocab"].pop("q")
    path.write_text(json.dumps(data), "utf-8")


def lose_a_file(model: Path) -> None:
    (model / FILES["release"]["ve"]).unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (rename, "is 'other', a release folder"),
        (add_a_tensor, "holds similarity_weight, which nothing is made of"),
        (widen_a_matrix, "proj.weight is F32, not BF16"),
        (forget_a_letter, "does not know q"),
        (lose_a_file, "ve.safetensors is missing"),
    ],
)
def test_what_cannot_be_shipped_is_refused(
    spoil: Spoil,
    words: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(model)
    assert run(model, tmp_path / "assets") == 5
    assert words in capsys.readouterr().err
    assert not (tmp_path / "assets" / BUILTIN).exists()


def test_what_is_too_large_is_refused(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ship, "LARGEST", 20_000_000)
    assert run(model, tmp_path / "assets") == 5
    assert "20,000,000 is the most" in capsys.readouterr().err
    assert list((tmp_path / "assets").iterdir()) == []
