"""The MLX engine keeps the contract of all engines, on a tiny model with seeded weights."""

from __future__ import annotations

import pytest

from cbflash.engine import Engine, EngineOptions
from mlx_port.engine import MLXEngine
from tests.contract import EngineContract
from tests.seeded_models import write_tiny


class TestMLXEngine(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Engine:
        folder = write_tiny(tmp_path_factory.mktemp("tiny"))
        return MLXEngine.load(str(folder), EngineOptions())
