"""The processor's name, for people."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Such as "AMD EPYC 9R14"; "CPU" where it cannot be told."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names[0] if names else platform.processor()) or "CPU"
