"""Shared by all tests."""

from __future__ import annotations

import mlx_port  # noqa: F401  (loads a fast BLAS, where there is one, before MLX is imported)
