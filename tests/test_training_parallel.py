"""Several processes learn what one would have learnt."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parallel_run import ROWS, STEPS, main
from training.parallel import any_of, rows_of

NOBODY = -1


def begin(folder: Path, signalled: int, failing: int = NOBODY) -> list[subprocess.Popen[str]]:
    """Two processes with the variables that PyTorch's launcher sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        given = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.parallel_run",
                    *map(str, (folder, signalled, failing)),
                ],
                env=os.environ | {name: str(value) for name, value in given.items()},
                cwd=Path(__file__).parent.parent,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def run_together(folder: Path, signalled: int) -> list[dict[str, Any]]:
    """What two processes print that end well."""
    said = ended(begin(folder, signalled))
    assert [code for code, _, _ in said] == [0, 0], said
    return sorted((json.loads(out) for _, out, _ in said), key=lambda one: int(one["rank"]))


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Their codes and what they said, on stdout and stderr."""
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(one.returncode, *both) for one, both in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return main(tmp_path_factory.mktemp("alone"), NOBODY, NOBODY)


def test_one_process_has_everything_to_itself(alone: dict[str, Any]) -> None:
    assert alone["rows"] == [[0], [0, 1], [*range(ROWS)]]
    assert alone["shared"] == [[1.0, 3.0], None]
    assert (alone["finished"], alone["steps"], alone["lines"]) == (True, STEPS, 1)
    assert rows_of(3) == slice(None)
    assert any_of(True)
    assert not any_of(False)


def test_two_processes_learn_the_same_and_are_stopped_together(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    """The second one is asked to end; then both go on."""
    stopped = run_together(tmp_path, signalled=1)
    assert [one["finished"] for one in stopped] == [False, False]
    assert [one["steps"] for one in stopped] == [3, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000003"]
    # One that still runs when Python ends may abort the process.
    assert [one["threads of the group"] for one in stopped] == [0, 0]
    first, second = run_together(tmp_path, NOBODY)
    assert first["learnt"] == second["learnt"]
    assert first["learnt"] == pytest.approx(alone["learnt"], rel=1e-5)
    assert (first["steps"], first["lines"], second["lines"]) == (STEPS, 2, 0)
    # What counts one and what counts three, of the two of them.
    assert first["shared"] == second["shared"] == [[1.75, 5.25], [0.0]]
    assert first["rows"] == [[0], [0], [0, 2, 4]]
    assert second["rows"] == [[0], [1], [1, 3]]


def test_who_fails_waits_for_nobody_and_the_other_does_not_wait_for_ever(tmp_path: Path) -> None:
    (other, _, lost), (failed, _, told) = ended(begin(tmp_path, NOBODY, failing=1))
    assert (failed, "as it was asked to" in told) == (1, True)
    assert other != 0
    assert "as it was asked to" not in lost
