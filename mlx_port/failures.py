"""What MLX raises while it computes, as an error of the program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cbflash.errors import EngineError


@contextmanager
def told_failures() -> Iterator[None]:
    """Raise EngineError for MLX's RuntimeError, which mostly means that memory is short."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(
            f"MLX failed: {error}",
            "If memory is short: close other programs, or use a smaller model (--bits 4) or batch.",
        ) from error
