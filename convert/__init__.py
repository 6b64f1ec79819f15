"""From the released checkpoint to a small MLX folder.

from convert import convert
convert("chatterbox-flash", "chatterbox-flash-4bit", bits=4)
"""

from typing import TYPE_CHECKING, Any

import mlx_port  # noqa: F401  (a fast BLAS, where there is one, comes before MLX itself)

if TYPE_CHECKING:
    from convert.apply import Progress, convert

__all__ = ["Progress", "convert"]


def __getattr__(name: str) -> Any:
    """MLX is loaded when something is converted, not by asking for help."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from convert import apply

    return vars(apply)[name]
