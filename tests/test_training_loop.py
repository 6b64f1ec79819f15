"""The loop of every stage: it can be stopped anywhere, and ends as if it had not been."""

from __future__ import annotations

import io
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from training.checkpoints import Checkpoints, Run
from training.loop import Losses, Report, train
from training.optimisers import make_optimisers, take_step
from training.schedule import Schedule

STEPS, RATE = 12, 1e-2
SCHEDULE = Schedule(STEPS, warmup=3, decay=0.5)


@dataclass
class Task:
    """A small model with dropout, on data from the run's own numbers.

    before: called with the number of each step, before it is taken.
    """

    folder: Path
    before: Callable[[int], object] = lambda step: None
    judged: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    out: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(20, 24), nn.GELU(), nn.Linear(24, 4))
        optimisers = make_optimisers([self.model], RATE)
        assert sorted(optimisers) == ["adamw", "muon"]
        self.run = Run({"model": self.model}, optimisers, np.random.default_rng(1))

    def take(self) -> Losses:
        self.before(self.run.step)
        self.rates += {
            group["lr"] for one in self.run.optimisers.values() for group in one.param_groups
        }
        x = torch.from_numpy(self.run.numbers.standard_normal((3, 20)).astype(np.float32))
        loss = F.dropout(self.model(x), 0.5).square().mean()
        torch.autograd.backward(loss)
        take_step(self.run.optimisers)
        return {"loss": loss.item()}

    def judge(self) -> Losses:
        self.judged.append(self.run.step)
        return {"loss": 1.5}

    def train(self, seed: int, every: float = 1e9, schedule: Schedule = SCHEDULE) -> bool:
        torch.manual_seed(seed)
        checkpoints = Checkpoints(self.folder, {"rate": RATE}, every=every)
        report = Report(stream=self.out)
        return train(
            self.run, self.take, schedule, RATE, checkpoints,
            judge=self.judge, judged=5, report=report,
        )  # fmt: skip

    def values(self) -> list[float]:
        return torch.cat([one.detach().flatten() for one in self.model.parameters()]).tolist()

    def saved(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


class KilledError(Exception):
    """The power is gone."""


def kill_at(step: int) -> Callable[[int], None]:
    def before(number: int) -> None:
        if number == step:
            raise KilledError

    return before


def signal_at(step: int, number: signal.Signals) -> Callable[[int], None]:
    def before(at: int) -> None:
        if at == step:
            signal.raise_signal(number)

    return before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A run that nobody stopped."""
    task = Task(tmp_path_factory.mktemp("whole"))
    assert task.train(seed=4)
    return task


def test_a_run_ends_with_a_checkpoint_and_was_judged(whole: Task) -> None:
    assert whole.saved() == ["step-000010", "step-000012"]
    assert whole.judged == [5, 10, 12]
    lines = whole.out.getvalue().splitlines()
    assert lines.count("step 5, not trained on: loss 1.5000") == 1
    assert any(line.startswith("step 12 of 12: loss ") for line in lines)


@pytest.mark.parametrize("step", [5, STEPS])
def test_a_judge_that_fails_costs_no_step(whole: Task, tmp_path: Path, step: int) -> None:
    task = Task(tmp_path)

    def judge() -> Losses:
        if task.run.step == step:
            raise KilledError
        return {"loss": 1.5}

    task.judge = judge
    with pytest.raises(KilledError):
        task.train(seed=4)
    resumed = Task(tmp_path)
    assert resumed.train(seed=99)
    assert f"going on from step {step}" in resumed.out.getvalue()
    assert resumed.values() == whole.values()


def test_nothing_is_said_where_there_is_nothing_to_judge_by(tmp_path: Path) -> None:
    task = Task(tmp_path)
    task.judge = dict
    assert task.train(seed=4)
    assert "not trained on" not in task.out.getvalue()


def test_a_killed_run_that_goes_on_ends_the_same(whole: Task, tmp_path: Path) -> None:
    killed = Task(tmp_path, kill_at(7))
    with pytest.raises(KilledError):
        killed.train(seed=4, every=0.0)
    assert killed.saved() == ["step-000006", "step-000007"]
    resumed = Task(tmp_path)
    assert resumed.train(seed=99)
    assert "going on from step 7" in resumed.out.getvalue()
    assert resumed.values() == whole.values() != killed.values()
    assert resumed.rates == whole.rates[7:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_the_step(
    whole: Task, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    stopped = Task(tmp_path, signal_at(3, number))
    assert not stopped.train(seed=4)
    assert signal.getsignal(number) is before
    assert stopped.run.step == 4
    assert stopped.saved() == ["step-000004"]
    resumed = Task(tmp_path)
    assert resumed.train(seed=99)
    assert resumed.values() == whole.values()


def test_a_second_signal_is_not_caught(tmp_path: Path) -> None:
    def before(step: int) -> None:
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    # Whoever starts tests in the background may have them ignore it.
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Task(tmp_path, before).train(seed=4)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, old)


def test_a_launcher_may_say_again_what_the_keyboard_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(step: int) -> None:
        if step == 2:
            for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    task = Task(tmp_path, before)
    assert not task.train(seed=4)
    assert task.saved() == [f"step-{task.run.step:06d}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_afterwards_what_they_were(tmp_path: Path, number: signal.Signals) -> None:
    def own(*_: object) -> None:
        """Of whoever trains."""

    old = signal.signal(number, own)
    try:
        assert Task(tmp_path).train(seed=4)
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, old)


def test_a_signal_between_two_steps_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the loop has already looked whether there was one."""
    task = Task(tmp_path)

    def due(self: Checkpoints, run: Run) -> None:
        if run.step == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Checkpoints, "save_if_due", due)
    assert not task.train(seed=4)
    assert task.saved() == [f"step-{task.run.step:06d}"]


