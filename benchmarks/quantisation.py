"""What quantising the decoder costs: its answers against those of the full-precision weights.

    python -m benchmarks.quantisation FOLDER

FOLDER is a model in the released layout. Weights go through each way of storing them and the
decoder is asked in float32 about 64 positions of half-masked blocks behind a prefix
(`convert.probe`), so that only the loss of the weights shows: Kullback-Leibler divergence of
the token distribution in nats, cosine of the logits, share of positions whose likeliest token
stays. The last rows are MLX's own quantisation, which rounds the codes before the scales.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from cbflash.checkpoint import Checkpoint
from cbflash.weights.storage import BITS, GROUP_SIZES, T3_LINEARS, PartStorage
from convert.measure import Quantiser, stored_as
from convert.metrics import Floats, cosine, divergence, top_agreement
from convert.probe import ask_decoder
from mlx_port.quantise import Quantised, quantise
from mlx_port.weights import DTYPES, load_model

# isort: split
import mlx.core as mx  # after mlx_port, which brings a fast BLAS


def main() -> None:
    parser = argparse.ArgumentParser(description="Print what quantising the decoder costs.")
    parser.add_argument("folder", type=Path, help="a release")
    options = parser.parse_args()
    print("| stored as | MB | KL mean | KL max | cosine | same top token |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for row in rows(Checkpoint.open(options.folder)):
        print(row, flush=True)


def rows(checkpoint: Checkpoint) -> Iterator[str]:
    model = load_model(checkpoint, DTYPES["fp32"])
    reference = ask_decoder(model, checkpoint.config)
    for name, storage, quantiser in ways():
        with stored_as(model, "t3", storage, quantiser) as size:
            yield row(name, size, reference, ask_decoder(model, checkpoint.config))


def ways() -> Iterator[tuple[str, PartStorage, Quantiser]]:
    yield "bf16", PartStorage("bf16"), quantise
    yield "fp16", PartStorage("fp16"), quantise
    for bits in reversed(BITS):
        for group_size in GROUP_SIZES:
            name = f"{bits} bits, groups of {group_size}"
            yield name, PartStorage("bf16", bits, group_size, T3_LINEARS), quantise
    for bits in reversed(BITS):
        name = f"{bits} bits, groups of 64, mx.quantize"
        yield name, PartStorage("bf16", bits, 64, T3_LINEARS), mlx_quantise


def mlx_quantise(weight: mx.array, bits: int, group_size: int, dtype: mx.Dtype) -> Quantised:
    codes, scales, biases = mx.quantize(weight.astype(dtype), group_size, bits)
    return codes, scales, biases


def row(name: str, size: int, reference: Floats, logits: Floats) -> str:
    kl = divergence(reference, logits)
    return (
        f"| {name} | {size / 1e6:.0f} | {kl.mean():.2e} | {kl.max():.2e} "
        f"| {cosine(reference, logits):.6f} | {top_agreement(reference, logits):.1%} |"
    )


if __name__ == "__main__":
    main()
