"""Speech tokens to mel: the encoder gives a mean, flow matching the detail.

Shapes: b batch, n tokens, f frames = 2n, p frames of the prompt's mel, m mels.
"""

from __future__ import annotations

from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn

from cbflash.config import FlowConfig
from cbflash.vocoding import flow_times
from mlx_port.conformer import Encoder
from mlx_port.estimator import Estimator


class Flow(nn.Module):
    """The flow of S3Gen (released flow.py and flow_matching.py).

    There is no random number inside: whoever calls passes the noise.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.codebook, config.width)
        self.speaker = nn.Linear(config.xvector, config.mels)
        self.encoder = Encoder(config)
        self.mean = nn.Linear(config.width, config.mels)
        self.estimator = Estimator(config)
        self._meanflow = config.meanflow
        self._cfg_rate = config.cfg_rate

    def __call__(
        self,
        tokens: mx.array,
        prompt_tokens: mx.array,
        prompt_mel: mx.array,
        x_vector: mx.array,
        noise: mx.array,
        steps: int,
    ) -> mx.array:
        """The mel of `tokens` in the voice of the prompt.

        tokens [1, n] and prompt_tokens [1, q] ints below the codebook, prompt_mel [1, p, m],
        x_vector [1, xvector], noise [1, 2(q + n), m] -> [1, 2(q + n) - p, m]. Usually p = 2q;
        a prompt with an odd frame takes one from the front of the result, as in the release.
        """
        mu = self.encode(mx.concatenate([prompt_tokens, tokens], axis=1))
        mel = self.solve(
            mu,
            self.conditions(prompt_mel, mu.shape[1]),
            self.embed_speaker(x_vector),
            noise,
            steps,
        )
        return mel[:, prompt_mel.shape[1] :]

    def encode(self, tokens: mx.array) -> mx.array:
        """Tokens [b, n] -> mu [b, f, m], a first guess of the mel. It sees the whole sequence."""
        return self.mean(self.encoder(self.embedding(tokens)))

    def embed_speaker(self, x_vector: mx.array) -> mx.array:
        """[b, xvector] -> [b, m]; only the direction of an x-vector matters."""
        norm = mx.linalg.norm(x_vector, axis=-1, keepdims=True)
        return self.speaker(x_vector / mx.maximum(norm, 1e-12))

    def conditions(self, prompt_mel: mx.array, frames: int) -> mx.array:
        """What is known of the mel: the prompt [b, p, m], then nothing -> [b, frames, m]."""
        return mx.pad(prompt_mel, [(0, 0), (0, frames - prompt_mel.shape[1]), (0, 0)])

    def solve(
        self,
        mu: mx.array,
        conditions: mx.array,
        speaker: mx.array,
        noise: mx.array,
        steps: int,
    ) -> mx.array:
        """Euler steps from noise [1, f, m] to mel; mu, conditions [1, f, m], speaker [1, m].

        A mean flow asks the estimator once a step. An ordinary one asks with and without
        what is known, and goes further in the direction of the difference (guidance).
        """
        if not self._meanflow:
            # The second row knows nothing.
            mu, conditions, speaker = (
                mx.concatenate([known, mx.zeros_like(known)]) for known in (mu, conditions, speaker)
            )
        times = flow_times(steps, self._meanflow)
        x = noise
        for t, r in pairwise(times):
            x = x + (r - t) * self._velocity(x, mu, conditions, speaker, t, r)
        return x

    def _velocity(
        self,
        x: mx.array,
        mu: mx.array,
        conditions: mx.array,
        speaker: mx.array,
        t: float,
        r: float,
    ) -> mx.array:
        rows = mu.shape[0]
        x = mx.repeat(x, rows, axis=0)
        begin, end = mx.full((rows,), t), mx.full((rows,), r)
        velocity = self.estimator(x, mu, speaker, conditions, begin, end)
        if self._meanflow:
            return velocity
        known, unknown = velocity[:1], velocity[1:]
        return known + self._cfg_rate * (known - unknown)
