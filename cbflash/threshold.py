"""Which positions a denoising step fills when a threshold decides: the rule, for one block.

The schedule (`schedule.py`) fixes how many positions a step fills, whatever they hold. A
threshold lets the model say: a step fills every masked position whose drawn token is at least so
probable, and so takes more where the model is sure and fewer steps in all. The schedule stays as
the least: a block is never behind it, so it ends within its steps, and every step fills
something. What makes up for too few confident positions are the best ranked of the others, by
the calibrated score and the noise that rank them in the schedule too.

The confidence of a position is the probability of its drawn token under the guided distribution
over all ids that may be drawn, before the temperature. Where that comes from:

- Fast-dLLM (arXiv 2505.22618; `get_transfer_index` in llada/generate.py of NVlabs/Fast-dLLM)
  draws with a temperature but takes the confidence from the softmax without it, fills everything
  at or above a threshold of about 0.9, and at least the most confident. We do likewise. Its second
  version takes it after temperature and top-p; at the temperatures used here (0.2, 0.6) nearly
  every draw would then pass, and the threshold would mean something else at each of them.
- Block distillation of speech models (balladie.github.io/blog/2026/bdtts; generate.py of
  Balladie/neutts-dllm) works with low confidence: 0.01 to 0.0175, at temperature 1 and after a
  cut to the best 50 ids. An even share of those is 0.02, so as we read it the threshold keeps out
  draws from the tail rather than waiting for certainty, which speech tokens, many of which sound
  alike, never reach. Here is no such cut, which makes the same number stricter, but guidance,
  which makes it laxer.

The confidence is not calibrated by the prior, which is a ratio and no probability: frequent
tokens pass more easily, the bias for which the Chatterbox-Flash paper ranks by calibrated scores.
With `num_steps` equal to the block's length, `omnivoice_schedule_t_shift` 1 and no early decoding
the schedule asks for one position a step, and what is left is the sources' rule, but that where
none is confident the best ranked goes and not the most confident.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def chosen(confidence: Floats, rank: Floats, masked: Bools, threshold: float, left: int) -> Bools:
    """The positions of a block of length L that a step fills, [L]: the reference for all engines.

    confidence [L]: probabilities of the drawn tokens; rank [L]: higher is filled sooner, of equal
    ones the earlier position; masked [L]: what can be filled; left: how many positions may stay
    masked. At least one is filled where any is masked.
    """
    places = np.flatnonzero(masked)
    sure = confidence[places] >= threshold
    order = np.lexsort((-rank[places], ~sure))  # the sure ones, then the others, best first
    count = max(int(sure.sum()), len(places) - left, 1)
    filled = np.zeros(len(masked), np.bool_)
    filled[places[order[:count]]] = True
    return filled
