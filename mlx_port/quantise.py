"""Affine quantisation of a matrix, in MLX's format.

MLX rounds codes with exact scales and then stores these in the model's precision. In bfloat16
a scale is off by up to 0.4 %, half a code at the top of 8 bits. Here scales are rounded first
and codes to them: the error of 8 bits is that of float32 scales.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

Quantised = tuple[mx.array, mx.array, mx.array]


def quantise(weight: mx.array, bits: int, group_size: int, dtype: mx.Dtype) -> Quantised:
    """weight [o, i], i divisible by group_size -> codes, scales and biases.

    codes: uint32 [o, i * bits / 32], the lowest bits first; scales, biases: `dtype`
    [o, i / group_size]. A weight is about code * scale + bias.
    """
    outputs, inputs = weight.shape
    weight = weight.astype(mx.float32)
    _, *affine = mx.quantize(weight, group_size, bits)
    scales, biases = (values.astype(dtype) for values in affine)
    grouped = weight.reshape(outputs, inputs // group_size, group_size)
    levels = (grouped - biases[..., None].astype(mx.float32)) / scales[..., None].astype(mx.float32)
    # A group of equal weights has no scale; its bias says it all.
    levels = mx.where(scales[..., None] == 0, 0.0, levels)
    codes = mx.clip(mx.round(levels), 0, 2**bits - 1).astype(mx.uint32)
    return _pack(codes.reshape(outputs, inputs), bits), scales, biases


def _pack(codes: mx.array, bits: int) -> mx.array:
    """Codes [o, i] -> uint32 [o, i * bits / 32]."""
    outputs, inputs = codes.shape
    count = 32 // bits
    shifts = mx.arange(count, dtype=mx.uint32) * bits
    return mx.sum(mx.left_shift(codes.reshape(outputs, inputs // count, count), shifts), axis=-1)


def dequantise_modules(model: nn.Module) -> None:
    """Put plain float32 matrices in the place of quantised ones.

    The values are the same. MLX's CPU build multiplies a quantised matrix a hundred times
    slower than a plain one; Metal needs nothing of this.
    """

    def plain(module: nn.Module) -> nn.Module:
        if not isinstance(module, nn.QuantizedLinear):
            return module
        weight = dequantise((module.weight, module.scales, module.biases), module.bits)
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in module)
        linear.weight = weight
        if "bias" in module:
            linear.bias = module.bias
        return linear

    model.update_modules(tree_map(plain, model.leaf_modules(), is_leaf=nn.Module.is_module))


def dequantise(quantised: Quantised, bits: int) -> mx.array:
    """The matrix [o, i] that `quantise` stored, float32."""
    codes, scales, biases = quantised
    group_size = codes.shape[1] * 32 // bits // scales.shape[1]
    return mx.dequantize(
        codes, scales.astype(mx.float32), biases.astype(mx.float32), group_size, bits
    )
