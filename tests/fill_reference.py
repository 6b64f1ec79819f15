"""A filling step with a threshold in numpy, row by row: what the engines' `Fill` must give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbflash.config import T3Config
from cbflash.filling import LOG_FLOOR, FillKind, Prior, allowed_ids
from cbflash.threshold import chosen

CONFIG = T3Config(width=8, speech_vocab=50, start_speech=40, stop_speech=41)
LENGTH = 16
MASKED = (12, 12, 7, 1, 0)  # of each row; the kind says 12


def kind(
    *, guided: bool = True, greedy: bool = False, count: int = 3, prior: Prior = "unconditional"
) -> FillKind:
    return FillKind(
        masked=12,
        count=count,
        guided=guided,
        greedy=greedy,
        scattered=True,
        injected=True,
        prior=prior,
        sound_only=True,
        thresholded=True,
    )


@dataclass(frozen=True)
class Given:
    """What a step is given. Shapes as in `Fill`; head [V, W], options as the engines have them."""

    tokens: np.ndarray
    hidden: np.ndarray
    shift: np.ndarray
    head: np.ndarray
    log_prior: np.ndarray
    options: np.ndarray
    token_noise: np.ndarray
    position_noise: np.ndarray


def given(guided: bool, temperature: float, threshold: float, seed: int = 1) -> Given:
    """Rows with more and fewer masks, in scattered places; some tokens are surer than others."""
    rng = np.random.default_rng(seed)
    rows, vocabulary, width = len(MASKED), CONFIG.speech_vocab, CONFIG.width
    tokens = rng.integers(0, CONFIG.start_speech, (rows, LENGTH)).astype(np.int32)
    for row, count in enumerate(MASKED):
        tokens[row, rng.permutation(LENGTH)[:count]] = CONFIG.mask
    doubled = 2 * rows if guided else rows

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return Given(
        tokens=tokens,
        hidden=normal(doubled, LENGTH, width),
        shift=normal(doubled, 1, width),
        head=0.5 * normal(vocabulary, width),
        log_prior=np.log(rng.dirichlet(np.ones(vocabulary))).astype(np.float32),
        options=np.array([temperature, 0.8, threshold], np.float32),
        token_noise=rng.gumbel(size=(rows, LENGTH, vocabulary)).astype(np.float32),
        position_noise=rng.gumbel(size=(rows, LENGTH)).astype(np.float32),
    )


def filled(step: Given, kind: FillKind) -> np.ndarray:
    """The tokens after the step, [B, L]."""
    count, (temperature, scale, threshold) = len(step.tokens), step.options
    shifted = np.concatenate([step.shift, step.hidden[:, :-1]], axis=1)
    logits = (shifted @ step.head.T).astype(np.float64)
    logp = logits - _log_sum(logits)
    conditional, null = logp[:count], logp[count:] if kind.guided else logp
    scale = scale if kind.guided else 0.0
    guided = conditional + scale * (conditional - null) + allowed_ids(CONFIG, sound_only=True)
    scores = guided if kind.greedy else guided / temperature + step.token_noise
    drawn = scores.argmax(axis=-1)
    chances = np.exp(guided - _log_sum(guided))
    first, second = (
        _of(np.maximum(part, LOG_FLOOR) - _log_prior(step, kind, part), drawn)
        for part in (conditional, null)
    )
    rank = (1 + scale) * first - scale * second + step.position_noise
    result = step.tokens.copy()
    for row in range(count):
        choice = chosen(
            _of(chances, drawn)[row].astype(np.float32),
            rank[row].astype(np.float32),
            step.tokens[row] == CONFIG.mask,
            float(threshold),
            kind.masked - kind.count,
        )
        result[row, choice] = drawn[row, choice]
    return result


def _log_prior(step: Given, kind: FillKind, logp: np.ndarray) -> np.ndarray | float:
    """What scores are set against, [V] or for each row [B, 1, V]."""
    if kind.prior == "block":
        mean = np.exp(logp).mean(axis=1, keepdims=True)
        return np.log(np.maximum(mean, math.exp(LOG_FLOOR)))
    return step.log_prior if kind.prior == "unconditional" else 0.0


def _log_sum(scores: np.ndarray) -> np.ndarray:
    highest = scores.max(axis=-1, keepdims=True)
    return highest + np.log(np.exp(scores - highest).sum(axis=-1, keepdims=True))


def _of(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Those of the drawn ids."""
    return np.take_along_axis(values, drawn[..., None], axis=-1)[..., 0]
