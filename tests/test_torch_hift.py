"""The PyTorch vocoder against the released one: full size, seeded weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cbflash.config import HiFTConfig
from cbflash.weights.hift import RULES
from cbflash.weights.table import match, source_shapes
from cuda_backend.hift import HiFT, to_rectangular
from cuda_backend.layers import pack
from cuda_backend.source import TURN
from cuda_backend.stft import STFT
from tests.closeness import assert_close
from tests.golden.vocoder_cases import hift_case
from tests.seeded_torch import fill

ROOT = Path(__file__).parent
GOLDEN = dict(np.load(ROOT / "golden" / "hift.npz"))
CASE = hift_case()
MEL, NOISE = torch.from_numpy(CASE.mel), torch.from_numpy(CASE.noise)
PHASE = torch.from_numpy(CASE.phase)[None]
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
LENGTHS = (7, 11, 1)  # mel frames of the rows of a batch


@pytest.fixture(scope="module", autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=["plain", "packed"])
def hift(request: pytest.FixtureRequest) -> HiFT:
    return full_size(packed=request.param == "packed")


@pytest.fixture(scope="module")
def plain() -> HiFT:
    return full_size(packed=False)


def full_size(packed: bool) -> HiFT:
    """As it is loaded: made on the meta device, which constants have to survive."""
    with torch.device("meta"):
        model = HiFT(HiFTConfig())
    fill(model, RULES, "hift.")
    if packed:
        pack(model)
    return model


def test_f0(hift: HiFT) -> None:
    assert_close(hift.f0(MEL), GOLDEN["f0"], 1e-5)


def test_source(hift: HiFT) -> None:
    """As close as the released phase is exact; and closer to what both should be."""
    f0 = GOLDEN["f0"]
    source, _ = hift.source(torch.from_numpy(f0), PHASE, NOISE)
    assert_close(source, GOLDEN["source"], 5e-5)
    exact = exact_source(f0, CASE.noise)
    assert np.abs(source.numpy()[0, :, 0] - exact).max() < 1.5e-5 * np.abs(exact).max()


def test_decode(hift: HiFT) -> None:
    source = torch.from_numpy(GOLDEN["source"])
    mel = MEL.clone()
    assert_close(hift.decode(mel, source), GOLDEN["samples"], 2e-5)
    assert torch.equal(mel, MEL)
    assert np.array_equal(source.numpy(), GOLDEN["source"])


def test_whole(hift: HiFT) -> None:
    """The pitch is integrated over the utterance and its last bits with it: not as close."""
    samples = hift(MEL, PHASE, NOISE)
    assert_close(samples, GOLDEN["samples"], 5e-3)
    source, _ = hift.source(hift.f0(MEL), PHASE, NOISE)
    assert torch.equal(samples, hift.decode(MEL, source))


def exact_source(f0: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The excitation by float64 arithmetic from its definition."""
    pitch = np.repeat(f0[0].astype(np.float64), FRAME)[:, None]
    turns = np.cumsum(pitch / 24_000, axis=0) * np.arange(1, 10)
    sines = 0.1 * np.sin(2 * np.pi * turns + CASE.phase)
    waves = np.where(pitch > 10, sines + 0.003 * noise[0], 0.1 / 3 * noise[0])
    merge = full_size(packed=False).excitation.merge
    assert merge.bias is not None
    return np.tanh(waves @ merge.weight.numpy()[0] + merge.bias.numpy()[0])


def test_source_does_not_drift(plain: HiFT) -> None:
    """After 20 s float32 sums of turns are a thousandth of a turn off, ours still nothing."""
    frames = 1000
    f0 = np.full((1, frames), 187.5, np.float32)  # 128 samples: exact in any arithmetic
    f0[0, 1::7] = 375.0
    f0[0, 2::7] = 24_000 / 4096
    noise = np.zeros((1, frames * FRAME, 9), np.float32)
    source, _ = plain.source(torch.from_numpy(f0), PHASE, torch.from_numpy(noise))
    tail = source.numpy()[0, -FRAME:, 0]
    assert np.ptp(tail) > 0.1
    assert np.abs(tail - exact_source(f0, noise)[-FRAME:]).max() < 2e-7


