"""The loop that every stage runs in: steps, checkpoints, a line now and then, and a way to stop."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from app.spelling import spell_seconds
from training.checkpoints import Checkpoints, Run
from training.optimisers import set_rate
from training.parallel import any_of, is_first, launched
from training.schedule import Schedule

Losses = Mapping[str, float]


@dataclass
class Report:
    """Lines of progress: means since the last line, speed, and the time that is left."""

    every: float = 20.0  # seconds
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _sums: dict[str, float] = field(default_factory=dict, init=False)
    _steps: int = field(default=0, init=False)
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.clock()

    def add(self, losses: Losses, step: int, steps: int) -> None:
        """To be called after each step."""
        self._steps += 1
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + loss
        elapsed = self.clock() - self._since
        if elapsed < self.every and step < steps:
            return
        means = "  ".join(f"{name} {total / self._steps:.4f}" for name, total in self._sums.items())
        seconds = elapsed / self._steps
        left = spell_seconds(seconds * (steps - step))
        self.say(f"step {step} of {steps}: {means}  ({seconds:.2f} s a step, {left} left)")
        self._sums, self._steps, self._since = {}, 0, self.clock()

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def train(
    run: Run,
    take: Callable[[], Losses],
    schedule: Schedule,
    rate: float,
    checkpoints: Checkpoints,
    *,
    judge: Callable[[], Losses] | None = None,
    judged: int = 1000,
    report: Report | None = None,
    until: Callable[[], bool] | None = None,
) -> bool:
    """Take steps until the schedule is over; False if somebody stopped it.

    take: one step, forwards, backwards and of the optimisers; gives its losses. judge: losses on
    what is not trained on, every `judged` steps and at the end, when there is a checkpoint; none
    where the corpus has nothing to judge by. It draws from numbers of its own. Ctrl-C and SIGTERM
    end the run after the step, with a checkpoint; a second one at once. So does `until`, asked at
    each step.
    """
    report = report or Report()
    if checkpoints.resume(run) and is_first():
        report.say(f"going on from step {run.step}")
    with _stoppable() as asked:
        while run.step < schedule.steps:
            set_rate(run.optimisers, rate * schedule(run.step))
            losses = take()
            run.step += 1
            first, ended = is_first(), run.step == schedule.steps
            if first:
                report.add(losses, run.step, schedule.steps)
            due = judge if ended or run.step % judged == 0 else None
            if first and due is not None:
                checkpoints.save(run)  # before it is judged, which may fail
                _say(report, run.step, due())
            over = ended or any_of((until is not None and until()) or asked())
            if first and over and due is None:
                checkpoints.save(run)
            if over:
                break
            if first:
                checkpoints.save_if_due(run)
        return run.step >= schedule.steps and not any_of(asked())


def _say(report: Report, step: int, losses: Losses) -> None:
    if not losses:
        return
    found = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
    report.say(f"step {step}, not trained on: {found}")


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Whether a signal asked to stop; the next one is not caught, but from a launcher, which passes
    on what its processes had from the keyboard themselves, and does not wait for ever."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        if not launched():
            signal.signal(number, old[signal.Signals(number)])

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
