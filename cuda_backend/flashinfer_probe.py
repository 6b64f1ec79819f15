"""Whether FlashInfer runs here; if not, why, and what to do about it."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cbflash.config import T3Config
from cuda_backend.attention import SDPA, Attention, BlockShape
from cuda_backend.cache import SINKS, Buffers, KVCache
from cuda_backend.flashinfer_attention import FlashInfer

CAPABILITY = (8, 0)
DTYPES = (torch.bfloat16, torch.float16)
INSTALL = "pip install flashinfer-python"
PREFIX, BLOCK = 40, 16  # of the trial; a null row as long takes every way its zeros can lie
TOLERANCE = 0.05  # between two ways to compute in bfloat16, over the largest value


def missing_flashinfer(device: torch.device | None = None) -> str:
    """Why FlashInfer cannot run on a device, the present GPU if none is given, as far as that
    can be told at once. Empty if nothing speaks against it."""
    if device is not None and device.type != "cuda":
        return f"FlashInfer needs an NVIDIA GPU, and this is the {device.type}."
    if not torch.cuda.is_available():
        return "FlashInfer needs an NVIDIA GPU, and PyTorch finds none."
    name = torch.cuda.get_device_name(device)
    return _too_old(name, torch.cuda.get_device_capability(device)) or _not_installed()


def choose_flashinfer(
    config: T3Config, dtype: torch.dtype, device: torch.device
) -> FlashInfer | str:
    """FlashInfer if it runs here, else the reason.

    It compiles its kernels when they are first used on a machine, which takes a minute or more.
    """
    reason = missing_flashinfer(device) or _no_kernels(dtype)
    if reason:
        return reason
    try:
        kernels = importlib.import_module("flashinfer")
    except Exception as error:  # of whatever it imports in its turn
        return f"FlashInfer does not load: {_words(error)}. Try: {INSTALL} --upgrade"
    return tried(kernels, config, dtype, device)


@torch.inference_mode()
def tried(
    kernels: Any, config: T3Config, dtype: torch.dtype, device: torch.device
) -> FlashInfer | str:
    """FlashInfer with the module `kernels` if a block comes out as it should, else the reason.

    Raises torch.OutOfMemoryError, which says nothing about FlashInfer.
    """
    name = f"FlashInfer {getattr(kernels, '__version__', '')}".strip()
    attention = FlashInfer(kernels)
    expected = _block(SDPA(), config, dtype, device)
    try:
        off = _difference(_block(attention, config, dtype, device), expected)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # compilers fail in many ways, and there is another attention
        return (
            f"{name} does not run: {_words(error)}. It compiles its kernels with the CUDA toolkit, "
            f"so see that there is one (nvcc --version), or take another release of it."
        )
    if not off <= TOLERANCE:  # not a number is wrong, too
        return f"{name} computes wrong numbers here (off by {off:.0%}). Try: {INSTALL} --upgrade"
    return attention


def _too_old(name: str, capability: tuple[int, int]) -> str:
    if capability >= CAPABILITY:
        return ""
    has, needed = (".".join(map(str, version)) for version in (capability, CAPABILITY))
    return f"FlashInfer needs compute capability {needed}, from Ampere on; {name} has {has}."


def _not_installed() -> str:
    if importlib.util.find_spec("flashinfer") is not None:
        return ""
    return f"FlashInfer is not installed: {INSTALL}"


def _no_kernels(dtype: torch.dtype) -> str:
    if dtype in DTYPES:
        return ""
    name = str(dtype).removeprefix("torch.")
    return f"FlashInfer does not compute in {name}: choose --dtype bfloat16 or float16."


def _block(
    attention: Attention, config: T3Config, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """What the passes of a block give in one layer, for a prompt and its null row."""
    source = torch.Generator().manual_seed(0)
    heads = (config.heads, config.head_dim)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, *heads, generator=source).to(dtype).to(device)

    slots = PREFIX + 2 * BLOCK
    buffers = Buffers.allocate(replace(config, layers=1), 2, slots, dtype, device)
    for buffer in (buffers.keys[0], buffers.values[0]):
        buffer[0, :PREFIX] = draw(PREFIX)
    cache = KVCache(buffers, rows=(0, 1), lengths=(PREFIX, SINKS), sinks=(0, PREFIX))
    block = attention.block(BlockShape(2, BLOCK, BLOCK, slots), cache)
    block.update(cache)
    passes = [(block.settle(), 2 * BLOCK), (block.step(), BLOCK)]
    mixed = [place.attend(0, *draw(3, 2, count)) for place, count in passes]
    return torch.cat(mixed, dim=1).float()


def _difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _words(error: Exception) -> str:
    """The line that says most: what a compiler calls an error, or else the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if any(w in line for w in ("error:", "fatal", "not found"))]
    said = (telling or lines or [type(error).__name__])[-1]
    return said.rstrip(".")[:300]
