"""Chatterbox-Flash in MLX: Metal on Apple Silicon, MLX's CPU build on Linux."""

from mlx_port.blas import use_fast_blas

use_fast_blas()
