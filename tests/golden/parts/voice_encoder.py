"""The voice encoder, whole: the top layer's last state and the embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from chatterbox.models.voice_encoder import VoiceEncoder

from tests.golden.speaker_cases import windows
from tests.seeded import tensor


def make(folder: Path) -> None:
    model = VoiceEncoder().eval()
    state = {k: torch.from_numpy(tensor(k, tuple(v.shape))) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    with torch.inference_mode():
        mels = torch.from_numpy(windows())
        _, (hidden, _) = model.lstm(mels)
        embedding = model(mels)
    np.savez_compressed(
        folder / "voice_encoder.npz", hidden=hidden[-1].numpy(), embedding=embedding.numpy()
    )
