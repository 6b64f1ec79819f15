"""A training run goes on where it was, whatever stopped it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cbflash.errors import ModelError, OutputError
from tests.full_disk import files_up_to
from training import checkpoints
from training.checkpoints import Checkpoints, Run, shape_of

CONFIG = {"width": 8, "data": {"voices": ["a", "b"]}, "rate": 1e-2}


def begun() -> Run:
    torch.manual_seed(0)
    models = {"reader": nn.Linear(4, 8), "writer": nn.Linear(8, 4).to(torch.bfloat16)}
    optimisers = {
        "reader": torch.optim.AdamW(models["reader"].parameters(), lr=1e-2),
        "writer": torch.optim.SGD(models["writer"].parameters(), lr=1e-2, momentum=0.9),
    }
    return Run(models, optimisers, np.random.default_rng(1))


def go_on(run: Run, steps: int) -> float:
    """Random numbers of every kind take part."""
    loss = torch.zeros(())
    for _ in range(steps):
        x = torch.from_numpy(run.numbers.standard_normal((3, 4)).astype(np.float32))
        hidden = F.dropout(run.models["reader"](x), 0.5)
        loss = (run.models["writer"](hidden.to(torch.bfloat16)).float() - x).square().mean()
        for optimiser in run.optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        for optimiser in run.optimisers.values():
            optimiser.step()
        run.step += 1
    return loss.item()


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, stopped = begun(), begun()
    torch.manual_seed(3)
    expected = go_on(whole, 12)
    torch.manual_seed(3)
    go_on(stopped, 5)
    Checkpoints(tmp_path, CONFIG).save(stopped)
    torch.manual_seed(99)
    resumed = begun()
    assert Checkpoints(tmp_path, CONFIG).resume(resumed)
    assert resumed.step == 5
    assert go_on(resumed, 7) == expected
    for name, model in whole.models.items():
        for ours, theirs in zip(resumed.models[name].parameters(), model.parameters(), strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


def test_nothing_to_resume_is_no_error(tmp_path: Path) -> None:
    run = begun()
    assert not Checkpoints(tmp_path / "new", CONFIG).resume(run)
    assert run.step == 0


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    run, kept = begun(), Checkpoints(tmp_path, CONFIG)
    for step in (7, 80, 1_000_000, 1_000_000):
        run.step = step
        kept.save(run)
    assert [path.name for path in kept.paths()] == ["step-000080", "step-1000000"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000080", "step-1000000"]


def test_saving_is_due_now_and_then(tmp_path: Path) -> None:
    now = 100.0
    run, kept = begun(), Checkpoints(tmp_path, CONFIG, every=60.0, clock=lambda: now)
    assert kept.save_if_due(run) is None
    now = 160.0
    assert kept.save_if_due(run) == tmp_path / "step-000000"
    now = 219.0
    assert kept.save_if_due(run) is None


def test_another_recipe_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, CONFIG).save(begun())
    run = begun()
    other = CONFIG | {"data": {"voices": ["a", "c"]}}
    with pytest.raises(ModelError, match=r"data\.voices = \['a', 'b'\], not \['a', 'c'\]"):
        Checkpoints(tmp_path, other).resume(run)
    with pytest.raises(ModelError, match="seed = None, not 3"):
        Checkpoints(tmp_path, CONFIG | {"seed": 3}).resume(run)
    assert Checkpoints(tmp_path, json.loads(json.dumps(CONFIG))).resume(run)


def test_what_is_free_may_be_another(tmp_path: Path) -> None:
    """In the recipe or missing from it; and nothing else of its name."""
    Checkpoints(tmp_path, CONFIG | {"codec": {"steps": 3}}).save(begun())
    free = ["codec.steps"]
    for codec in ({"steps": 5}, {}):
        other = CONFIG | {"codec": codec}
        assert Checkpoints(tmp_path, other, free=free).resume(begun())
        with pytest.raises(ModelError, match=r"codec\.steps = 3, not"):
            Checkpoints(tmp_path, other).resume(begun())
    with pytest.raises(ModelError, match="steps = None, not 5"):
        Checkpoints(tmp_path, other | {"steps": 5}, free=free).resume(begun())


def test_the_shape_of_a_parameter(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no checkpoint"):
        shape_of(tmp_path, "reader", "weight")
    Checkpoints(tmp_path, CONFIG).save(begun())
    assert shape_of(tmp_path, "reader", "weight") == (8, 4)
    for name, parameter in (("reader", "wait"), ("leader", "weight")):
        with pytest.raises(ModelError, match=f"another model: it has no model/{name}/{parameter}"):
            shape_of(tmp_path, name, parameter)


def test_a_save_that_fails_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = begun(), Checkpoints(tmp_path, CONFIG)
    kept.save(run)
    weight = run.models["reader"].weight.detach().clone()
    go_on(run, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_tensors", full)
        with pytest.raises(OSError, match="No space"):
            kept.save(run)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000"]
    assert kept.resume(run)
    assert torch.equal(run.models["reader"].weight, weight)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is space for the tensors, but not for what is written about them."""
    monkeypatch.setattr(checkpoints, "write_tensors", lambda path, *_: path.touch())
    with files_up_to(100), pytest.raises(OutputError, match=r"state\.json could not be written"):
        Checkpoints(tmp_path, CONFIG).save(begun())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "no json", "version"])
def test_a_damaged_one_is_named(tmp_path: Path, damage: str) -> None:
    path = Checkpoints(tmp_path, CONFIG).save(begun())
    state, tensors = path / "state.json", path / "tensors.safetensors"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-9])
    elif damage == "no json":
        state.write_text("{", "utf-8")
    else:
        state.write_text(state.read_text("utf-8").replace('"version": 1', '"version": 9'), "utf-8")
    with pytest.raises(ModelError, match="step-000000"):
        Checkpoints(tmp_path, CONFIG).resume(begun())