def test_source_goes_on_where_it_stopped(hift: HiFT) -> None:
    f0 = torch.from_numpy(GOLDEN["f0"])
    whole, end = hift.source(f0, PHASE, NOISE)
    first, middle = hift.source(f0[:, :7], PHASE, NOISE[:, : 7 * FRAME])
    kept = middle.clone()
    second, last = hift.source(f0[:, 7:], PHASE, NOISE[:, 7 * FRAME :], middle)
    assert torch.equal(torch.cat([first, second], dim=1), whole)
    assert end.dtype == torch.int64
    assert last.item() == end.item() != middle.item()
    assert torch.equal(middle, kept)


def test_the_phase_is_a_32_bit_counter(plain: HiFT) -> None:
    """Bit for bit what uint32 arithmetic gives, over two minutes, and cut anywhere."""
    rng = np.random.default_rng(5)
    f0 = (10.0 ** rng.uniform(0, 4.6, (3, 6000))).astype(np.float32)  # up to 40 kHz
    start = np.array([0, 1, TURN - 1], np.uint32)
    step = np.round(np.remainder(f0 / np.float32(24_000), np.float32(1)) * np.float32(TURN))
    increments = np.repeat(step.astype(np.uint32), FRAME, axis=1)
    expected = start[:, None] + np.cumsum(increments, axis=1, dtype=np.uint32)
    pitch, turns = torch.from_numpy(f0), torch.from_numpy(start.astype(np.int64))
    walk, end = plain.excitation._walk(pitch, turns)
    np.testing.assert_array_equal(walk.numpy(), expected)
    np.testing.assert_array_equal(end.numpy(), expected[:, -1])
    first, middle = plain.excitation._walk(pitch[:, :4321], turns)
    second, last = plain.excitation._walk(pitch[:, 4321:], middle)
    assert torch.equal(torch.cat([first, second], dim=1), walk)
    assert torch.equal(last, end)


def test_a_pitch_at_the_threshold_is_no_voice(plain: HiFT) -> None:
    silence = torch.zeros(1, FRAME, 9)
    at, above = (
        plain.source(torch.tensor([[pitch]]), PHASE, silence)[0].numpy() for pitch in (10.0, 10.001)
    )
    assert np.ptp(at) == 0
    assert np.ptp(above) > 0.01


def test_pitch_above_the_sample_rate_is_its_alias(plain: HiFT) -> None:
    high, low = (
        plain.source(torch.full((1, 2), pitch), PHASE, NOISE[:, : 2 * FRAME])[1].item()
        for pitch in (24_375.0, 375.0)
    )
    assert high == low


def test_samples_stay_within_the_limit(plain: HiFT) -> None:
    loud = plain.decode(3 * MEL, torch.from_numpy(GOLDEN["source"]))
    assert loud.abs().max().item() == pytest.approx(0.99)


def test_bins_stop_at_the_loudest() -> None:
    bins = torch.tensor([[[2.0, 9.0, 0.0, 0.5]]])  # log magnitudes, phases
    real, imaginary = to_rectangular(bins).numpy()[0, 0].reshape(2, 2)
    assert np.allclose(real + 1j * imaginary, [np.exp(2.0), 100 * np.exp(1j * np.sin(0.5))])


def tiny() -> HiFT:
    torch.manual_seed(8)
    model = HiFT(TINY)
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    return model


def test_tiny_sizes() -> None:
    samples = tiny()(torch.ones(1, 5, 10), torch.zeros(1, 3), torch.zeros(1, 5 * 16, 3))
    assert samples.shape == (1, 80)
    assert samples.isfinite().all()


class Batch:
    """Rows of different lengths, alone and together; what pads them is not even a number."""

    def __init__(self, lengths: tuple[int, ...], mels: int, harmonics: int, frame: int) -> None:
        random = torch.Generator().manual_seed(9)
        sizes = [(1, length, mels) for length in lengths]
        self.mels = [1.5 * torch.randn(size, generator=random) - 4.0 for size in sizes]
        self.phases = torch.randn(len(lengths), harmonics, generator=random)
        self.noises = [
            torch.randn(1, length * frame, harmonics, generator=random) for length in lengths
        ]
        self.lengths = torch.tensor(lengths)
        self.mel, self.noise = together(self.mels), together(self.noises)


def together(rows: list[Tensor]) -> Tensor:
    batch = torch.full((len(rows), max(row.shape[1] for row in rows), *rows[0].shape[2:]), np.nan)
    for number, row in enumerate(rows):
        batch[number, : row.shape[1]] = row[0]
    return batch


