"""Progress of a conversion as one line of text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from convert.apply import Progress

_NAMES = {
    "check": "checking the source",
    "t3": "decoder",
    "s3gen": "flow, vocoder, tokenizer",
    "ve": "voice encoder",
}
_QUIET = 0.1  # seconds between two lines


class ProgressLine:
    """Writes how far the present stage is; on a terminal over and over on one line, elsewhere
    once when the stage ends."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._stage = ""
        self._began = 0.0
        self._written = 0.0

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if progress.stage != self._stage:
            self._stage, self._began, self._written = progress.stage, now, 0.0
        last = progress.read >= progress.size
        if not last and (not self._stream.isatty() or now - self._written < _QUIET):
            return
        self._written = now
        start = "\r\x1b[K" if self._stream.isatty() else ""
        text = describe(progress, now - self._began)
        print(f"{start}{text}", end="\n" if last else "", file=self._stream, flush=True)


def describe(progress: Progress, seconds: float) -> str:
    """One line: stage, parameters, speed, time left or taken."""
    what = _NAMES[progress.stage]
    unit = "files" if progress.stage == "check" else "parameters"
    share = progress.read / progress.size if progress.size else 1.0
    line = f"{what}: {progress.done}/{progress.total} {unit}, {share:.0%}"
    if seconds > 0 and progress.read:
        line += f", {progress.read / seconds / 1e6:,.0f} MB/s"
        if progress.read < progress.size:
            left = seconds * (progress.size - progress.read) / progress.read
            return f"{line}, {left:.0f} s left"
    return f"{line}, {seconds:.1f} s"
