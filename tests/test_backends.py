"""Which engine is chosen, and what is said when none can run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cbflash.backends import choose_backend, installed_backends
from cbflash.engine import Engine, EngineOptions, EngineStatus
from cbflash.errors import EngineError, UsageError


@dataclass(frozen=True)
class Stub:
    """A backend that is there or not."""

    name: str
    available: bool
    aliases: tuple[str, ...] = ()
    accelerated: bool = False
    quantises: bool = False

    def probe(self) -> EngineStatus:
        reason = "" if self.available else f"no {self.name} here; buy one."
        return EngineStatus(self.name, self.available, "a device", "1.0", reason, self.accelerated)

    def load(self, folder: str, options: EngineOptions) -> Engine:
        raise AssertionError("nothing is loaded here")


FAST = Stub("fast", available=False)
SLOW = Stub("slow", available=True, aliases=("tortoise",))


def test_auto_takes_the_first_that_can_run() -> None:
    assert choose_backend("auto", [FAST, SLOW]) is SLOW


def test_auto_prefers_what_is_accelerated() -> None:
    """On a Mac that is MLX although PyTorch is there; on Linux, where MLX has no GPU, not."""
    quick = Stub("quick", available=True, accelerated=True)
    assert choose_backend("auto", [SLOW, quick]) is quick
    assert choose_backend("slow", [SLOW, quick]) is SLOW


def test_auto_takes_one_that_opens_the_model() -> None:
    packing = Stub("packing", available=True, quantises=True)
    assert choose_backend("auto", [SLOW, packing], quantised=True) is packing
    assert choose_backend("slow", [SLOW, packing], quantised=True) is SLOW, "and will say why not"
    with pytest.raises(EngineError, match="converted"):
        choose_backend("auto", [SLOW], quantised=True)


def test_an_alias_is_a_name() -> None:
    assert choose_backend("tortoise", [FAST, SLOW]) is SLOW


def test_one_that_cannot_run_is_refused_with_its_reason() -> None:
    with pytest.raises(EngineError, match="no fast here; buy one"):
        choose_backend("fast", [FAST, SLOW])
    with pytest.raises(EngineError, match="no fast here; buy one"):
        choose_backend("auto", [FAST])


def test_an_unknown_name_is_a_mistake_of_the_user() -> None:
    with pytest.raises(UsageError, match="'warp'"):
        choose_backend("warp", [FAST, SLOW])


def test_the_environment_forces_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBFLASH_BACKEND", "fast")
    with pytest.raises(EngineError, match="no fast here"):
        choose_backend("auto", [FAST, SLOW])
    assert choose_backend("slow", [FAST, SLOW]) is SLOW, "an explicit name goes first"


@pytest.mark.parametrize("name", ["mlx", "cpu"])
def test_both_engines_are_installed_and_run_here(name: str) -> None:
    [backend] = [backend for backend in installed_backends() if backend.name == name]
    status = backend.probe()
    assert status.available
    assert status.version
    assert status.device
