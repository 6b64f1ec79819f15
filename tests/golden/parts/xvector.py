"""CAMPPlus, whole: the head of one input and the embeddings of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from chatterbox.models.s3gen.xvector import CAMPPlus

from tests.golden.speaker_cases import XVECTOR, fbank
from tests.seeded import tensor


def make(folder: Path) -> None:
    model = CAMPPlus().eval()
    state = {
        k: torch.from_numpy(tensor(f"speaker_encoder.{k}", tuple(v.shape)))
        for k, v in model.state_dict().items()
    }
    model.load_state_dict(state)
    arrays: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        head = model.head(torch.from_numpy(fbank(XVECTOR[0])).transpose(1, 2))
        arrays["head"] = head.transpose(1, 2)[:, ::5].numpy()
        for frames in XVECTOR:
            arrays[f"embedding_{frames}"] = model(torch.from_numpy(fbank(frames))).numpy()
    np.savez_compressed(folder / "xvector.npz", **arrays)
