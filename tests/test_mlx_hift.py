"""The MLX vocoder against the released one: full size, seeded weights."""

from __future__ import annotations

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from cbflash.config import HiFTConfig
from cbflash.weights.hift import RULES
from cbflash.weights.table import match, source_shapes
from mlx_port.hift import HiFT, to_rectangular
from mlx_port.layers import Conv1d, ConvTranspose1d, conv1d_by_taps, overlap_add
from mlx_port.stft import STFT
from tests.closeness import assert_close
from tests.golden.vocoder_cases import hift_case
from tests.seeded_mlx import fill

ROOT = Path(__file__).parent
GOLDEN = np.load(ROOT / "golden" / "hift.npz")
CASE = hift_case()
MEL, PHASE, NOISE = (mx.array(array) for array in CASE)
FRAME = 480
TINY = HiFTConfig(
    mels=10,
    channels=32,
    upsample_rates=(4, 2),
    upsample_kernels=(8, 4),
    resblock_kernels=(3, 5),
    resblock_dilations=(1, 2),
    source_kernels=(3, 5),
    n_fft=8,
    hop=2,
    harmonics=2,
    f0_channels=16,
    f0_layers=2,
)


@pytest.fixture(scope="module")
def hift() -> HiFT:
    model = HiFT(HiFTConfig())
    fill(model, RULES, "hift.")
    return model


def test_f0(hift: HiFT) -> None:
    assert_close(hift.f0(MEL), GOLDEN["f0"], 1e-5)


def test_source(hift: HiFT) -> None:
    """As close as the released phase is exact; and closer to what both should be."""
    f0 = GOLDEN["f0"]
    source, _ = hift.source(mx.array(f0), PHASE, NOISE)
    assert_close(source, GOLDEN["source"], 5e-5)
    exact = exact_source(hift, f0, CASE.noise)
    assert np.abs(np.array(source)[0, :, 0] - exact).max() < 1.5e-5 * np.abs(exact).max()


def test_decode(hift: HiFT) -> None:
    assert_close(hift.decode(MEL, mx.array(GOLDEN["source"])), GOLDEN["samples"], 5e-5)


def test_whole(hift: HiFT) -> None:
    """The pitch is integrated over the utterance and its last bits with it: not as close."""
    samples = hift(MEL, PHASE, NOISE)
    assert_close(samples, GOLDEN["samples"], 5e-3)
    source, _ = hift.source(hift.f0(MEL), PHASE, NOISE)
    assert np.array_equal(np.array(samples), np.array(hift.decode(MEL, source)))


