"""The PyTorch engine keeps the contract of all engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbflash.engine import Engine, EngineOptions
from cuda_backend.backend import CPU
from tests.contract import EngineContract


class TestTorchEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tiny_model: Path) -> Engine:
        return CPU.load(str(tiny_model), EngineOptions(dtype="float32"))


class TestHalvedTorchEngine(EngineContract):
    """In bfloat16."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tiny_model: Path) -> Engine:
        return CPU.load(str(tiny_model), EngineOptions(dtype="bfloat16"))
