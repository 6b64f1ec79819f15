"""The small layers of the PyTorch engine: what they compute, plain and packed for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_backend import packed
from cuda_backend.layers import (
    ACTIVATIONS,
    MLP,
    Activation,
    Conv1d,
    ConvTranspose1d,
    Linear,
    Snake,
    Table,
    causal,
    centred,
    clear,
    frames_beyond,
    overlap_add,
    pack,
)
from cuda_backend.packed import Packed, PackedConv1d, can_pack
from cuda_backend.spectral import Spectral, pays
from tests.closeness import assert_close

Module = TypeVar("Module", bound=nn.Module)

TOLERANCES = {torch.float32: 2e-6, torch.bfloat16: 1e-2}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
PACKED = pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "packed"])

# Views [b, t, c] of memory that is laid out otherwise.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, -2).contiguous().transpose(0, -2),
    "channels first": lambda x: x.mT.contiguous().mT,
    "every second": lambda x: torch.stack([x, x + 1], dim=-1)[..., 0],
    "part of a row": lambda x: torch.cat([x, x], dim=-1)[..., : x.shape[-1]],
}


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(20)


def weighted(module: Module, dtype: torch.dtype = torch.float32) -> Module:
    """With weights that roughly keep the variance, and biases that are heard."""
    for weight in module.parameters():
        fan = max(1, int(np.prod(weight.shape[1:])))
        weight.normal_(std=fan**-0.5)
    return module.to(dtype)


def double(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.detach().double()


def expected_linear(
    layer: Linear, x: Tensor, activation: Activation | None, residual: Tensor | None
) -> np.ndarray:
    y = F.linear(
        double(x), double(layer.weight), None if layer.bias is None else double(layer.bias)
    )
    if activation is not None:
        y = ACTIVATIONS[activation](y)
    return (y if residual is None else y + residual.double()).numpy()


@PACKED
@DTYPES
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("shape", [(1, 64), (37, 64), (2, 5, 64)])
def test_linear(
    shape: tuple[int, ...], activation: Activation | None, dtype: torch.dtype, is_packed: bool
) -> None:
    layer = weighted(Linear(64, 48, activation=activation), dtype)
    x = torch.randn(shape, dtype=dtype)
    residual = torch.randn(*shape[:-1], 48, dtype=dtype)
    expected = [expected_linear(layer, x, activation, extra) for extra in (None, residual)]
    if is_packed:
        pack(layer)
        assert layer.weight.numel() == 0
    for golden, extra in zip(expected, (None, residual), strict=True):
        y = layer(x, extra)
        assert y.dtype == dtype
        assert_close(y.float(), golden, TOLERANCES[dtype])


@DTYPES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_linear_reads_any_layout(layout: str, dtype: torch.dtype) -> None:
    layer = weighted(Linear(64, 48), dtype)
    x = LAYOUTS[layout](torch.randn(2, 5, 64, dtype=dtype))
    residual = LAYOUTS[layout](torch.randn(2, 5, 48, dtype=dtype))
    expected = [expected_linear(layer, x, None, extra) for extra in (None, residual)]
    pack(layer)
    assert_close(layer(x).float(), expected[0], TOLERANCES[dtype])
    assert_close(layer(x, residual).float(), expected[1], TOLERANCES[dtype])


@DTYPES
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
@pytest.mark.parametrize("shape", [(0, 64), (2, 0, 64), (0, 3, 64)])
def test_packed_linear_of_nothing(
    shape: tuple[int, ...], activation: Activation | None, dtype: torch.dtype
) -> None:
    layer = weighted(Linear(64, 48, activation=activation), dtype)
    pack(layer)
    x, residual = torch.zeros(shape, dtype=dtype), torch.zeros(*shape[:-1], 48, dtype=dtype)
    assert layer(x).shape == layer(x, residual).shape == residual.shape


@PACKED
def test_linear_without_a_bias(is_packed: bool) -> None:
    layer = weighted(Linear(64, 48, bias=False))
    x = torch.randn(3, 64)
    expected = expected_linear(layer, x, None, None)
    if is_packed:
        pack(layer)
    assert_close(layer(x), expected, 2e-6)


def test_only_what_the_kernels_take_is_packed() -> None:
    assert can_pack(torch.ones(2, 2))
    assert not can_pack(torch.ones(2, 2, device="meta"))
    assert not can_pack(torch.ones(2, 2, dtype=torch.float64))
    assert not can_pack(torch.ones(2, 2, dtype=torch.float16))
    assert not can_pack(torch.ones(0))


def test_bfloat16_is_packed_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported in (True, False):
        monkeypatch.setattr(
            torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda answer=supported: answer
        )
        assert can_pack(torch.ones(2, 2, dtype=torch.bfloat16)) == supported
        assert can_pack(torch.ones(2, 2))


@pytest.fixture(params=["no oneDNN", "no operator"])
def bare_build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of PyTorch that lacks what packing needs."""
    if request.param == "no oneDNN":
        monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    else:
        monkeypatch.setattr(packed, "_OPERATORS", (*packed._OPERATORS, "_not_there"))


