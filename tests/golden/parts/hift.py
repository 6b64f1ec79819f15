"""The vocoder at full size: pitch, excitation, and sound from the mel and the excitation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from chatterbox.models.s3gen.f0_predictor import ConvRNNF0Predictor
from chatterbox.models.s3gen.hifigan import HiFTGenerator
from torch.distributions.uniform import Uniform

from tests.golden.vocoder_cases import HiFTCase, hift_case
from tests.seeded import tensor


def make(folder: Path) -> None:
    case = hift_case()
    model = build()
    mel = torch.from_numpy(case.mel).mT
    with torch.inference_mode(), given_noise(case):
        f0 = model.f0_predictor(mel)
        samples, source = model.inference(mel)
    arrays = {"f0": f0.numpy(), "source": source.mT.numpy(), "samples": samples.numpy()}
    voiced = (arrays["f0"] > 10.0).mean()
    peak, rms = np.abs(samples.numpy()).max(), samples.numpy().std()
    print(
        f"  voiced {voiced:.2f}, loudness {rms:.3f}, peak {peak:.2f}, f0 {np.sort(f0[0].numpy())}"
    )
    assert 0.2 < voiced < 0.9
    assert np.abs(arrays["f0"] - 10.0).min() > 0.05, "a frame at the threshold: choose a seed"
    assert 0.05 < rms < 0.2
    assert peak < 0.98
    np.savez_compressed(folder / "hift.npz", **arrays)


def build() -> torch.nn.Module:
    model = HiFTGenerator(
        sampling_rate=24000,
        upsample_rates=[8, 5, 3],
        upsample_kernel_sizes=[16, 11, 7],
        source_resblock_kernel_sizes=[7, 7, 11],
        source_resblock_dilation_sizes=[[1, 3, 5]] * 3,
        f0_predictor=ConvRNNF0Predictor(),
    ).eval()
    state = {
        k: torch.from_numpy(tensor(f"mel2wav.{k}", tuple(v.shape)))
        for k, v in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


@contextmanager
def given_noise(case: HiFTCase) -> Iterator[None]:
    """The released random draws replaced by the case's arrays."""

    def normal(like: torch.Tensor) -> torch.Tensor:
        # One channel is a draw that the released code never uses.
        return torch.from_numpy(case.noise).mT if like.shape[1] > 1 else torch.zeros_like(like)

    def uniform(self: Uniform, sample_shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(case.phase.copy()).reshape(sample_shape)

    with patch.object(torch, "randn_like", normal), patch.object(Uniform, "sample", uniform):
        yield
