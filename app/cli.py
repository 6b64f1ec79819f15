"""The program `cbflash`: one call for one command, and the one place where errors end.

Nothing but the standard library is imported before `main` runs, so that Ctrl-C is answered
from the first moment on.
"""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.context import Context

BY_SIGNAL = 128  # plus the signal's number is the exit code, as shells have it
SIGPIPE = 13  # which not every system has
TIDYING = 2.0  # seconds
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


class StopRequest(KeyboardInterrupt):
    """Ctrl-C was pressed or the process told to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Run one command; give the exit code. `context` None: this machine as it is."""
    # In a packaged program the engine's process begins here too, and goes its own way.
    multiprocessing.freeze_support()
    arguments = sys.argv[1:] if argv is None else list(argv)
    _tolerate_any_character()
    with _stopped_once():
        try:
            from app.commands import run

            run(arguments, context)
            print(end="", flush=True)
        except StopRequest as stop:
            _complain("Stopped.")
            return BY_SIGNAL + stop.number
        except SystemExit as end:  # argparse, after --help and --version
            return int(end.code or 0)
        except BrokenPipeError:
            _drop_output()
            return BY_SIGNAL + SIGPIPE
        except Exception as error:
            code = _explain(error, verbose="--verbose" in arguments)
            _drop_refused()
            return code
    return 0


def _explain(error: Exception, verbose: bool) -> int:
    """Tell the user what went wrong; give the exit code."""
    from cbflash.errors import CbflashError

    if isinstance(error, CbflashError):
        _complain("\n".join(part for part in (str(error.args[0]), error.hint) if part))
        return error.exit_code
    if verbose:
        traceback.print_exception(error)
    _complain(
        f"cbflash met an error it did not expect: {type(error).__name__}: {error}, "
        "please report it (run with --verbose for details)"
    )
    return UNEXPECTED


def _complain(message: str) -> None:
    try:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        print(message, file=sys.stderr, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _drop_refused() -> None:
    """What a full disk did not take, Python would try to write once more on leaving, and end with
    a code of its own."""
    try:
        print(end="", flush=True)
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Nobody reads what is still in the buffer; Python would complain of it on leaving."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tolerate_any_character() -> None:
    """Names and texts may hold what the terminal cannot show: write it as \\u.... then."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _stopped_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the work; pressed again, they do not disturb the tidying up.

    After a while they count again: a library may have swallowed the first.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    asked = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        again, asked = time.monotonic() - asked < TIDYING, time.monotonic()
        if not again:
            raise StopRequest(number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as for a job in the background
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
