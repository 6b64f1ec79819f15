"""Everything that needs an NVIDIA card, in one command:

    python -m tests.gpu.run FOLDER [--log gpu.log] [--only parity memory speed]

FOLDER is a model of the real sizes (python -m tests.seeded_models full FOLDER). Nothing is
installed and nothing is fetched. The last thing it prints is a table, which also ends the log;
it exits with 1 if anything was not as it should be. What is missing (FlashInfer, the released
package) is told in the table and is no failure.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from cuda_backend.flashinfer_probe import missing_flashinfer
from cuda_backend.gpu_probe import missing_gpu
from tests.gpu import attention, memory, parity, speed
from tests.gpu.rows import Row

PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "attention": attention.rows,
    "parity": parity.rows,
    "memory": memory.rows,
    "speed": speed.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--log", type=Path, default=Path("gpu.log"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    reason = missing_gpu()
    if reason:
        sys.exit(f"There is nothing to do here: {reason}")
    with options.log.open("w", encoding="utf-8") as log:
        sys.exit(run(options, Log(log)))


class Log:
    """Prints, and writes the same to a file, at once."""

    def __init__(self, file) -> None:
        self._file = file

    def __call__(self, text: str) -> None:
        print(text, flush=True)
        print(text, file=self._file, flush=True)


def run(options: argparse.Namespace, log: Log) -> int:
    log(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}")
    log(f"FlashInfer: {missing_flashinfer() or 'yes'}")
    done: list[Row] = []
    for part in options.only:
        begun = time.perf_counter()
        try:
            for row in PARTS[part](options.folder):
                done.append(row)
                log(f"  {part}: {row.line()}")
        except Exception:
            log(traceback.format_exc())
            done.append(Row(part, "failed, see the log", "", good=False))
        log(f"{part} took {time.perf_counter() - begun:.0f} s")
    log("\n| what | measured | allowed | |\n|---|---:|---:|---|")
    for row in done:
        log(row.table())
    return 0 if all(row.good for row in done) else 1


if __name__ == "__main__":
    main()
