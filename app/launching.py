"""Where a command begins: little is imported before Ctrl-C is answered in words, and a large
library that is not installed is named."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

STOPPED = 130
NO_ENGINE = 7


@dataclass(frozen=True)
class Launcher:
    """A command that is not imported yet.

    module: where its `main` is; needs: the library without which it is nothing; missing, stopped:
    what to say where that is not there, and after Ctrl-C.
    """

    command: str
    module: str
    needs: str
    missing: str
    stopped: str

    def __call__(self, arguments: Sequence[str] | None) -> int:
        """Run it; gives the exit code."""
        try:
            code: int = importlib.import_module(self.module).main(arguments)
            return code
        except KeyboardInterrupt:
            print(f"\n{self.stopped}", file=sys.stderr)
            return STOPPED
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != self.needs:
                raise
            print(f"{self.command}: {self.missing}", file=sys.stderr)
            return NO_ENGINE
