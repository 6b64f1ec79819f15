"""The devices PyTorch runs on here and what suits them."""

from __future__ import annotations

import torch

from cuda_backend.processor import processor


def describe_device(device: torch.device) -> str:
    """A name for people: "NVIDIA H200", or the processor's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def default_dtype(device: torch.device) -> torch.dtype:
    """Of the decoder: bfloat16 where the device multiplies it fast, else float32.

    A GPU before Ampere emulates bfloat16 and multiplies float16 fast. A CPU multiplies
    bfloat16 about twice as fast as float32 if it has instructions for it, and else slower.
    """
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    return torch.bfloat16 if _multiplies_bfloat16() else torch.float32


def _multiplies_bfloat16() -> bool:
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
