"""What the engine runs on: a device, the attention that suits it, and how work is run.

Everything that could be faster and is not is written to `notes`, for the user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from cbflash.config import ModelConfig, T3Config
from cbflash.errors import EngineError
from cuda_backend.attention import SDPA, Attention
from cuda_backend.cpu_attention import Products
from cuda_backend.device import default_dtype
from cuda_backend.graph import Captured, CUDARecorder, Eager, Runner

Name = Literal["flashinfer", "gpu", "cpu"]
CPU = torch.device("cpu")


@dataclass
class Machine:
    """Where a model is loaded to.

    name: of the backend; "flashinfer" insists on FlashInfer, "gpu" takes it where it runs.
    """

    name: Name
    device: torch.device
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, name: Name) -> Machine:
        """Raises EngineError where there is no such machine."""
        if name == "cpu":
            return cls(name, CPU)
        from cuda_backend.gpu_probe import missing_gpu

        reason = missing_gpu()
        if reason:
            raise EngineError(f"The engine {name!r} cannot run here: {reason}")
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
        if self.device.type == "cpu":
            return eager
        return Captured(eager, attention, CUDARecorder(), config.block_size)

    def _attention(self, config: T3Config, dtype: torch.dtype) -> Attention:
        if self.device.type == "cpu":
            return Products()
        from cuda_backend.attention import choose_flashinfer

        chosen = choose_flashinfer(config, dtype, self.device)
        if not isinstance(chosen, str):
            return chosen
        if self.name == "flashinfer":
            raise EngineError(f"FlashInfer cannot run here: {chosen}", "Without it: --backend gpu.")
        self.notes.append(f"FlashInfer is not used, which is slower: {chosen}")
        return SDPA()

    def memory_remedy(self, config: ModelConfig, dtype: torch.dtype) -> str:
        """What to do when the model itself does not fit."""
        return (
            "Close other programs that use the GPU, choose a smaller --dtype, "
            "or run on the processor: --backend cpu."
        )


def batch_remedy(config: T3Config, dtype: torch.dtype, slots: int, rows: int) -> str:
    """What to do when a batch does not fit: says which would.

    slots: of the longest row; rows: for each prompt.
    """
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    # Keys and values of every layer; a fifth is left for what the passes need themselves.
    prompt = 2 * rows * slots * config.layers * config.heads * config.head_dim * dtype.itemsize
    fits = int(0.8 * free / prompt)
    if fits < 1:
        return "Not even one text fits: close other programs that use the GPU, or shorten it."
    return f"A batch of {fits} would fit."
