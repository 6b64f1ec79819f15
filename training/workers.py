"""Processes that help another: Ctrl-C is the other's business, and they end with the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes. What has not begun at the end, or when something fails, never will."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=serve_parent) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def serve_parent() -> None:
    """To be called first in a spawned process; does nothing in any other.

    The programs that it starts ignore Ctrl-C as well: what is under way is finished.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)  # a thread cannot end its process otherwise

    threading.Thread(target=end_with_parent, daemon=True).start()
