"""From arguments to the command that they name."""

from __future__ import annotations

from collections.abc import Sequence

from app.context import Context
from app.parser import build_parser


def run(arguments: Sequence[str], context: Context | None) -> None:
    """Raises CbflashError, and SystemExit after --help and --version."""
    args = build_parser().parse(arguments)
    args.run(args, Context() if context is None else context)
