"""The commands of training, python -m training.NAME, alike in how they begin and end."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cbflash.errors import CancelledError, CbflashError


class Command:
    """A command and its options.

    name: of the module below `training`; does: what --help says.
    """

    def __init__(self, name: str, does: str | None) -> None:
        self._name = name
        self.parser = argparse.ArgumentParser(prog=f"python -m training.{name}", description=does)

    @classmethod
    def of_work(cls, name: str, does: str | None) -> Command:
        """One that is told where earlier stages left their work, and the recipe."""
        command = cls(name, does)
        command.parser.add_argument("work", type=Path, metavar="WORK")
        command.parser.add_argument("--recipe", default="mini", help="name or TOML file")
        return command

    @classmethod
    def of_training(cls, name: str, does: str | None) -> Command:
        """One that trains, too, and is told where."""
        command = cls.of_work(name, does)
        command.parser.add_argument(
            "--device", choices=("cpu", "cuda"), default="cpu", help="where PyTorch trains (cpu)"
        )
        return command

    def run(
        self,
        arguments: Sequence[str] | None,
        act: Callable[[argparse.Namespace], bool | None],
    ) -> int:
        """Act by what was given; gives the exit code. act: gives False where it was stopped."""
        options = self.parser.parse_args(arguments)
        try:
            with _ended_like_ctrl_c():
                finished = act(options)
        except KeyboardInterrupt:
            print("\nStopped. The same command goes on from what is there.", file=sys.stderr)
            return CancelledError.exit_code
        except CbflashError as error:
            print(f"training.{self._name}: {error}", file=sys.stderr)
            return error.exit_code
        return CancelledError.exit_code if finished is False else 0


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, too, ends what is under way in words."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # where no signal arrives
        return
    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return number


def tell(done: int, count: int, what: str) -> None:
    """How far something is: "3 of 124 shards", on stderr."""
    print(f"{done} of {count} {what}", file=sys.stderr, flush=True)
