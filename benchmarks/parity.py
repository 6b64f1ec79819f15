"""The whole model beside the released package: one clip, one text, every stage compared.

    python -m benchmarks.parity FOLDER [--backend cpu] [--clip assets/voices/sample.flac]

FOLDER is a model of the real sizes in the released layout. Both sides run in float32 on the
CPU, in processes of their own; the released random draws of the vocoder are replaced by ours.
Tokens are decoded greedily and must be equal; the rest is reported as the largest difference
over the largest value.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np

TEXT = "Dr. Smith paid $42.50 on May 3rd, 2021, at 7:30 in the morning."
TOKENS = 48
SEED = 3
SIDES = ("ours", "released")
CLIP = Path(__file__).parent.parent / "assets" / "voices" / "sample.flac"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", default="mlx", help="ours: mlx, cpu, gpu or flashinfer")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        if options.child == "ours":
            stages = run_ours(options.folder, options.clip, options.backend)
        else:
            stages = run_released(options.folder, options.clip)
        np.savez(options.out, **stages)
        return
    with tempfile.TemporaryDirectory() as folder:
        sides = [in_child(side, options, Path(folder) / f"{side}.npz") for side in SIDES]
    report(*sides)


def in_child(side: str, options: argparse.Namespace, out: Path) -> dict[str, np.ndarray]:
    command = [sys.executable, "-m", "benchmarks.parity", str(options.folder)]
    command += ["--clip", str(options.clip), "--child", side, "--out", str(out)]
    command += ["--backend", options.backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    with np.load(out) as arrays:
        return dict(arrays)


def report(ours: dict[str, np.ndarray], released: dict[str, np.ndarray]) -> None:
    print("| what | shape | difference |\n|---|---|---:|")
    for name, theirs in released.items():
        mine = ours[name]
        shape = "x".join(map(str, mine.shape))
        if mine.shape != theirs.shape:
            print(f"| {name} | {shape}, released {theirs.shape} | not comparable |")
        elif np.issubdtype(theirs.dtype, np.integer):
            print(f"| {name} | {shape} | {int((mine == theirs).sum())} of {theirs.size} equal |")
        else:
            worst = np.abs(mine - theirs).max() / np.abs(theirs).max()
            print(f"| {name} | {shape} | {worst:.1e} |")


def run_ours(folder: Path, clip: Path, backend: str) -> dict[str, np.ndarray]:
    from cbflash.audio import read_clip
    from cbflash.backends import choose_backend
    from cbflash.checkpoint import Checkpoint
    from cbflash.engine import BlockResult, EngineOptions, Prompt
    from cbflash.settings import Sampling
    from cbflash.text import normalise
    from cbflash.tokenizer import TextTokenizer

    engine = choose_backend(backend).load(str(folder), EngineOptions(dtype="float32"))
    voice = engine.encode_voice(read_clip(clip))
    tokenizer = TextTokenizer.open(Checkpoint.open(folder).files["tokenizer"])
    ids = tokenizer.encode(normalise(TEXT, released=True)).ids
    sampling = Sampling(temperature=0.0, position_temperature=0.0, end_rule="released")
    tokens: list[int] = []
    for result in engine.decode([Prompt(ids, voice, TOKENS)], sampling):
        if isinstance(result, BlockResult):
            tokens += result.tokens
    return {
        "speaker embedding": voice.speaker_embedding,
        "decoder prompt tokens": voice.prompt_tokens,
        "flow prompt tokens": voice.s3_tokens,
        "flow prompt mel": voice.s3_mel,
        "x-vector": voice.x_vector,
        "text ids": np.array(ids),
        "speech tokens": np.array(tokens),
        "samples": engine.vocoder(voice, sampling, SEED).push(tokens, last=True),
    }


def run_released(folder: Path, clip: Path) -> dict[str, np.ndarray]:
    import torch
    from chatterbox_flash import ChatterboxFlashTTS

    tts = ChatterboxFlashTTS.from_local(folder, "cpu", dtype=torch.float32)
    with torch.inference_mode():
        conds = tts.prepare_conditionals(clip)
    voice = {
        "speaker embedding": conds.t3.speaker_emb[0].numpy().copy(),
        "decoder prompt tokens": conds.t3.cond_prompt_speech_tokens[0].numpy().copy(),
        "flow prompt tokens": conds.gen["prompt_token"][0].numpy().astype(int),
        "flow prompt mel": conds.gen["prompt_feat"][0].numpy().copy(),
        "x-vector": conds.gen["embedding"][0].numpy().copy(),
    }
    ids = tts._encode_text(TEXT)
    spoken: dict[str, torch.Tensor] = {}
    generate = tts.t3.generate

    def noting(**options):
        spoken["tokens"] = generate(**options)
        frames = voice["flow prompt mel"].shape[0] + 2 * spoken["tokens"].shape[1]
        noise.update(_noise(frames, voice["flow prompt tokens"].size))
        return spoken["tokens"]

    noise: dict[str, torch.Tensor] = {}
    with patch.object(tts.t3, "generate", noting), _our_noise(noise):
        samples = tts.generate(
            TEXT,
            temperature=0.0,
            position_temperature=0.0,
            max_speech_tokens=TOKENS,
            backend="torch",
            use_cuda_graph=False,
        )
    return {
        **voice,
        "text ids": ids[0].numpy(),
        "speech tokens": spoken["tokens"][0].numpy(),
        "samples": samples.numpy(),
    }


def _noise(frames: int, prompt_tokens: int) -> dict:
    """Our noise of an utterance, in the released shapes."""
    import torch

    from cbflash.vocoding import mel_noise, prompt_noise, source_noise, source_phase

    prompt = prompt_noise(SEED, 2 * prompt_tokens)
    generated = frames - len(prompt)
    mel = np.concatenate([prompt, mel_noise(SEED, 0, generated)])
    return {
        "mel": torch.from_numpy(mel).mT[None],
        "phase": torch.from_numpy(source_phase(SEED)),
        "source": torch.from_numpy(source_noise(SEED, 0, 480 * generated)).mT[None],
    }


def _our_noise(noise: dict):
    """The released draws of flow and vocoder replaced by `noise`."""
    from contextlib import ExitStack

    import torch
    from torch.distributions.uniform import Uniform

    draw = torch.randn

    def normal_like(like: torch.Tensor) -> torch.Tensor:
        if like.shape[1] == 80:
            return noise["mel"].clone()
        return noise["source"].clone() if like.shape[1] > 1 else torch.zeros_like(like)

    def normal(*shape: int, **options: object) -> torch.Tensor:
        if len(shape) == 3 and shape[1] == 80:
            return noise["mel"][..., -shape[2] :].clone()
        return draw(*shape, **options)

    def uniform(self: Uniform, sample_shape: tuple[int, ...]) -> torch.Tensor:
        return noise["phase"].clone().reshape(sample_shape)

    stack = ExitStack()
    stack.enter_context(patch.object(torch, "randn_like", normal_like))
    stack.enter_context(patch.object(torch, "randn", normal))
    stack.enter_context(patch.object(Uniform, "sample", uniform))
    return stack


if __name__ == "__main__":
    main()
