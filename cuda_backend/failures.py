"""What PyTorch raises while it computes, as an error of the program."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from cbflash.errors import EngineError

T = TypeVar("T")
FREE = "Close other programs that use it, or run on the processor: --backend cpu."


@contextmanager
def told_failures(remedy: Callable[[], str] = lambda: FREE) -> Iterator[None]:
    """Compute without gradients, and raise EngineError for what PyTorch raises.

    remedy: says what to do when a GPU's memory is short; asked when it is.
    """
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise EngineError(f"The GPU has not enough free memory{_free()}.", remedy()) from error
    except RuntimeError as error:
        raise EngineError(
            f"PyTorch failed: {_first_line(error).rstrip('.')}.",
            "If memory is short: close other programs, or use a smaller batch.",
        ) from error


def guarded(
    work: Generator[T, None, None], remedy: Callable[[], str] = lambda: FREE
) -> Generator[T, None, None]:
    """The items of `work`, each made within `told_failures`, which ends before it is given."""
    try:
        while True:
            with told_failures(remedy):
                try:
                    item = next(work)
                except StopIteration:
                    return
            yield item
    finally:
        work.close()


def _free() -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB are free)"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
