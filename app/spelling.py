"""Sizes and times as a person says them."""

from __future__ import annotations


def spell_bytes(count: float) -> str:
    """ "3.2 GB", "48 MB", "512 kB": powers of ten, as disks are sold."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def spell_seconds(seconds: float) -> str:
    """ "12 s", "8 min", "2 h 10 min"."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def spell_count(count: int, what: str) -> str:
    """ "1 file", "3 files"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