def exact_source(hift: HiFT, f0: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The excitation by float64 arithmetic from its definition."""
    pitch = np.repeat(f0[0].astype(np.float64), FRAME)[:, None]
    turns = np.cumsum(pitch / 24_000, axis=0) * np.arange(1, 10)
    sines = 0.1 * np.sin(2 * np.pi * turns + CASE.phase)
    waves = np.where(pitch > 10, sines + 0.003 * noise[0], 0.1 / 3 * noise[0])
    merge = hift.excitation.merge
    return np.tanh(waves @ np.array(merge.weight)[0] + np.array(merge.bias)[0])


def test_source_does_not_drift(hift: HiFT) -> None:
    """After 20 s float32 sums of turns are a thousandth of a turn off, ours still nothing."""
    frames = 1000
    f0 = np.full((1, frames), 187.5, np.float32)  # 128 samples: exact in any arithmetic
    f0[0, 1::7] = 375.0
    f0[0, 2::7] = 24_000 / 4096
    noise = np.zeros((1, frames * FRAME, 9), np.float32)
    source, _ = hift.source(mx.array(f0), PHASE, mx.array(noise))
    tail = np.array(source)[0, -FRAME:, 0]
    assert np.ptp(tail) > 0.1
    assert np.abs(tail - exact_source(hift, f0, noise)[-FRAME:]).max() < 1e-6


def test_source_goes_on_where_it_stopped(hift: HiFT) -> None:
    f0 = mx.array(GOLDEN["f0"])
    whole, end = hift.source(f0, PHASE, NOISE)
    first, middle = hift.source(f0[:, :7], PHASE, NOISE[:, : 7 * FRAME])
    second, last = hift.source(f0[:, 7:], PHASE, NOISE[:, 7 * FRAME :], middle)
    assert np.array_equal(np.array(mx.concatenate([first, second], axis=1)), np.array(whole))
    assert end.dtype == mx.uint32
    assert last.item() == end.item() != middle.item()


def test_a_pitch_at_the_threshold_is_no_voice(hift: HiFT) -> None:
    silence = mx.zeros((1, FRAME, 9))
    at, above = (
        np.array(hift.source(mx.array([[pitch]]), PHASE, silence)[0]) for pitch in (10.0, 10.001)
    )
    assert np.ptp(at) == 0
    assert np.ptp(above) > 0.01


def test_pitch_above_the_sample_rate_is_its_alias(hift: HiFT) -> None:
    high, low = (
        hift.source(mx.full((1, 2), pitch), PHASE, NOISE[:, : 2 * FRAME])[1].item()
        for pitch in (24_375.0, 375.0)
    )
    assert high == low


def test_samples_stay_within_the_limit(hift: HiFT) -> None:
    loud = hift.decode(3 * MEL, mx.array(GOLDEN["source"]))
    assert mx.abs(loud).max().item() == pytest.approx(0.99)


def test_bins_stop_at_the_loudest() -> None:
    bins = mx.array([[[2.0, 9.0, 0.0, 0.5]]])  # log magnitudes, phases
    real, imaginary = np.array(to_rectangular(bins))[0, 0].reshape(2, 2)
    assert np.allclose(real + 1j * imaginary, [np.exp(2.0), 100 * np.exp(1j * np.sin(0.5))])


def test_tiny_sizes() -> None:
    samples = HiFT(TINY)(mx.ones((1, 5, 10)), mx.zeros((3,)), mx.zeros((1, 5 * 16, 3)))
    assert samples.shape == (1, 80)
    assert np.isfinite(np.array(samples)).all()


def test_stft_and_back() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((1, 400)).astype(np.float32)
    stft = STFT(16, 4)
    bins = np.array(stft(mx.array(samples)))
    assert bins.shape == (1, 101, 18)
    padded = np.pad(samples[0], 8, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    expected = np.fft.rfft(padded[40:56] * window)
    assert np.allclose(bins[0, 10], np.concatenate([expected.real, expected.imag]), atol=1e-5)
    assert np.allclose(np.array(stft.inverse(mx.array(bins))), samples, atol=1e-5)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (7, 3), (11, 5)])
def test_a_convolution_by_taps_is_a_convolution(kernel: int, dilation: int) -> None:
    """One of the two runs on Metal, the other here."""
    x = mx.random.normal((2, 60, 6), key=mx.random.key(1))
    weight = mx.random.normal((4, kernel, 6), key=mx.random.key(2))
    expected = mx.conv1d(x, weight, dilation=dilation)
    assert np.allclose(np.array(conv1d_by_taps(x, weight, dilation)), np.array(expected), atol=1e-5)


def test_a_strided_convolution_pads_each_side() -> None:
    layer = Conv1d(3, 2, 6, stride=3, padding=(1, 2))
    x = mx.random.normal((1, 31, 3), key=mx.random.key(3))
    padded = mx.pad(x, [(0, 0), (1, 2), (0, 0)])
    expected = mx.conv1d(padded, layer.weight, stride=3) + layer.bias
    assert np.allclose(np.array(layer(x)), np.array(expected), atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), [(16, 8), (11, 5), (7, 3), (3, 3)])
def test_a_transposed_convolution(kernel: int, stride: int) -> None:
    padding = (kernel - stride) // 2
    layer = ConvTranspose1d(5, 4, kernel, stride, padding)
    layer.bias = mx.arange(4, dtype=mx.float32)
    x = mx.random.normal((2, 9, 5), key=mx.random.key(4))
    weight = layer.weight.transpose(1, 0, 2)
    expected = mx.conv_transpose1d(x, weight, stride=stride, padding=padding) + layer.bias
    assert layer(x).shape == expected.shape
    assert np.allclose(np.array(layer(x)), np.array(expected), atol=1e-5)


def test_overlap_add() -> None:
    parts = mx.array(np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3, 1))
    assert np.array(overlap_add(parts, 2))[0, :, 0].tolist() == [1, 2, 3 + 4, 5, 6]


def test_the_table_is_total() -> None:
    """Every tensor of the release fills a parameter, each of its shape; none is left over."""
    listed = json.loads((ROOT.parent / "assets" / "release_tensors.json").read_text("utf-8"))
    release = {
        name: tuple(shape)
        for name, shape in listed["s3gen.safetensors"].items()
        if name.startswith("mel2wav.")
    }
    parameters = tree_flatten(HiFT(HiFTConfig()).parameters())
    targets = {f"hift.{path}": parameter.shape for path, parameter in parameters}
    assignments = match(RULES, release, "the release")
    assert sorted(one.target for one in assignments) == sorted(targets)
    for one in assignments:
        shapes = source_shapes(one.transform, targets[one.target], "mlx")
        assert shapes == tuple(release[name] for name in one.sources)
