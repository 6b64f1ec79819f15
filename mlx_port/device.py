"""The device MLX runs on and what suits it."""

from __future__ import annotations

import mlx.core as mx

from mlx_port.blas import fast_blas_loaded


def on_gpu() -> bool:
    """Whether the default device is a GPU."""
    return mx.default_device() == mx.Device(mx.gpu)


def describe_device() -> str:
    """A name for people: "Apple M3 Max", or the CPU with what slows it down."""
    if on_gpu():
        return str(mx.device_info().get("device_name", "GPU"))
    return "CPU" if fast_blas_loaded() else "CPU without a fast BLAS (install OpenBLAS)"


def default_dtype() -> mx.Dtype:
    """bfloat16 on a GPU; float32 on a CPU, where MLX multiplies nothing else fast."""
    return mx.bfloat16 if on_gpu() else mx.float32