def assert_rows(batch: Tensor, rows: list[Tensor], tolerance: float) -> None:
    """Every row of the batch as it is alone, then zeros."""
    for found, row in zip(batch, rows, strict=True):
        assert_close(found[: row.shape[1]], row[0].numpy(), tolerance)
        assert not found[row.shape[1] :].any()


BATCH = Batch(LENGTHS, 80, 9, FRAME)


def test_f0_of_a_batch(hift: HiFT) -> None:
    assert_rows(hift.f0(BATCH.mel, BATCH.lengths), [hift.f0(mel) for mel in BATCH.mels], 1e-5)


def test_source_of_a_batch(hift: HiFT) -> None:
    f0 = hift.f0(BATCH.mel, BATCH.lengths)
    turns = torch.tensor([5, TURN - 7, 0])
    source, ends = hift.source(f0, BATCH.phases, BATCH.noise, turns)
    for number, noise in enumerate(BATCH.noises):
        row = slice(number, number + 1)
        alone, end = hift.source(
            f0[row, : LENGTHS[number]], BATCH.phases[row], noise, turns[row].clone()
        )
        assert_close(source[row, : noise.shape[1]], alone.numpy(), 1e-6)
        assert torch.equal(ends[row], end)


def test_decode_of_a_batch(hift: HiFT) -> None:
    sources = [0.1 * noise[..., :1] for noise in BATCH.noises]
    alone = [hift.decode(mel, source) for mel, source in zip(BATCH.mels, sources, strict=True)]
    assert min(samples.abs().max() for samples in alone) > 0.1
    samples = hift.decode(BATCH.mel, together(sources), BATCH.lengths)
    assert_rows(samples, alone, 2e-5)
    assert BATCH.mel.isnan().any()  # it is the caller's: nothing was cleared in it


def test_a_batch_of_whole_utterances() -> None:
    """In float64, where the last bits of the pitch are too small to be heard."""
    model = tiny().double()
    batch = Batch((5, 2, 9, 1), 10, 3, 16)
    alone = [
        model(mel.double(), phase[None].double(), noise.double())
        for mel, phase, noise in zip(batch.mels, batch.phases, batch.noises, strict=True)
    ]
    samples = model(batch.mel.double(), batch.phases.double(), batch.noise.double(), batch.lengths)
    assert_rows(samples, alone, 1e-7)


def test_stft_and_back() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((1, 400)).astype(np.float32)
    stft = STFT(16, 4)
    bins = stft(torch.from_numpy(samples))
    assert bins.shape == (1, 101, 18)
    padded = np.pad(samples[0], 8, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16)
    expected = np.fft.rfft(padded[40:56] * window)
    assert np.allclose(bins[0, 10], np.concatenate([expected.real, expected.imag]), atol=1e-5)
    assert np.allclose(stft.inverse(bins), samples, atol=1e-5)


def test_stft_of_rows_that_end_at_different_times() -> None:
    stft = STFT(16, 4)
    lengths = (12, 400, 52)
    random = torch.Generator().manual_seed(3)
    rows = [torch.randn(1, length, generator=random) for length in lengths]
    bins = stft(together(rows), torch.tensor(lengths))
    assert_rows(bins, [stft(row) for row in rows], 1e-6)
    bins = torch.randn(bins.shape, generator=random)
    alone = [stft.inverse(bins[row : row + 1, : n // 4 + 1]) for row, n in enumerate(lengths)]
    for row, length in enumerate(lengths):
        bins[row, length // 4 + 1 :] = np.nan
    assert_rows(stft.inverse(bins, torch.tensor(lengths)), alone, 1e-6)


def test_the_table_is_total() -> None:
    """Every tensor of the release fills a parameter, each of its shape; none is left over."""
    listed = json.loads((ROOT.parent / "assets" / "release_tensors.json").read_text("utf-8"))
    release = {
        name: tuple(shape)
        for name, shape in listed["s3gen.safetensors"].items()
        if name.startswith("mel2wav.")
    }
    with torch.device("meta"):
        parameters = dict(HiFT(HiFTConfig()).named_parameters())
    targets = {f"hift.{path}": tuple(parameter.shape) for path, parameter in parameters.items()}
    assignments = match(RULES, release, "the release")
    assert sorted(one.target for one in assignments) == sorted(targets)
    for one in assignments:
        shapes = source_shapes(one.transform, targets[one.target], "torch")
        assert shapes == tuple(release[name] for name in one.sources)
