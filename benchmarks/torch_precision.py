"""What bfloat16 changes behind the decoder: the same tokens to mel, on the PyTorch engine.

    python -m benchmarks.torch_precision FOLDER

FOLDER is a model in the released layout. In bfloat16 the flow's estimator computes in it, the
rest in float32. Times are the best of five.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.prompts import seeded_voice
from cbflash.checkpoint import Checkpoint
from cbflash.vocoding import mel_noise, prompt_noise
from cuda_backend.flow import Flow
from cuda_backend.weights import load_model

TOKENS = 64
SEED = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    mels, seconds = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(Checkpoint.open(options.folder), dtype, torch.device("cpu"))
        mels[dtype], seconds[dtype] = render(model.flow)
        del model
    exact, rounded = (mel.numpy() for mel in mels.values())
    difference = rounded - exact
    print("| what | measured |\n|---|---:|")
    print(f"| mel, standard deviation (natural log) | {exact.std():.3f} |")
    print(f"| difference, root mean square | {np.sqrt(np.mean(difference**2)):.4f} |")
    print(f"| difference, largest | {np.abs(difference).max():.3f} |")
    print(f"| time, float32 / bfloat16 | {seconds[torch.float32] / seconds[torch.bfloat16]:.2f} |")


def render(flow: Flow) -> tuple[torch.Tensor, float]:
    """The mel of some tokens, and the seconds it took."""
    rng = np.random.default_rng(SEED)
    voice = seeded_voice(rng.standard_normal(256), rng.integers(0, 6561, 150))
    tokens = rng.integers(0, 6561, TOKENS)
    noise = [prompt_noise(SEED, len(voice.s3_mel)), mel_noise(SEED, 0, 2 * TOKENS)]
    given = (
        torch.from_numpy(tokens)[None],
        torch.from_numpy(voice.s3_tokens.astype(np.int64))[None],
        torch.from_numpy(voice.s3_mel.astype(np.float32))[None],
        torch.from_numpy(voice.x_vector)[None],
        torch.from_numpy(np.concatenate(noise))[None],
    )
    seconds = []
    with torch.inference_mode():
        for _ in range(5):
            begun = time.perf_counter()
            mel = flow.utterance(*given, steps=2)
            seconds.append(time.perf_counter() - begun)
    return mel, min(seconds)


if __name__ == "__main__":
    main()
