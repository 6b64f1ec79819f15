"""What a conversion takes and what it gives: time, peak memory, size on disk and in memory.

    python -m benchmarks.conversion FOLDER

FOLDER is a model in the released layout. Every step runs in a process of its own, so that its
peak is its own; results are made in a temporary folder and deleted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BITS = (4, 8, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        print(json.dumps(convert_here(options.folder, *options.convert)))
    elif options.load:
        print(json.dumps(load_here(options.folder)))
    else:
        report(options.folder)


def report(source: Path) -> None:
    print("| model | size, MB | conversion, s | its peak, MB | decoder in memory, MB | of fp32 |")
    print("|---|---:|---:|---:|---:|---:|")
    whole = child(source, "--load")
    print(
        f"| release, fp32 | {size(source):.0f} | | | {whole['decoder']:.0f} | 100 % |", flush=True
    )
    for bits in BITS:
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            out = Path(folder) / f"{bits}bit"
            made = child(source, "--convert", str(out), str(bits))
            loaded = child(out, "--load")
            share = 100 * loaded["decoder"] / whole["decoder"]
            print(
                f"| {bits} bits | {size(out):.0f} | {made['seconds']:.1f} | {made['peak']:.0f} |"
                f" {loaded['decoder']:.0f} | {share:.0f} % |",
                flush=True,
            )


def child(folder: Path, *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.conversion", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def convert_here(source: Path, out: str, bits: str) -> dict[str, float]:
    from convert import convert

    begun = time.perf_counter()
    convert(source, Path(out), bits=int(bits))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"seconds": time.perf_counter() - begun, "peak": peak}


def load_here(folder: Path) -> dict[str, float]:
    """Bytes of the decoder's parameters as a Mac keeps them: norms and such in 16 bits."""
    from mlx.utils import tree_flatten

    from cbflash.checkpoint import Checkpoint
    from mlx_port.weights import DTYPES, load_model

    checkpoint = Checkpoint.open(folder)
    dtype = DTYPES["fp32" if checkpoint.kind == "release" else "bf16"]
    decoder = load_model(checkpoint, dtype).t3
    bytes_ = sum(array.nbytes for _, array in tree_flatten(decoder.parameters()))
    return {"decoder": bytes_ / 1e6}


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


if __name__ == "__main__":
    main()
