"""Attention behind one signature: MLX's kernel on a GPU, plain products on the CPU."""

from __future__ import annotations

import mlx.core as mx

from mlx_port.device import on_gpu
from mlx_port.exp import softmax


def attend(
    q: mx.array, k: mx.array, v: mx.array, scale: float, mask: mx.array | None = None
) -> mx.array:
    """q [B, H, Q, D], k and v [B, H, S, D] -> [B, H, Q, D].

    mask: added to the scores, broadcastable to [B, H, Q, S].
    """
    if on_gpu():
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    scores = (q * scale) @ k.swapaxes(-1, -2)
    return softmax(scores if mask is None else scores + mask) @ v
