"""How many positions of a block each denoising step fills: known before the block starts.

The released step function counts positions whose score reaches a quantile of all scores.
That count does not depend on the scores: with `m` positions left, the scores at or above
the linearly interpolated q-quantile are m - ceil(q * (m - 1)). So the schedule of a block is
a tuple of ints, and no step has to be looked at by the host.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=512)
def unmask_schedule(length: int, num_steps: int, t_shift: float, early: float) -> tuple[int, ...]:
    """Positions filled at each step of a block of `length` masks; they sum to `length`.

    t_shift: time shift of the count curve, r(s) = t*s / (1 + (t-1)*s)  (OmniVoice, eq. 3).
    early: early decoding; the quantile of step k is 1 - early * (k+1) / num_steps.

    A step may fill nothing: then its forward pass changes nothing and can be left out. The
    tuple is shorter than `num_steps` where early decoding finished the block before.
    Source: released model.py, `_omnivoice_unmask_schedule` and `_pmi_count_early_step_unmask`.
    """
    floors = _count_floors(length, num_steps, t_shift)
    counts: list[int] = []
    left = length
    for step, floor in enumerate(floors):
        if not left:
            break
        count = left
        if step < num_steps - 1:
            count = min(left, floor)
            if early > 0:
                count = min(left, max(count, _reaching_quantile(left, early, step, num_steps)))
        counts.append(count)
        left -= count
    return tuple(counts)


def _count_floors(length: int, num_steps: int, t_shift: float) -> list[int]:
    """The fixed part: cumulative rounding of the time-shifted curve, the rest at the end.

    Python's `round` goes to the even neighbour at a half; so does the released code.
    """
    floors: list[int] = []
    done = 0
    for step in range(num_steps):
        if step == num_steps - 1:
            count = length - done
        elif t_shift <= 0:
            count = length // num_steps
        else:
            s = (step + 1) / num_steps
            target = round(length * t_shift * s / (1.0 + (t_shift - 1.0) * s))
            count = min(max(0, target - done), length - done)
        floors.append(count)
        done += count
    return floors


def _reaching_quantile(left: int, early: float, step: int, num_steps: int) -> int:
    """How many of `left` scores are at or above their quantile; the rank is a float32."""
    q = max(0.0, 1.0 - early * (step + 1) / num_steps)
    rank = float(np.float32(q) * np.float32(left - 1))
    return left - math.ceil(rank)
