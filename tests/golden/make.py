"""Make the golden files from the released packages: the only script that imports them.

    python -m tests.golden.make [PART ...]

It runs in an environment of its own (CONTRIBUTING.md); tests only read the files.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> None:
    parts = sorted(path.stem for path in (FOLDER / "parts").glob("[a-z]*.py"))
    unknown = sorted(set(names) - set(parts))
    if unknown:
        sys.exit(f"no part {unknown[0]}; parts are {', '.join(parts)}")
    for name in names or parts:
        begun = time.monotonic()
        importlib.import_module(f"tests.golden.parts.{name}").make(FOLDER)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
