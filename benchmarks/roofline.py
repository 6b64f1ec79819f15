"""What one block of the decoder must cost on paper: bytes moved and operations done.

    python -m benchmarks.roofline

A pass reads every weight of the layers once and multiplies it with the positions of all rows;
its time is at least the larger of bytes / bandwidth and operations / peak. Nothing here is
measured: these are floors that no implementation goes below, from the vendors' figures.
"""

from __future__ import annotations

from dataclasses import dataclass

from cbflash.config import T3Config
from cbflash.schedule import unmask_schedule
from cbflash.settings import PRESETS, Sampling
from cbflash.tokens import TOKEN_RATE

CONTEXT = 300  # slots in front of the block: 34 conditioning, 70 text, 200 speech (8 s)


@dataclass(frozen=True)
class Chip:
    """bandwidth in GB/s; peak in TFLOP/s of the GPU in float32 and float16 alike."""

    name: str
    bandwidth: float
    peak: float


CHIPS = (
    Chip("M1 (8-core GPU)", 68.25, 2.6),
    Chip("M4 (10-core GPU)", 120.0, 4.3),
    Chip("M3 Max (40-core GPU)", 400.0, 14.2),
)

# Bytes of one weight: bf16, and groups of 64 that share a 16-bit scale and bias.
WEIGHTS = {"bf16": 2.0, "8-bit": 1.0 + 4 / 64, "4-bit": 0.5 + 4 / 64}


def layer_weights(config: T3Config) -> int:
    inner = config.heads * config.head_dim
    attention = 4 * config.width * inner
    return config.layers * (attention + 3 * config.width * config.mlp)


def pass_cost(config: T3Config, rows: int, masked: float, width: float) -> tuple[float, float]:
    """Bytes and operations of one pass over a block with `masked` positions left."""
    layers = layer_weights(config)
    head = config.speech_vocab * config.width
    inner = config.heads * config.head_dim
    positions = rows * config.block_size
    slots = CONTEXT + config.block_size  # the null row has nearly none
    cache = 2 * config.layers * slots * inner * 2.0
    attention = 4 * config.layers * config.block_size * slots * inner
    operations = 2 * layers * positions + 2 * head * rows * masked + attention
    return (layers + head) * width + cache, operations


def block_time(chip: Chip, config: T3Config, sampling: Sampling, width: float) -> tuple[float, str]:
    """Seconds of a whole block, and what bounds its first pass."""
    counts = unmask_schedule(
        config.block_size,
        sampling.num_steps,
        sampling.omnivoice_schedule_t_shift,
        sampling.time_shift_tau,
    )
    rows = 2 if sampling.cfg_scale > 0 else 1
    seconds, masked, bounds = 0.0, config.block_size, []
    for index, count in enumerate(c for c in counts if c):
        moved, operations = pass_cost(config, rows, masked, width)
        if index == 0:  # the block before is committed in the same pass
            operations += 2 * layer_weights(config) * rows * config.block_size
        memory, compute = moved / (chip.bandwidth * 1e9), operations / (chip.peak * 1e12)
        bounds.append("memory" if memory > compute else "compute")
        seconds += max(memory, compute)
        masked -= count
    return seconds, bounds[-1]


def main() -> None:
    config = T3Config()
    print(f"Layer weights: {layer_weights(config) / 1e6:.1f} M; context {CONTEXT} slots.\n")
    print(
        "| chip | weights | preset | bound by | block, ms | seconds of work per second of sound |"
    )
    print("|---|---|---|---|---:|---:|")
    for chip in CHIPS:
        for name, width in WEIGHTS.items():
            for preset in ("best", "paper", "draft"):
                seconds, bound = block_time(chip, config, PRESETS[preset], width)
                sound = config.block_size / TOKEN_RATE
                print(
                    f"| {chip.name} | {name} | {preset} | {bound} | {seconds * 1e3:.0f} |"
                    f" {seconds / sound:.2f} |"
                )


if __name__ == "__main__":
    main()
