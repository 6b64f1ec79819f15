"""Where cbflash-convert begins: little is imported before Ctrl-C is answered in words."""

from __future__ import annotations

import sys
from collections.abc import Sequence

STOPPED = 130
NO_ENGINE = 7


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    try:
        from convert.command import main as command

        return command(arguments)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return STOPPED
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mlx":
            raise
        print(
            "cbflash-convert: MLX, which makes the small models, is not installed. "
            "Install it: pip install mlx (Linux: 'mlx[cpu]').",
            file=sys.stderr,
        )
        return NO_ENGINE


if __name__ == "__main__":
    sys.exit(main())
