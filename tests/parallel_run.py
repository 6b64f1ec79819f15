"""A small run as one of several processes: python -m tests.parallel_run FOLDER SIGNALLED FAILING

Prints what it knows of the others, what it learnt, and what is left of the group in the end. Where
SIGNALLED is its rank, it is asked to end in its third step; where FAILING is, it fails in its
second.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.checkpoints import Checkpoints, Run
from training.loop import Losses, Report, train
from training.optimisers import take_step
from training.parallel import is_first, joined, rows_of, share
from training.schedule import Schedule

ROWS, STEPS = 5, 6


def main(folder: Path, signalled: int, failing: int) -> dict[str, object]:
    rank = 0 if is_first() else 1
    weights = torch.full((2,), float(rank)), torch.zeros(1)
    weights[0].requires_grad_().grad = torch.tensor([1.0, 3.0]) * (1 + rank)
    weights[1].requires_grad_()
    share(weights, weight=1.0 + 2 * rank)

    model = nn.Linear(3, 2)
    nn.init.constant_(model.weight, 0.1)
    nn.init.zeros_(model.bias)
    optimisers = {"sgd": torch.optim.SGD(model.parameters(), lr=0.1)}
    run = Run({"model": model}, optimisers, np.random.default_rng(1))

    def take() -> Losses:
        """Of rows that count differently."""
        if run.step == 1 and rank == failing:
            raise ValueError("as it was asked to")
        if run.step == 2 and rank == signalled:
            signal.raise_signal(signal.SIGTERM)
        x = torch.from_numpy(run.numbers.standard_normal((ROWS, 3))).float()
        counted = torch.from_numpy(run.numbers.random((ROWS, 2)) < 0.5)
        counted[:2] = True
        mine = rows_of(ROWS)
        loss = (model(x[mine])[counted[mine]] - 1).square().mean()
        torch.autograd.backward(loss)
        take_step(optimisers, weight=float(counted[mine].sum()))
        return {"loss": loss.item()}

    report = Report(stream=io.StringIO())
    finished = train(run, take, Schedule(STEPS), 0.5, Checkpoints(folder, {}), report=report)
    assert isinstance(report.stream, io.StringIO)
    return {
        "rank": rank,
        "shared": [None if one.grad is None else one.grad.tolist() for one in weights],
        "rows": [list(range(count))[rows_of(count)] for count in (1, 2, ROWS)],
        "finished": finished,
        "steps": run.step,
        "learnt": [*model.weight.flatten().tolist(), *model.bias.tolist()],
        "lines": report.stream.getvalue().count("\n"),
    }


def threads() -> int:
    """How many threads PyTorch's groups still have; none are found but on Linux."""
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


if __name__ == "__main__":
    with joined():
        found = main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
    print(json.dumps(found | {"threads of the group": threads()}))