@pytest.mark.usefixtures("bare_build")
def test_a_build_without_the_kernels_falls_back() -> None:
    model = nn.Sequential(
        weighted(Linear(64, 64)),
        weighted(Conv1d(64, 64, 7, padding=centred(7))),
        weighted(ConvTranspose1d(64, 4, 4, 2, 1)),
    )
    x = torch.randn(1, 20, 64)
    assert not can_pack(torch.ones(2, 2))
    expected = model(x)
    pack(model)
    assert all(weight.numel() for weight in model.parameters())
    assert torch.equal(model(x), expected)


CONVOLUTIONS = {
    "plain": Conv1d(24, 40, 3),
    "causal": Conv1d(24, 40, 3, padding=causal(3)),
    "ahead": Conv1d(24, 40, 4, padding=(0, 3)),
    "centred": Conv1d(24, 40, 7, padding=centred(7)),
    "dilated": Conv1d(24, 40, 3, dilation=5, padding=centred(3, 5)),
    "strided": Conv1d(24, 40, 6, stride=3, padding=(1, 2)),
    "one tap": Conv1d(24, 40, 1),
    "long": Conv1d(64, 80, 11, padding=centred(11)),
    "long and dilated": Conv1d(64, 80, 7, dilation=3, padding=centred(7, 3)),
    "long and causal": Conv1d(80, 64, 7, dilation=2, padding=(12, 0)),
    "long without padding": Conv1d(80, 64, 7),
    "long and uneven": Conv1d(64, 64, 7, dilation=2, padding=(5, 7)),
    "long and strided": Conv1d(64, 64, 8, stride=2, padding=(3, 3)),
}


def expected_conv(layer: Conv1d, x: Tensor) -> Tensor:
    padded = F.pad(x.double().mT, layer._padding)
    stride, dilation = layer._stride, layer._dilation
    weight, bias = double(layer.weight), double(layer.bias)
    windows = padded.unfold(2, dilation * (weight.shape[2] - 1) + 1, stride)[..., ::dilation]
    return torch.einsum("bitk,oik->bto", windows, weight) + bias


def convolution(name: str, dtype: torch.dtype = torch.float32) -> Conv1d:
    model = CONVOLUTIONS[name]
    outputs, inputs, taps = model.weight.shape
    layer = Conv1d(
        inputs,
        outputs,
        taps,
        stride=model._stride,
        dilation=model._dilation,
        padding=model._padding,
    )
    return weighted(layer, dtype)


@PACKED
@DTYPES
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str, dtype: torch.dtype, is_packed: bool) -> None:
    layer = convolution(name, dtype)
    x = torch.randn(2, 101, layer.weight.shape[1], dtype=dtype)
    expected = expected_conv(layer, x)
    residual = torch.randn(expected.shape, dtype=dtype)
    if is_packed:
        pack(layer)
        assert layer.weight.numel() == 0
    assert_close(layer(x).float(), expected.numpy(), TOLERANCES[dtype])
    kept = x.clone(), residual.clone()
    assert_close(layer(x, residual).float(), (expected + residual).numpy(), TOLERANCES[dtype])
    assert torch.equal(x, kept[0])
    assert torch.equal(residual, kept[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["centred", "causal", "long and dilated"])
def test_packed_convolution_reads_any_layout(name: str, layout: str) -> None:
    layer = convolution(name)
    x = LAYOUTS[layout](torch.randn(2, 50, layer.weight.shape[1]))
    expected = expected_conv(layer, x)
    residual = LAYOUTS[layout](torch.randn(expected.shape))
    pack(layer)
    assert_close(layer(x), expected.numpy(), 2e-6)
    assert_close(layer(x, residual), (expected + residual).numpy(), 2e-6)
    assert layer(x).stride(-1) == 1  # the next layer needs no transposing


def test_long_kernels_of_many_channels_are_products_at_frequencies() -> None:
    long = {
        name
        for name, layer in CONVOLUTIONS.items()
        if pays(layer.weight, layer._stride, layer._dilation, layer._padding)
    }
    assert long == {"long", "long and dilated", "long and causal", "long without padding"}
    for name in CONVOLUTIONS:
        layer = convolution(name)
        pack(layer)
        assert isinstance(layer._packed, Spectral if name in long else PackedConv1d)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("taps", "dilation"), [(7, 1), (7, 3), (8, 2), (11, 1), (11, 5), (16, 1)])
