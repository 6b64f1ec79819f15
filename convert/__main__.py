"""Where cbflash-convert begins."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from app.launching import Launcher

_LAUNCH = Launcher(
    "cbflash-convert",
    "convert.command",
    needs="mlx",
    missing="MLX, which makes the small models, is not installed. "
    "Install it: pip install mlx (Linux: 'mlx[cpu]').",
    stopped="Stopped.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    return _LAUNCH(arguments)


if __name__ == "__main__":
    sys.exit(main())
