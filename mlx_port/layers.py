"""Small layers shared by the modules of the port. Layout everywhere: [batch, frames, channels].

Shapes: b batch, t frames, i channels in, o channels out, k taps of a kernel, s stride.
"""

from __future__ import annotations

from functools import partial

import mlx.core as mx
import mlx.nn as nn

from mlx_port.device import on_gpu
from mlx_port.exp import exp


class Conv1d(nn.Module):
    """A convolution over time that pads with zeros, `padding` = frames (left, right).

    weight: [o, k, i]; bias: [o].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        bound = (inputs * kernel) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, (outputs, kernel, inputs))
        self.bias = mx.zeros((outputs,))
        self._stride = stride
        self._dilation = dilation
        self._padding = padding

    def __call__(self, x: mx.array) -> mx.array:
        x = mx.pad(x, [(0, 0), self._padding, (0, 0)])
        return conv1d(x, self.weight, self._stride, self._dilation) + self.bias


def causal(kernel: int) -> tuple[int, int]:
    """The padding with which a frame sees itself and the past only."""
    return kernel - 1, 0


def centred(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """The padding with which a frame sees as much of the future as of the past."""
    side = dilation * (kernel - 1) // 2
    return side, side


def conv1d(x: mx.array, weight: mx.array, stride: int = 1, dilation: int = 1) -> mx.array:
    """x [b, t, i] and weight [o, k, i], without padding -> [b, t', o].

    Metal has a kernel for this. MLX's CPU build leaves BLAS as soon as there is dilation and is
    a hundred times slower then, so there a convolution is a sum of matrix products.
    """
    if stride == 1 and not on_gpu():
        return conv1d_by_taps(x, weight, dilation)
    return mx.conv1d(x, weight, stride=stride, dilation=dilation)


def conv1d_by_taps(x: mx.array, weight: mx.array, dilation: int = 1) -> mx.array:
    """`conv1d` of stride 1 as one matrix product for each tap of the kernel."""
    taps = weight.shape[1]
    frames = x.shape[1] - dilation * (taps - 1)
    y = x[:, :frames] @ weight[:, 0].T
    for tap in range(1, taps):
        begin = tap * dilation
        y = mx.addmm(y, x[:, begin : begin + frames], weight[:, tap].T)
    return y


class ConvTranspose1d(nn.Module):
    """A transposed convolution: t frames become (t - 1) * stride + kernel - 2 * padding.

    One matrix product makes the k frames that every input frame contributes, and these are
    overlapped and added. weight: [k, o, i]; bias: [o].
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        bound = (inputs * kernel) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, (kernel, outputs, inputs))
        self.bias = mx.zeros((outputs,))
        self._stride = stride
        self._padding = padding

    def __call__(self, x: mx.array) -> mx.array:
        kernel, outputs, inputs = self.weight.shape
        batch, frames, _ = x.shape
        parts = x @ self.weight.reshape(kernel * outputs, inputs).T
        y = overlap_add(parts.reshape(batch, frames, kernel, outputs), self._stride)
        return y[:, self._padding : y.shape[1] - self._padding] + self.bias


def overlap_add(parts: mx.array, hop: int) -> mx.array:
    """Add parts [b, t, k, o] that begin `hop` frames after one another -> [b, (t-1)*hop + k, o]."""
    batch, count, size, channels = parts.shape
    rows = -(-size // hop)  # a part spans this many hops
    parts = mx.pad(parts, [(0, 0), (0, 0), (0, rows * hop - size), (0, 0)])
    parts = parts.reshape(batch, count, rows, hop, channels)
    y = sum(
        mx.pad(parts[:, :, row], [(0, 0), (row, rows - 1 - row), (0, 0), (0, 0)])
        for row in range(rows)
    )
    y = y.reshape(batch, (count + rows - 1) * hop, channels)
    return y[:, : (count - 1) * hop + size]


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, a learned period for each channel (Ziyin et al., 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = mx.ones((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return snake(x, self.alpha)


@partial(mx.compile, shapeless=True)
def snake(x: mx.array, alpha: mx.array) -> mx.array:
    """The Snake activation, with the guard of the released code against alpha = 0."""
    return x + mx.square(mx.sin(alpha * x)) / (alpha + 1e-9)


@mx.compile
def mish(x: mx.array) -> mx.array:
    """x * tanh(log(1 + e^x)) with one exponential: tanh(log(1 + n)) = n (n + 2) / (n (n + 2) + 2).

    Above 20 the factor is 1 in float32, and e^x must not overflow.
    """
    n = exp(mx.minimum(x, 20.0))
    y = n * (n + 2.0)
    return x * (y / (y + 2.0))


class MLP(nn.Module):
    """Two linear layers; the activation between them is the caller's choice."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up_proj = nn.Linear(width, hidden)
        self.down_proj = nn.Linear(hidden, width)
