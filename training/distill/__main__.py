"""Where cbflash-distill begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from app.launching import Launcher

_LAUNCH = Launcher(
    "cbflash-distill",
    "training.distill.command",
    needs="torch",
    missing="PyTorch, which trains the decoder, is not installed. "
    "Install it: pip install 'cbflash[training]'.",
    stopped="Stopped. The same command goes on from what is there.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    return _LAUNCH(arguments)


if __name__ == "__main__":
    sys.exit(main())