def test_a_run_that_is_over_is_not_gone_on_with(whole: Task) -> None:
    again = Task(whole.folder, kill_at(12))
    assert again.train(seed=4)
    assert again.values() == whole.values()


def test_a_run_may_be_lengthened(whole: Task, tmp_path: Path) -> None:
    """As long as its rate had not begun to fall."""
    stopped = Task(tmp_path, signal_at(5, signal.SIGTERM))
    assert not stopped.train(seed=4)
    longer = Schedule(STEPS + 8, SCHEDULE.warmup, SCHEDULE.decay)
    resumed, straight = Task(tmp_path), Task(tmp_path / "straight")
    assert resumed.train(seed=99, schedule=longer)
    assert straight.train(seed=4, schedule=longer)
    assert resumed.values() == straight.values() != whole.values()


# -- the rate ---------------------------------------------------------------------------------


def test_steps_are_taken_with_the_rate_of_the_schedule(whole: Task) -> None:
    assert whole.rates == [RATE * SCHEDULE(step) for step in range(STEPS)]


def test_a_schedule_rises_stays_and_falls_to_zero() -> None:
    schedule = Schedule(100, warmup=10, decay=0.3)
    parts = [schedule(step) for step in range(101)]
    assert parts[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert parts[10:71] == [1.0] * 61
    assert parts[70:] == pytest.approx([1 - n / 30 for n in range(31)])
    assert parts[100] == 0.0 < parts[99]


def test_a_longer_schedule_is_the_same_until_the_shorter_falls() -> None:
    short, long = Schedule(100), Schedule(400)
    assert [short(step) for step in range(71)] == [long(step) for step in range(71)]


def test_a_short_schedule_is_never_above_its_sides() -> None:
    assert all(0 < Schedule(5)(step) <= (step + 1) / 50 for step in range(5))


# -- lines ------------------------------------------------------------------------------------


def test_a_line_has_means_since_the_last_one() -> None:
    """Every step takes four seconds, the first one too."""
    now = 100.0
    report = Report(every=10.0, stream=io.StringIO(), clock=lambda: now)
    for step in range(1, 9):
        now += 4.0
        report.add({"loss": float(step)}, step, 8)
    assert isinstance(report.stream, io.StringIO)
    lines = report.stream.getvalue().splitlines()
    assert lines == [
        "step 3 of 8: loss 2.0000  (4.00 s a step, 20 s left)",
        "step 6 of 8: loss 5.0000  (4.00 s a step, 8 s left)",
        "step 8 of 8: loss 7.5000  (4.00 s a step, 0 s left)",
    ]


# -- optimisers -------------------------------------------------------------------------------


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 20)
        self.hidden = nn.Linear(20, 24)
        self.narrow = nn.Linear(24, 16)
        self.conv = nn.Conv1d(24, 24, 3)
        self.head = nn.Linear(24, 30)
        self.still = nn.Linear(20, 20).requires_grad_(False)


def test_hidden_matrices_are_muons_and_all_else_adamws() -> None:
    parts = Parts()
    names = {id(one): name for name, one in parts.named_parameters()}
    taken = {
        kind: {names[id(one)] for group in optimiser.param_groups for one in group["params"]}
        for kind, optimiser in make_optimisers([parts], RATE, plain=("head",)).items()
    }
    assert taken["muon"] == {"hidden.weight"}
    assert taken["adamw"] == {
        *("table.weight", "hidden.bias", "narrow.weight", "narrow.bias"),
        *("conv.weight", "conv.bias", "head.weight", "head.bias"),
    }
    [only] = make_optimisers([nn.Embedding(30, 20)], RATE)
    assert only == "adamw"


def test_gradients_are_clipped_together_and_forgotten() -> None:
    one, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimisers = {name: torch.optim.SGD([x], lr=1.0) for name, x in (("a", one), ("b", other))}
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert take_step(optimisers, limit=2.5) == pytest.approx(5.0)
    assert one.tolist() == pytest.approx([-1.5, 0.0])
    assert other.tolist() == pytest.approx([0.0, -2.0])
    assert one.grad is None
    assert other.grad is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_thrown_away(tmp_path: Path, bad: float) -> None:
    task = Task(tmp_path)
    before = task.values()
    for parameter in task.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    task.model[0].bias.grad[3] = bad
    assert not np.isfinite(take_step(task.run.optimisers))
    assert task.values() == before
    assert all(one.grad is None for one in task.model.parameters())
    assert all(not one.state_dict()["state"] for one in task.run.optimisers.values())


def test_lines_are_of_this_form(whole: Task) -> None:
    assert re.search(
        r"step 12 of 12: loss \d\.\d{4}  \(.* s a step, 0 s left\)", whole.out.getvalue()
    )
