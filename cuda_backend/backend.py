"""What this package tells the core: whether PyTorch can run here, and how to load with it.

Three backends: "flashinfer" and "gpu" on an NVIDIA card, "cpu" anywhere.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from typing import Literal

from cbflash.engine import Engine, EngineOptions, EngineStatus

INSTALL = "PyTorch is not installed: pip install torch."


@dataclass(frozen=True)
class TorchBackend:
    """`cbflash.engine.Backend` for PyTorch. Importing it does not import PyTorch."""

    name: Literal["flashinfer", "gpu", "cpu"]
    aliases: tuple[str, ...] = ()
    quantises: bool = False

    def probe(self) -> EngineStatus:
        if importlib.util.find_spec("torch") is None:
            return EngineStatus(self.name, False, "", "", INSTALL)
        version = importlib.metadata.version("torch")
        try:
            reason = self._missing()
            device = "" if reason else self._device()
        except (ImportError, OSError, RuntimeError) as error:
            reason, device = f"PyTorch {version} does not load: {error}.", ""
        return EngineStatus(
            self.name, not reason, device, version, reason, accelerated=self.name != "cpu"
        )

    def load(self, folder: str, options: EngineOptions) -> Engine:
        from cuda_backend.engine import TorchEngine
        from cuda_backend.machine import Machine

        return TorchEngine.load(folder, options, Machine.of(self.name))

    def _missing(self) -> str:
        """Why this backend cannot run here."""
        if self.name == "cpu":
            return ""
        from cuda_backend.gpu_probe import missing_gpu

        reason = missing_gpu()
        if reason or self.name == "gpu":
            return reason
        from cuda_backend.flashinfer_probe import missing_flashinfer

        return missing_flashinfer()

    def _device(self) -> str:
        if self.name == "cpu":
            from cuda_backend.processor import processor

            return processor()
        import torch

        return torch.cuda.get_device_name()


FLASHINFER = TorchBackend("flashinfer")
GPU = TorchBackend("gpu", aliases=("cuda",))
CPU = TorchBackend("cpu", aliases=("torch",))
