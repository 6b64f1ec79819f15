"""The MLX engine keeps the contract of all engines: whole, quantised, and as it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbflash.engine import Engine, EngineOptions
from cbflash.errors import EngineError
from mlx_port.backend import BACKEND
from mlx_port.failures import told_failures
from tests.contract import EngineContract


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
