"""Whether there is a GPU that PyTorch can use, and if not, why, without guessing."""

from __future__ import annotations

import ctypes
import sys

LOWEST = (7, 5)  # compute capability: Turing, the oldest with fast float16


def missing_gpu() -> str:
    """Empty if an NVIDIA GPU can be used; else why not and what to do. Never raises."""
    if not _driver():
        return "There is no NVIDIA driver. Install one, or use --backend cpu."
    import torch

    if torch.version.cuda is None:
        return (
            f"This PyTorch ({torch.__version__}) is built without CUDA. "
            "Install one that is: PyTorch's site says how."
        )
    try:
        capability = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
    except (RuntimeError, AssertionError) as error:
        return (
            f"CUDA {torch.version.cuda} does not start: {_first_line(error)} "
            "Update the NVIDIA driver, or install a PyTorch for its CUDA."
        )
    return too_old(name, capability, torch.cuda.get_arch_list())


def too_old(name: str, capability: tuple[int, int], built_for: list[str]) -> str:
    """Empty if a card of this compute capability can run kernels built for `built_for`
    ("sm_80", "compute_90", ...); else why not."""
    major, minor = capability
    if capability < LOWEST:
        return (
            f"{name} has compute capability {major}.{minor}; "
            f"{LOWEST[0]}.{LOWEST[1]} or higher is needed. Use --backend cpu."
        )
    kinds = [(kind, int(number.rstrip("af"))) for kind, _, number in map(_parted, built_for)]
    number = 10 * major + minor
    # Binaries run within a major version, from their minor version on; "compute" is compiled
    # by the driver for anything newer.
    runs = any(
        (kind == "sm" and built // 10 == major and built <= number)
        or (kind == "compute" and built <= number)
        for kind, built in kinds
    )
    if kinds and not runs:
        return (
            f"This PyTorch has no kernels for {name} (compute capability {major}.{minor}). "
            "Install a build of PyTorch that has, or use --backend cpu."
        )
    return ""


def _parted(architecture: str) -> tuple[str, str, str]:
    return architecture.partition("_")


def _driver() -> bool:
    """Whether the driver's library is there: known before PyTorch is imported."""
    name = {"win32": "nvcuda.dll", "linux": "libcuda.so.1"}.get(sys.platform)
    if name is None:
        return False
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
