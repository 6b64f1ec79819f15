"""From a reference clip to a voice: the order of work around the three encoders.

The same for every engine; an engine brings the networks (`Encoders`).
Source: released tts.py (prepare_conditionals) and s3gen.py (embed_ref).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cbflash.audio import Clip, resample
from cbflash.clip_check import require_usable
from cbflash.features import (
    ENCODER_RATE,
    REFERENCE_RATE,
    kaldi_fbank,
    reference_mel,
    s3_log_mel,
    sinc_resample_24k_to_16k,
    subtract_mean,
    trim_silence,
    voice_encoder_mel,
    voice_encoder_windows,
)
from cbflash.spectrum import Floats
from cbflash.tokens import FRAMES_PER_TOKEN
from cbflash.voice import Voice

Tokens = npt.NDArray[np.int32]

PROMPT_SECONDS = 6  # of the clip that T3 hears as tokens
REFERENCE_SECONDS = 10  # of the clip that the flow hears


class Encoders(Protocol):
    """The networks of an engine that listen to a reference clip."""

    def speech_tokens(self, log_mel: Floats) -> Tokens:
        """S3 tokenizer: log-mel [128, frames] -> codec ids [ceil(ceil(frames / 2) / 2)]."""
        ...

    def x_vector(self, fbank: Floats) -> Floats:
        """CAMPPlus: filter bank [frames, 80] without its mean -> [192]."""
        ...

    def speaker_embedding(self, windows: Floats) -> Floats:
        """Voice encoder: mel windows [n, 160, 40] -> [n, 256], each of length one."""
        ...


@dataclass(frozen=True, eq=False)
class Reference:
    """What the flow is conditioned on: s3_tokens [n], s3_mel [2 n, 80], x_vector [192].

    As the released package has it, s3_mel may have one frame more.
    """

    s3_tokens: Tokens
    s3_mel: Floats
    x_vector: Floats


def make_voice(
    clip: Clip,
    encoders: Encoders,
    *,
    model_id: str,
    engine: str,
    prompt_tokens_limit: int = 150,
    released: bool = False,
) -> Voice:
    """Make the voice of a clip.

    The speaker embedding hears the whole clip, the flow its first ten seconds, T3's prompt
    its first six. `released` keeps an odd last mel frame (see `embed_reference`). Raises
    AudioError where the clip cannot serve (`clip_check`).
    """
    require_usable(clip)
    samples24k = resample(clip.samples, clip.sample_rate, REFERENCE_RATE)
    samples16k = resample(samples24k, REFERENCE_RATE, ENCODER_RATE)
    reference = embed_reference(
        samples24k[: REFERENCE_SECONDS * REFERENCE_RATE], encoders, released=released
    )
    prompt = samples16k[: PROMPT_SECONDS * ENCODER_RATE]
    return Voice(
        name=clip.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model_id=model_id,
        source_hash=clip.digest,
        engine=engine,
        seconds=clip.seconds,
        speaker_embedding=embed_speaker(samples16k, encoders),
        prompt_tokens=encoders.speech_tokens(s3_log_mel(prompt, prompt_tokens_limit)),
        s3_tokens=reference.s3_tokens,
        s3_mel=reference.s3_mel,
        x_vector=reference.x_vector,
    )


def embed_reference(samples24k: Floats, encoders: Encoders, *, released: bool = False) -> Reference:
    """Condition the flow on samples [n], at most ten seconds at 24 kHz.

    Mel frames come every 480 samples and tokens for every 960 begun, so a clip shorter than
    ten seconds may end in half a token. Half a token is left out, and its frame; the released
    code keeps the frame, which costs everything it speaks its first 20 ms: so does `released`.
    """
    mel = reference_mel(samples24k)
    samples16k = sinc_resample_24k_to_16k(samples24k)
    x_vector = encoders.x_vector(subtract_mean(kaldi_fbank(samples16k)))
    tokens = encoders.speech_tokens(s3_log_mel(samples16k))[: len(mel) // FRAMES_PER_TOKEN]
    if not released:
        mel = mel[: FRAMES_PER_TOKEN * len(tokens)]
    return Reference(tokens, mel, x_vector)


def embed_speaker(samples16k: Floats, encoders: Encoders) -> Floats:
    """The mean over all windows of a signal [n] at 16 kHz without its quiet ends, [256], of
    length one. Source: released voice_encoder.py, embeds_from_wavs."""
    windows = voice_encoder_windows(voice_encoder_mel(trim_silence(samples16k)))
    mean = encoders.speaker_embedding(windows).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)
