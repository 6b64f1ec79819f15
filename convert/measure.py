"""What each way to store a network costs: the numbers behind the recipe.

    python -m convert.measure FOLDER

FOLDER is a release. A network is asked (see `probe`) with its weights as they are, and again
after they went through each way of storing them; everything is computed in float32, so
that only the loss of the weights shows. The decoder has a table of its own:
python -m benchmarks.quantisation FOLDER.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from cbflash.checkpoint import Checkpoint
from cbflash.config import ModelConfig
from cbflash.weights.storage import PartStorage
from convert import probe
from convert.metrics import agreement, cosine, log_mel_distance
from convert.recipe import (
    FLOW_ENCODER,
    FLOW_ESTIMATOR,
    HIFT_SOURCE,
    S3TOKENIZER_LINEARS,
    S3TOKENIZER_QUANTISER,
)
from mlx_port.model import Chatterbox
from mlx_port.quantise import Quantised, dequantise, quantise
from mlx_port.weights import DTYPES, load_model

Quantiser = Callable[[mx.array, int, int, mx.Dtype], Quantised]

_HALVES = {
    "bf16": PartStorage("bf16"),
    "fp16": PartStorage("fp16"),
}


def _quantised(what: str, patterns: tuple[str, ...]) -> dict[str, PartStorage]:
    return {f"{what} {bits} bits, fp16": PartStorage("fp16", bits, 64, patterns) for bits in (8, 4)}


CANDIDATES: dict[str, dict[str, PartStorage]] = {
    "s3tokenizer": {
        **_HALVES,
        "fp16, FSQ projection fp32": PartStorage("fp16", exact=S3TOKENIZER_QUANTISER),
        **_quantised("linears", S3TOKENIZER_LINEARS),
    },
    "xvector": dict(_HALVES),
    "voice_encoder": dict(_HALVES),
    "flow": {
        **_HALVES,
        **_quantised("encoder", FLOW_ENCODER),
        **_quantised("estimator", FLOW_ESTIMATOR),
        **_quantised("both", (*FLOW_ENCODER, *FLOW_ESTIMATOR)),
    },
    "hift": {**_HALVES, "fp16, pitch and source fp32": PartStorage("fp16", exact=HIFT_SOURCE)},
}


@dataclass(frozen=True)
class Loss:
    """One way to store a network. size: bytes. loss: in the words of the network's answer."""

    part: str
    stored: str
    size: int
    loss: str


def measure(checkpoint: Checkpoint) -> Iterator[Loss]:
    """Try all candidates on a release, network by network."""
    model, config = load_model(checkpoint, mx.float32), checkpoint.config
    for part, candidates in CANDIDATES.items():
        compare = _question(part, model, config)
        full = sum(array.nbytes for _, array in tree_flatten(model[part].parameters()))
        yield Loss(part, "fp32", full, compare())
        for name, storage in candidates.items():
            with stored_as(model, part, storage) as size:
                yield Loss(part, name, size, compare())


@contextmanager
def stored_as(
    model: Chatterbox, part: str, storage: PartStorage, quantiser: Quantiser = quantise
) -> Iterator[int]:
    """Inside, a network has the weights that `storage` would give it back; gives their bytes."""
    original = tree_flatten(model[part].parameters())
    size, weights = 0, []
    for path, array in original:
        again, nbytes = round_trip(f"{part}.{path}", array, storage, quantiser)
        weights.append((path, again))
        size += nbytes
    model[part].load_weights(weights)
    try:
        yield size
    finally:
        model[part].load_weights(original)


def round_trip(
    name: str, array: mx.array, storage: PartStorage, quantiser: Quantiser = quantise
) -> tuple[mx.array, int]:
    """A parameter as float32 after it was stored, and the bytes that takes."""
    module, _, kind = name.rpartition(".")
    dtype = DTYPES[storage.precision(module)]
    if kind == "weight" and storage.quantises(module):
        assert storage.bits is not None
        assert storage.group_size is not None
        parts = quantiser(array, storage.bits, storage.group_size, dtype)
        again = dequantise(parts, storage.bits)
        nbytes = sum(part.nbytes for part in parts)
    else:
        small = array.astype(dtype)
        again, nbytes = small.astype(mx.float32), small.nbytes
    mx.eval(again)
    return again, nbytes


def _question(part: str, model: Chatterbox, config: ModelConfig) -> Callable[[], str]:
    """Asks the network again and compares with what it says now."""
    if part == "s3tokenizer":
        tokens = probe.ask_tokenizer(model)
        return lambda: f"{agreement(tokens, probe.ask_tokenizer(model)):.1%} of tokens equal"
    if part == "xvector":
        x_vector = probe.ask_xvector(model)
        return lambda: f"cosine {cosine(x_vector, probe.ask_xvector(model)):.6f}"
    if part == "voice_encoder":
        speaker = probe.ask_voice_encoder(model)
        return lambda: f"cosine {cosine(speaker, probe.ask_voice_encoder(model)):.6f}"
    mel = probe.ask_flow(model, config)
    if part == "flow":
        return lambda: f"log-mel {log_mel_distance(mel, probe.ask_flow(model, config)):.3f} dB"
    sound = probe.ask_vocoder(model, config, mel)
    return lambda: (
        f"log-mel {log_mel_distance(sound, probe.ask_vocoder(model, config, mel)):.3f} dB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Print what each way to store a network costs.")
    parser.add_argument("folder", type=Path, help="a release")
    options = parser.parse_args()
    print("| network | stored as | MB | loss |\n|---|---|---:|---|", flush=True)
    for row in measure(Checkpoint.open(options.folder)):
        print(f"| {row.part} | {row.stored} | {row.size / 1e6:.1f} | {row.loss} |", flush=True)


if __name__ == "__main__":
    main()
