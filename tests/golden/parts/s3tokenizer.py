"""The speech tokenizer at real width, two layers and all six: FSQ values and token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from s3tokenizer.model_v2 import ModelConfig, S3TokenizerV2

from tests.golden.speaker_cases import TOKENIZER, log_mel
from tests.seeded import tensor


def make(folder: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for layers in TOKENIZER:
        with torch.inference_mode():
            for name, value in run(build(layers), torch.from_numpy(log_mel(layers))).items():
                arrays[f"{name}_{layers}"] = value
        near = np.abs(np.abs(arrays[f"values_{layers}"]) - 0.5).min()
        assert near > 1e-3, f"choose another seed: {layers} layers, a value {near} from a boundary"
    np.savez_compressed(folder / "s3tokenizer.npz", **arrays)


def build(layers: int) -> S3TokenizerV2:
    model = S3TokenizerV2("speech_tokenizer_v2_25hz", ModelConfig(n_audio_layer=layers)).eval()
    state = {
        k: torch.from_numpy(tensor(f"tokenizer.{k}", tuple(v.shape)))
        for k, v in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def run(model: S3TokenizerV2, mel: torch.Tensor) -> dict[str, np.ndarray]:
    """Every eighth channel of the encoder's output, the values before rounding, the tokens."""
    mel = mel.transpose(1, 2)
    length = torch.tensor([mel.shape[-1]])
    hidden, _ = model.encoder(mel, length)
    values = model.quantizer._codebook.project_down(hidden).tanh() * 0.9990000128746033
    tokens, _ = model.quantize(mel, length)
    return {
        "hidden": hidden[..., ::8].numpy(),
        "values": values.numpy(),
        "tokens": tokens.numpy().astype(np.int32),
    }
