"""A line of the GPU script's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was measured, and what is allowed; figures that nothing is asked of have none."""

    what: str
    measured: str
    allowed: str = ""
    good: bool = True

    def line(self) -> str:
        asked = f" (allowed: {self.allowed})" if self.allowed else ""
        return f"{self.what}: {self.measured}{asked}{'' if self.good else '  <-- NOT GOOD'}"

    def table(self) -> str:
        return f"| {self.what} | {self.measured} | {self.allowed} | {self._verdict()} |"

    def _verdict(self) -> str:
        if not self.good:
            return "**no**"
        return "yes" if self.allowed else ""


def at_most(what: str, measured: float, allowed: float) -> Row:
    return Row(what, f"{measured:.2e}", f"{allowed:.0e}", measured <= allowed)


def all_equal(what: str, equal: int, count: int) -> Row:
    return Row(what, f"{equal} of {count}", f"{count}", equal == count)


def figure(what: str, measured: str) -> Row:
    return Row(what, measured)
