"""The matrix products of one decoder pass on the processor, plain and packed.

    python -m benchmarks.torch_products

The matrices of all 30 layers at the released sizes, random, so that they come from memory as in
a real pass; plain products are PyTorch's `linear` on the weights as they are stored. Both take
turns; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cbflash.config import T3Config
from cuda_backend.packed import Packed

POSITIONS = 32  # a block of 16, and its null row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| weights | plain, ms | packed, ms | plain / packed | packed, GFLOP/s |")
    print("|---|---:|---:|---:|---:|")
    for dtype in (torch.bfloat16, torch.float32):
        with torch.inference_mode():
            plain, packed, operations = compare(dtype, options.rounds)
        name = str(dtype).removeprefix("torch.")
        speed = operations / packed / 1e9
        ratio = plain / packed
        print(f"| {name} | {1e3 * plain:.0f} | {1e3 * packed:.0f} | {ratio:.2f} | {speed:.0f} |")


def compare(dtype: torch.dtype, rounds: int) -> tuple[float, float, float]:
    """Seconds of all products, plain and packed, and their operations."""
    c = T3Config()
    inner = c.heads * c.head_dim
    shapes = [(3 * inner, c.width), (c.width, inner), (2 * c.mlp, c.width), (c.width, c.mlp)]
    weights = [torch.randn(shape).to(dtype) for _ in range(c.layers) for shape in shapes]
    packed = [Packed(weight, None, None) for weight in weights]
    inputs = {size: torch.randn(POSITIONS, size).to(dtype) for _, size in shapes}

    def with_plain(place: int, x: Tensor) -> Tensor:
        return F.linear(x, weights[place])

    def with_packed(place: int, x: Tensor) -> Tensor:
        return packed[place](x)

    def seconds(product: Callable[[int, Tensor], Tensor]) -> float:
        begun = time.perf_counter()
        for place, weight in enumerate(weights):
            product(place, inputs[weight.shape[1]])
        return time.perf_counter() - begun

    pairs = [(seconds(with_plain), seconds(with_packed)) for _ in range(rounds + 1)][1:]
    operations = 2 * POSITIONS * sum(weight.numel() for weight in weights)
    return min(a for a, _ in pairs), min(b for _, b in pairs), operations


if __name__ == "__main__":
    main()
