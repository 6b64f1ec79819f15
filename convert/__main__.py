"""Where cbflash-convert begins: little is imported before Ctrl-C is answered in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence

STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    try:
        from convert.command import main as command

        return command(arguments)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
