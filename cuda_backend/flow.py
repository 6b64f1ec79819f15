"""Speech tokens to mel: the encoder gives a mean, flow matching the detail.

Shapes: b batch, n tokens, f frames = 2n, p frames of the prompt's mel, m mels. Rows of a batch
may be of different lengths, each a prompt and an utterance, padded on the right with anything
(tokens: with tokens).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cbflash.config import FlowConfig
from cbflash.tokens import FRAMES_PER_TOKEN
from cbflash.vocoding import flow_times
from cuda_backend.conformer import Encoder
from cuda_backend.estimator import Estimator
from cuda_backend.layers import Linear


class Flow(nn.Module):
    """The flow of S3Gen (released flow.py and flow_matching.py).

    There is no random number inside: whoever calls passes the noise.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.codebook, config.width)
        self.speaker = Linear(config.xvector, config.mels)
        self.encoder = Encoder(config)
        self.mean = Linear(config.width, config.mels)
        self.estimator = Estimator(config)
        self._meanflow = config.meanflow
        self._cfg_rate = config.cfg_rate

    def forward(
        self,
        tokens: Tensor,
        conditions: Tensor,
        x_vector: Tensor,
        noise: Tensor,
        steps: int,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The mel of all frames of some rows, those of the prompts included.

        tokens [b, n] ints below the codebook, of the prompt and then of the utterance;
        conditions and noise [b, f, m], x_vector [b, xvector] -> [b, f, m]. lengths: of the rows
        in tokens, [b]; None if nothing is padded.
        """
        mu = self.encode(tokens, lengths)
        frames = None if lengths is None else FRAMES_PER_TOKEN * lengths
        return self.solve(mu, conditions, self.embed_speaker(x_vector), noise, steps, frames)

    def utterance(
        self,
        tokens: Tensor,
        prompt_tokens: Tensor,
        prompt_mel: Tensor,
        x_vector: Tensor,
        noise: Tensor,
        steps: int,
    ) -> Tensor:
        """The mel of `tokens` in the voice of the prompt.

        tokens [1, n] and prompt_tokens [1, q] ints below the codebook, prompt_mel [1, p, m],
        x_vector [1, xvector], noise [1, 2(q + n), m] -> [1, 2(q + n) - p, m]. Usually p = 2q;
        a prompt with an odd frame takes one from the front of the result, as in the release.
        """
        known = self.conditions(prompt_mel, noise.shape[1])
        joined = torch.cat([prompt_tokens, tokens], dim=1)
        mel: Tensor = self(joined, known, x_vector, noise, steps)
        return mel[:, prompt_mel.shape[1] :]

    def encode(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens [b, n] -> mu [b, f, m], a first guess of the mel. It sees the whole sequence.

        lengths: of the rows in tokens, [b]; None if nothing is padded.
        """
        mu: Tensor = self.mean(self.encoder(self.embedding(tokens), lengths))
        return mu

    def embed_speaker(self, x_vector: Tensor) -> Tensor:
        """[b, xvector] -> [b, m]; only the direction of an x-vector matters."""
        speaker: Tensor = self.speaker(F.normalize(x_vector, dim=-1))
        return speaker

    def conditions(self, prompt_mel: Tensor, frames: int) -> Tensor:
        """What is known of the mel: the prompt [b, p, m], then nothing -> [b, frames, m]."""
        return F.pad(prompt_mel, (0, 0, 0, frames - prompt_mel.shape[1]))

    def solve(
        self,
        mu: Tensor,
        conditions: Tensor,
        speaker: Tensor,
        noise: Tensor,
        steps: int,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Euler steps from noise [b, f, m] to mel; mu, conditions [b, f, m], speaker [b, m].

        A mean flow asks the estimator once a step. An ordinary one asks with and without
        what is known, and goes further in the direction of the difference (guidance).
        lengths: of the rows in frames, [b]; None if nothing is padded.
        """
        if not self._meanflow:
            # The second half of the rows knows nothing.
            mu, conditions, speaker = (
                torch.cat([known, torch.zeros_like(known)]) for known in (mu, conditions, speaker)
            )
            lengths = None if lengths is None else lengths.repeat(2)
        times = flow_times(steps, self._meanflow)
        x = noise
        for t, r in pairwise(times):
            begin, end = (x.new_full((1,), time) for time in (t, r))
            rows = x if self._meanflow else x.repeat(2, 1, 1)
            velocity = self.estimator(rows, mu, speaker, conditions, begin, end, lengths)
            x = x + (r - t) * (velocity if self._meanflow else self._guide(velocity))
        return x

    def _guide(self, velocity: Tensor) -> Tensor:
        """[2b, f, m], rows that know and rows that do not -> [b, f, m]."""
        known, unknown = velocity.chunk(2)
        return known + self._cfg_rate * (known - unknown)
