"""A fast BLAS for MLX's CPU build on Linux.

The Linux wheel of MLX brings the reference BLAS, many times slower than OpenBLAS. Both
offer the same symbols, so an OpenBLAS that is loaded first, with global visibility, serves
MLX too. On a Mac there is nothing to do: Metal and Accelerate need no help.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from functools import cache


@cache
def use_fast_blas() -> bool:
    """Load OpenBLAS, where the system has one, before MLX is imported; say whether it did."""
    if not sys.platform.startswith("linux") or "mlx.core" in sys.modules:
        return False
    name = ctypes.util.find_library("openblas")
    if name is None:
        return False
    try:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def fast_blas_loaded() -> bool:
    """Whether matrix products on the CPU are fast."""
    return sys.platform == "darwin" or use_fast_blas()
