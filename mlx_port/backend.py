"""What this package tells the core: whether MLX can run here, and how to load with it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

from cbflash.engine import Engine, EngineOptions, EngineStatus


@dataclass(frozen=True)
class MLXBackend:
    """`cbflash.engine.Backend` for MLX. Importing it does not import MLX."""

    name: str = "mlx"
    aliases: tuple[str, ...] = ()
    quantises: bool = True

    def probe(self) -> EngineStatus:
        if importlib.util.find_spec("mlx") is None:
            return self._missing("MLX is not installed: pip install mlx (Linux: mlx[cpu]).")
        version = importlib.metadata.version("mlx")
        try:
            from mlx_port.device import describe_device, on_gpu
        except (ImportError, OSError, RuntimeError) as error:
            return self._missing(f"MLX {version} does not load: {error}.", version)
        return EngineStatus(self.name, True, describe_device(), version, "", on_gpu())

    def load(self, folder: str, options: EngineOptions) -> Engine:
        from mlx_port.engine import MLXEngine

        return MLXEngine.load(folder, options)

    def _missing(self, reason: str, version: str = "") -> EngineStatus:
        return EngineStatus(self.name, False, "", version, reason)


BACKEND = MLXBackend()
