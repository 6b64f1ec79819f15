"""From the released checkpoint to a small MLX folder."""

import mlx_port  # noqa: F401  (a fast BLAS, where there is one, comes before MLX itself)