# A tile of 7 taps yields 18 frames, one of 11 taps 22; 1500 are more than go together.
@pytest.mark.parametrize("frames", [1, 4, 18, 22, 23, 54, 55, 1500])
def test_products_at_frequencies(frames: int, taps: int, dilation: int, batch: int) -> None:
    side = dilation * (taps // 2)
    layer = weighted(Conv1d(3, 5, taps, dilation=dilation, padding=(side, side)))
    x = torch.randn(batch, frames, 3)
    expected = expected_conv(layer, x)
    convolve = Spectral(layer.weight, layer.bias, dilation, (side, side))
    assert_close(convolve(x), expected.numpy(), 2e-6)
    residual = torch.randn(expected.shape)
    assert_close(convolve(x, residual), (expected + residual).numpy(), 2e-6)


@PACKED
@DTYPES
@pytest.mark.parametrize(("kernel", "stride"), [(16, 8), (11, 5), (7, 3), (3, 3)])
def test_transposed_convolution(
    kernel: int, stride: int, dtype: torch.dtype, is_packed: bool
) -> None:
    padding = (kernel - stride) // 2
    layer = weighted(ConvTranspose1d(20, 24, kernel, stride, padding), dtype)
    x = torch.randn(2, 9, 20, dtype=dtype)
    expected = torch.zeros(2, 8 * stride + kernel, 24, dtype=torch.float64)
    for frame in range(9):
        part = torch.einsum("bi,iok->bko", x[:, frame].double(), double(layer.weight))
        expected[:, frame * stride : frame * stride + kernel] += part
    expected = expected[:, padding : expected.shape[1] - padding] + double(layer.bias)
    if is_packed:
        pack(layer)
        assert layer.weight.numel() == 0
    assert_close(layer(x).float(), expected.numpy(), TOLERANCES[dtype])
    assert_close(layer(x.mT.contiguous().mT).float(), expected.numpy(), TOLERANCES[dtype])


def test_padding() -> None:
    assert causal(4) == (3, 0)
    assert centred(7) == (3, 3)
    assert centred(11, 5) == (25, 25)


def test_overlap_add() -> None:
    parts = torch.arange(1.0, 7.0).reshape(1, 2, 3)
    assert overlap_add(parts, 2)[0].tolist() == [1, 2, 3 + 4, 5, 6]
    assert overlap_add(parts, 1)[0].tolist() == [1, 2 + 4, 3 + 5, 6]
    assert overlap_add(parts, 3)[0].tolist() == [1, 2, 3, 4, 5, 6]


def test_snake() -> None:
    layer = weighted(Snake(6))
    layer.alpha[:2] = torch.tensor([0.0, -1.5])
    x = torch.randn(2, 30, 6)
    kept = x.clone()
    alpha = double(layer.alpha).numpy()
    expected = x.double().numpy() + np.sin(alpha * x.double().numpy()) ** 2 / (alpha + 1e-9)
    assert_close(layer(x), expected, 1e-6)
    assert torch.equal(x, kept)


@PACKED
def test_mlp(is_packed: bool) -> None:
    layer = weighted(MLP(32, 64, "gelu"))
    x, residual = torch.randn(3, 32), torch.randn(3, 32)
    hidden = F.gelu(torch.from_numpy(expected_linear(layer.up_proj, x, None, None)))
    expected = expected_linear(layer.down_proj, hidden, None, None)
    if is_packed:
        pack(layer)
    assert_close(layer(x), expected, 2e-6)
    assert_close(layer(x, residual), expected + residual.numpy(), 2e-6)


def test_every_module_that_can_is_packed() -> None:
    class Odd(nn.Module):
        packed = 0

        def pack(self) -> None:
            self.packed += 1

    odd, linear = Odd(), weighted(Linear(4, 4))
    model = nn.ModuleList([nn.Sequential(odd, nn.LayerNorm(4)), linear])
    pack(model)
    assert odd.packed == 1
    assert isinstance(linear._packed, Packed)
    pack(model)  # a second time has nothing left to do
    assert linear(torch.ones(1, 4)).shape == (1, 4)


def test_a_table_is_copied_once_for_each_device_and_dtype() -> None:
    table = Table(np.array([0.5, 2.0]))
    single = table.like(torch.zeros(1))
    assert single.dtype == torch.float32
    assert single.tolist() == [0.5, 2.0]
    assert table.like(torch.ones(3)) is single
    assert table.like(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert table.like(torch.zeros(1, device="meta")).device.type == "meta"


def test_frames_beyond_a_row_are_cleared() -> None:
    beyond = frames_beyond(torch.tensor([2, 0, 3]), 3)
    assert beyond is not None
    x = torch.full((3, 3, 2), np.nan)
    assert clear(x, None) is x
    assert x.isnan().all()
    assert clear(x, beyond) is x
    assert x[..., 0].isnan().tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert not x[1].any()
    assert frames_beyond(None, 3) is None
