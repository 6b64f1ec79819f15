"""The commands of training: what they are told, and the codes that they end with."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import pytest

from cbflash.errors import CancelledError, UsageError
from training.command import Command, tell


@pytest.mark.parametrize(
    ("finished", "code"), [(None, 0), (True, 0), (False, CancelledError.exit_code)]
)
def test_who_was_stopped_says_so_to_what_comes_next(finished: bool | None, code: int) -> None:
    """So that `one && other` does not begin the other."""
    given: list[argparse.Namespace] = []

    def act(options: argparse.Namespace) -> bool | None:
        given.append(options)
        return finished

    command = Command.of_work("song", "Sings.")
    command.parser.add_argument("--loud", action="store_true")
    assert command.run(["somewhere", "--loud"], act) == code
    [options] = given
    assert (options.work, options.recipe, options.loud) == (Path("somewhere"), "mini", True)


def test_what_went_wrong_is_told_with_the_name_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def act(options: argparse.Namespace) -> None:
        raise UsageError("There is no song.", "Write one.")

    assert Command("song", None).run([], act) == UsageError.exit_code
    said = capsys.readouterr()
    assert said.err.startswith("training.song: There is no song.")
    assert not said.out


def test_options_nobody_knows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Command("song", "Sings.").run(["--loud"], lambda options: None)
    assert left.value.code == 2
    assert "python -m training.song" in capsys.readouterr().err


def test_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    tell(3, 124, "shards")
    assert capsys.readouterr().err == "3 of 124 shards\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_words(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(options: argparse.Namespace) -> None:
        signal.raise_signal(number)
        raise AssertionError("it goes on")

    before = signal.getsignal(number)
    assert Command("song", None).run([], act) == CancelledError.exit_code
    assert "Stopped. The same command goes on" in capsys.readouterr().err
    assert signal.getsignal(number) == before
