"""The flow at full size: encoder, one call of the estimator, both kinds of flow matching."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from chatterbox.models.s3gen.s3gen import S3Token2Mel

from tests.golden.vocoder_cases import (
    ESTIMATED,
    GUIDED_STEPS,
    MEANFLOW_STEPS,
    flow_case,
)
from tests.seeded import tensor


def make(folder: Path) -> None:
    case = {name: torch.from_numpy(array) for name, array in flow_case()._asdict().items()}
    with torch.inference_mode():
        meanflow, guided = build(meanflow=True), build(meanflow=False)
        arrays = {
            **parts(meanflow, case),
            "meanflow_mel": mel(meanflow, case, MEANFLOW_STEPS, meanflow=True),
            "guided_mel": mel(guided, case, GUIDED_STEPS, meanflow=False),
        }
    for name, array in arrays.items():
        print(f"  {name} {array.shape}: mean {array.mean():.3f}, std {array.std():.3f}")
    np.savez_compressed(folder / "flow.npz", **arrays)


def build(meanflow: bool) -> torch.nn.Module:
    flow = S3Token2Mel(meanflow=meanflow).flow.eval()
    state = {
        k: torch.from_numpy(tensor(f"flow.{k}", tuple(v.shape)))
        for k, v in flow.state_dict().items()
    }
    flow.load_state_dict(state)
    return flow


def parts(flow: torch.nn.Module, case: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The embedded speaker, the encoder's mean, and a velocity made of them and the noise."""
    tokens = torch.cat([case["prompt_tokens"], case["tokens"]], dim=1)
    hidden, _ = flow.encoder(flow.input_embedding(tokens), torch.tensor([tokens.shape[1]]))
    mu = flow.encoder_proj(hidden)
    direction = torch.nn.functional.normalize(case["x_vector"], dim=1)
    speaker = flow.spk_embed_affine_layer(direction)
    known = torch.zeros_like(mu)
    known[:, : case["prompt_mel"].shape[1]] = case["prompt_mel"]
    t, r = (torch.tensor([time]) for time in ESTIMATED)
    velocity = flow.decoder.estimator(
        case["noise"].mT, torch.ones(1, 1, mu.shape[1]), mu.mT, t, speaker, known.mT, r
    )
    return {"speaker": speaker.numpy(), "mu": mu.numpy(), "velocity": velocity.mT.numpy()}


def mel(
    flow: torch.nn.Module, case: dict[str, torch.Tensor], steps: int, meanflow: bool
) -> np.ndarray:
    with patch.object(torch, "randn_like", lambda mu: case["noise"].mT.clone()):
        out, _ = flow.inference(
            token=case["tokens"],
            token_len=torch.tensor([case["tokens"].shape[1]]),
            prompt_token=case["prompt_tokens"],
            prompt_token_len=torch.tensor([case["prompt_tokens"].shape[1]]),
            prompt_feat=case["prompt_mel"],
            prompt_feat_len=None,
            embedding=case["x_vector"],
            finalize=True,
            n_timesteps=steps,
            meanflow=meanflow,
        )
    return out.mT.numpy()
