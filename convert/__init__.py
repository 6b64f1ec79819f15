"""From the released checkpoint to a small MLX folder.

from convert import convert
convert("chatterbox-flash", "chatterbox-flash-4bit", bits=4)
"""

import mlx_port  # noqa: F401  (a fast BLAS, where there is one, comes before MLX itself)
from convert.apply import Progress, convert

__all__ = ["Progress", "convert"]
