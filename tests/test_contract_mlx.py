"""The MLX engine keeps the contract of all engines: whole, quantised, and as it is loaded."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from cbflash.engine import Engine, EngineOptions
from cbflash.errors import EngineError
from cbflash.settings import Sampling
from mlx_port.backend import BACKEND
from mlx_port.failures import told_failures
from tests.contract import EngineContract, make_clip


class TestMLXEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tiny_model: Path) -> Engine:
        return BACKEND.load(str(tiny_model), EngineOptions(dtype="float32"))


class TestQuantisedMLXEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tiny_model: Path) -> Engine:
        return BACKEND.load(str(tiny_model), EngineOptions(dtype="float32", bits=4))


def test_failures_are_told_with_a_remedy() -> None:
    with pytest.raises(EngineError, match=r"out of memory.*--bits 4"), told_failures():
        raise RuntimeError("[malloc] out of memory")


def test_memory_does_not_grow_with_the_lengths_spoken(tiny_model: Path) -> None:
    """Buffers of one length do not serve another; unless they are given back, they pile up."""
    engine = BACKEND.load(str(tiny_model), EngineOptions(dtype="float32"))
    voice = engine.encode_voice(make_clip())
    kept = []
    for count in (20, 40, 60, 80):
        engine.vocoder(voice, Sampling(), 1).push([7] * count, last=True)
        kept.append(mx.get_active_memory() + mx.get_cache_memory())
    assert kept[-1] <= 1.05 * kept[0]
