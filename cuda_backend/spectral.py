"""Long convolutions of many channels on a CPU, as products at frequencies (overlap-save).

A convolution over time multiplies a matrix of channels for every tap and every frame. In the
spectrum of a short tile there is one such product for each frequency, and a tile yields many
frames: of a kernel of 11 taps less than a quarter of the multiplications is left, and sums are
shorter, so it is also closer to exact. Real tiles have complex spectra; a complex product is
three real ones here (Gauss), and what these add up before and afterwards is part of the tables.

Shapes: b batch, t frames, i channels in, o channels out, k taps, n size of a tile,
p products = 3 n / 2 - 1, d dilation, h = n - k + 1 frames that a tile yields.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TOGETHER = 64  # tiles at once: what lies between the products shall stay in cache


def pays(weight: Tensor, stride: int, dilation: int, padding: tuple[int, int]) -> bool:
    """Whether `Spectral` can do a convolution [o, i, k] and is faster than a packed one.

    With few taps or channels it is not: what is saved then goes into the transforms.
    """
    outputs, inputs, taps = weight.shape
    return (
        weight.dtype == torch.float32
        and torch._C.has_mkl  # for products of many small matrices
        and stride == 1
        and padding[0] % dilation == 0
        and taps >= 7
        and min(inputs, outputs) >= 64
    )


class Spectral:
    """A convolution of stride 1 over zero-padded frames, and what is to be added to it.

    weight [o, i, k], bias [o]; padding in frames (left, right), the left a multiple of d.
    It takes four to five times the memory of the weight.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, dilation: int, padding: tuple[int, int]
    ) -> None:
        taps = weight.shape[2]
        size = 8 * round(3 * taps / 8)  # about three kernels are fastest
        analysis, kernels, synthesis = _tables(size, taps)
        products = kernels @ weight.double().permute(2, 1, 0).flatten(1)
        self._analysis = analysis.to(weight.dtype)
        self._products = products.to(weight.dtype).view(-1, weight.shape[1], weight.shape[0])
        self._synthesis = synthesis.to(weight.dtype)
        # A bias is the same at all times: it goes to frequency 0, of which a frame takes 1 / n.
        self._bias = bias * size
        self._halo = taps - 1
        self._dilation = dilation
        self._padding = padding

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """[b, t, i] -> [b, t', o]; residual [b, t', o]."""
        batch, frames, _ = x.shape
        dilation, halo = self._dilation, self._halo
        count = frames + sum(self._padding) - dilation * halo
        # Frames that lie `dilation` apart never meet the others: they are rows of their own.
        wanted = -(-count // dilation)
        hop = self._analysis.shape[1] - halo
        length = -(-(wanted + halo) // hop) * hop
        y = self._transform(self._rows(x, length), batch * dilation * length // hop)
        y = y.view(batch, dilation, length, -1)[:, :, :wanted].transpose(1, 2)
        y = y.reshape(batch, wanted * dilation, -1)[:, :count]
        return y if residual is None else y.add_(residual)

    def _rows(self, x: Tensor, length: int) -> Tensor:
        """[b, t, i] -> [b d length + k - 1, i]: a row's end is the next one's left padding.

        The last tile of a row reads on there; no frame that is wanted comes of it.
        """
        batch, frames, channels = x.shape
        dilation = self._dilation
        begin, whole = self._padding[0] // dilation, frames // dilation
        flat = x.new_zeros(batch * dilation * length + self._halo, channels)
        rows = flat[: batch * dilation * length].view(batch, dilation, length, channels)
        even = x[:, : whole * dilation].reshape(batch, whole, dilation, channels)
        rows[:, :, begin : begin + whole] = even.transpose(1, 2)
        rows[:, : frames - whole * dilation, begin + whole] = x[:, whole * dilation :]
        return flat

    def _transform(self, flat: Tensor, count: int) -> Tensor:
        """Rows of frames behind one another -> `count` tiles of them convolved, [count, h, o]."""
        size, channels = self._analysis.shape[1], flat.shape[1]
        hop = size - self._halo
        tiles = flat.as_strided((count, size, channels), (hop * channels, channels, 1))
        y = flat.new_empty(count, hop, self._products.shape[2])
        for begin in range(0, count, _TOGETHER):
            part = tiles[begin : begin + _TOGETHER]
            spectrum = torch.bmm(self._analysis.expand(len(part), -1, -1), part)  # [.., p, i]
            spectrum = torch.bmm(spectrum.transpose(0, 1), self._products)  # [p, .., o]
            spectrum[0].add_(self._bias)
            torch.bmm(
                self._synthesis.expand(len(part), -1, -1),
                spectrum.transpose(0, 1),
                out=y[begin : begin + _TOGETHER],
            )
        return y


def _tables(size: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """What makes products of a tile [p, n] and of a kernel [p, k], and frames of them [h, p].

    The spectrum of the tile times the conjugate one of the kernel is their correlation, of
    which the first h frames have not gone round. The order is: frequency 0, n / 2, the others.
    """
    hop = size - taps + 1
    times = torch.arange(size, dtype=torch.float64)
    angles = 2 * math.pi / size * torch.arange(1, size // 2)[:, None] * times
    cos, sin = angles.cos(), angles.sin()
    real = torch.stack([torch.ones_like(times), 1 - 2 * (times % 2)])
    # (a - ib)(c + id) of a tile's cosine and sine sums a, b and a kernel's c, d is made of
    # (a - b) c, a (d - c) and -b (c + d): the real part is the first less the third, the
    # imaginary one the first plus the second.
    tile = torch.stack([cos - sin, cos, -sin], dim=1).flatten(0, 1)
    kernel = torch.stack([cos, sin - cos, cos + sin], dim=1).flatten(0, 1)
    frame = torch.stack([cos - sin, -sin, -cos], dim=1).flatten(0, 1)
    return (
        torch.cat([real, tile]),
        torch.cat([real, kernel])[:, :taps],
        (torch.cat([real, 2 * frame])[:, :hop] / size).T.contiguous(),
    )
