"""Where cbflash-distill begins: PyTorch may not be there, and Ctrl-C is answered in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence

STOPPED = 130
NO_ENGINE = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    try:
        from training.distill.command import main as command

        return command(arguments)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from what is there.", file=sys.stderr)
        return STOPPED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        print(
            "cbflash-distill: PyTorch, which trains the decoder, is not installed. "
            "Install it: pip install 'cbflash[training]'.",
            file=sys.stderr,
        )
        return NO_ENGINE


if __name__ == "__main__":
    sys.exit(main())
