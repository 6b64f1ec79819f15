"""What a command works with, apart from its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cbflash.backends import installed_backends
from cbflash.engine import Backend


@dataclass(frozen=True)
class Context:
    """The surroundings of a command; a test gives its own.

    backends: engines to choose from; None: those of this installation.
    """

    backends: Sequence[Backend] | None = None

    def known_backends(self) -> Sequence[Backend]:
        return installed_backends() if self.backends is None else self.backends
