"""What the engine runs on: a device, the attention that suits it, and how work is run.

Everything that could be faster and is not is written to `notes`, for the user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from cbflash.config import T3Config
from cbflash.errors import EngineError
from cuda_backend.attention import SDPA, Attention
from cuda_backend.cpu_attention import Products
from cuda_backend.device import default_dtype
from cuda_backend.flashinfer_probe import choose_flashinfer
from cuda_backend.gpu_probe import missing_gpu
from cuda_backend.graph import Captured, CUDARecorder, Eager, Runner

Name = Literal["flashinfer", "gpu", "cpu"]
CPU = torch.device("cpu")


@dataclass
class Machine:
    """Where a model is loaded to.

    name: of the backend; "flashinfer" insists on FlashInfer, "gpu" takes it where it runs and is
        called "flashinfer" then.
    flashinfer, graphs: whether a GPU may use them; without, for comparison.
    """

    name: Name
    device: torch.device
    flashinfer: bool = True
    graphs: bool = True
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, name: Name) -> Machine:
        """Raises EngineError where there is no such machine."""
        if name == "cpu":
            return cls(name, CPU)
        reason = missing_gpu()
        if reason:
            raise EngineError(f"The engine {name!r} cannot run here: {reason}")
        # Float32 shall be that: TensorFloat keeps ten bits, and tokens are decided by the last.
        torch.backends.cudnn.allow_tf32 = False
        return cls(name, torch.device("cuda", torch.cuda.current_device()))

    @property
    def dtype(self) -> torch.dtype:
        """Of the decoder, where nobody says otherwise."""
        return default_dtype(self.device)

    @property
    def together(self) -> int:
        """Utterances that are turned into sound at once."""
        return 16 if self.device.type == "cuda" else 1

    def runner(self, config: T3Config, dtype: torch.dtype) -> Runner:
        """Raises EngineError if FlashInfer is insisted on and cannot run."""
        attention = self._attention(config, dtype)
        eager = Eager(attention, config, dtype, self.device)
        if self.device.type == "cpu" or not self.graphs:
            return eager
        return Captured(eager, attention, CUDARecorder(), config.block_size)

    def _attention(self, config: T3Config, dtype: torch.dtype) -> Attention:
        if self.device.type == "cpu":
            return Products()
        if not self.flashinfer:
            return SDPA()
        chosen = choose_flashinfer(config, dtype, self.device)
        if not isinstance(chosen, str):
            self.name = "flashinfer"
            return chosen
        if self.name == "flashinfer":
            raise EngineError(f"FlashInfer cannot run here: {chosen}", "Without it: --backend gpu.")
        self.notes.append(f"FlashInfer is not used, which is slower: {chosen}")
        return SDPA()
