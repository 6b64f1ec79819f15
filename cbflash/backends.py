"""Which engines this machine has, and which one is used.

A backend announces itself under the entry-point group "cbflash.engines"; the core imports
none of them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from cbflash.engine import Backend
from cbflash.environment import read_environment
from cbflash.errors import EngineError, UsageError

GROUP = "cbflash.engines"
AUTO = "auto"
# Fastest first, among those that are accelerated and then among those that are not; a backend
# that is not named here comes last. "gpu" takes FlashInfer wherever it runs and can do without;
# "flashinfer" cannot.
PREFERENCE = ("gpu", "flashinfer", "cpu", "mlx")


def installed_backends() -> list[Backend]:
    """Every backend of this installation, whether it can run here or not, fastest first."""
    found: list[Backend] = [entry.load() for entry in entry_points(group=GROUP)]
    return sorted(found, key=lambda backend: (_rank(backend), backend.name))


def choose_backend(
    name: str = AUTO, backends: Sequence[Backend] | None = None, quantised: bool = False
) -> Backend:
    """The backend called `name`, or the fastest one that can run.

    With "auto", CBFLASH_BACKEND decides if it is set.
    quantised: what is to be loaded is a converted folder, or to be quantised while loading.

    Raises UsageError for an unknown name and EngineError with each backend's reason when none
    can run.
    """
    known = installed_backends() if backends is None else list(backends)
    wanted = name
    if wanted == AUTO:
        wanted = read_environment().backend or AUTO
    if wanted != AUTO:
        known = [backend for backend in known if wanted in (backend.name, *backend.aliases)]
        if not known:
            raise _unknown(wanted)
    elif quantised:
        known = [backend for backend in known if backend.quantises]
        if not known:
            raise EngineError(
                "No engine of this installation opens converted models or quantises.",
                "Use the release they were made from, or install MLX: pip install 'mlx[cpu]'",
            )
    slower = None
    reasons = []
    for backend in known:
        status = backend.probe()
        if status.available and status.accelerated:
            return backend
        if status.available:
            slower = slower or backend
        reasons.append(f"{status.name}: {status.reason}")
    if slower:
        return slower
    raise EngineError("No engine can run here. " + " ".join(reasons), "See: cbflash info")


def _unknown(name: str) -> UsageError:
    names = [backend.name for backend in installed_backends()]
    if name in PREFERENCE:
        return UsageError(
            f"The engine {name!r} is not part of this installation.",
            f"It has: {', '.join(names) or 'none'}.",
        )
    return UsageError(f"There is no engine {name!r}.", f"Use auto or one of {', '.join(names)}.")


def _rank(backend: Backend) -> int:
    return PREFERENCE.index(backend.name) if backend.name in PREFERENCE else len(PREFERENCE)
