"""Speech tokens to sound, for one utterance."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from cbflash.engine import FloatArray
from cbflash.settings import Sampling
from cbflash.tokens import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN
from cbflash.vocoding import mel_noise, prompt_noise, source_noise, source_phase, trim_fade
from cbflash.voice import Voice
from mlx_port.failures import told_failures
from mlx_port.model import Chatterbox


class MLXVocoder:
    """`cbflash.engine.Vocoder`: collects the tokens and renders them with the last push."""

    def __init__(self, model: Chatterbox, voice: Voice, sampling: Sampling, seed: int) -> None:
        self._flow = model.flow
        self._hift = model.hift
        self._harmonics = model.config.hift.harmonics
        self._voice = voice
        self._steps = sampling.n_cfm_timesteps
        self._seed = seed
        self._tokens: list[int] = []

    def push(self, tokens: Sequence[int], last: bool) -> FloatArray:
        self._tokens += tokens
        if not last or not self._tokens:
            return np.zeros(0, np.float32)
        with told_failures():
            samples = np.array(self._samples(self._mel())[0])
        mx.clear_cache()  # every length has buffers of its own; kept, they add up to gigabytes
        return trim_fade(samples[: len(self._tokens) * SAMPLES_PER_TOKEN])

    def _mel(self) -> mx.array:
        voice = self._voice
        mels = voice.s3_mel.shape[1]
        noise = np.concatenate(
            [
                prompt_noise(self._seed, FRAMES_PER_TOKEN * len(voice.s3_tokens), mels),
                mel_noise(self._seed, 0, FRAMES_PER_TOKEN * len(self._tokens), mels),
            ]
        )
        return self._flow(
            mx.array([self._tokens]),
            mx.array(voice.s3_tokens)[None],
            mx.array(voice.s3_mel)[None],
            mx.array(voice.x_vector)[None],
            mx.array(noise)[None],
            self._steps,
        )

    def _samples(self, mel: mx.array) -> mx.array:
        harmonics = self._harmonics
        count = mel.shape[1] * SAMPLES_PER_TOKEN // FRAMES_PER_TOKEN
        return self._hift(
            mel,
            mx.array(source_phase(self._seed, harmonics)),
            mx.array(source_noise(self._seed, 0, count, harmonics))[None],
        )
