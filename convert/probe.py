"""A fixed question to every network, so that two models can be compared part by part.

Each network is asked by itself, with inputs that do not depend on the others: a synthetic
clip for the encoders, seeded tokens for decoder and flow, the flow's own first answer for
the vocoder. Sizes come from the model, so a tiny one can be asked too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from cbflash.conditioning import embed_reference, embed_speaker
from cbflash.config import ModelConfig
from cbflash.features import REFERENCE_RATE, reference_mel, sinc_resample_24k_to_16k
from cbflash.tokens import FRAMES_PER_TOKEN, SAMPLES_PER_TOKEN
from cbflash.vocoding import mel_noise, source_noise, source_phase
from convert.metrics import Floats, Ints
from mlx_port.device import on_gpu
from mlx_port.engine import ClipEncoders
from mlx_port.model import Chatterbox
from mlx_port.quantise import dequantise_modules
from mlx_port.t3 import Place

SEED = 1
SECONDS = 10.0  # of the clip
TEXT = 60  # tokens
BLOCKS = 4  # of the decoder, half of each masked
PROMPT, SPOKEN = 25, 50  # tokens of the flow: of the voice, and to be spoken


@dataclass(frozen=True)
class Answers:
    """What a model says: logits [64, V], speech_tokens [250], x_vector [192],
    speaker_embedding [256], mel [100, 80] of the flow, sound_mel [100, 80] of the vocoder."""

    logits: Floats
    speech_tokens: Ints
    x_vector: Floats
    speaker_embedding: Floats
    mel: Floats
    sound_mel: Floats


def ask(model: Chatterbox, config: ModelConfig, mel: Floats | None = None) -> Answers:
    """Ask every network. `mel`: what the vocoder speaks; the flow's answer by default.

    Quantised matrices of `model` are widened where that is faster.
    """
    if not on_gpu():
        dequantise_modules(model)
    own = ask_flow(model, config)
    return Answers(
        logits=ask_decoder(model, config),
        speech_tokens=ask_tokenizer(model),
        x_vector=ask_xvector(model),
        speaker_embedding=ask_voice_encoder(model),
        mel=own,
        sound_mel=ask_vocoder(model, config, own if mel is None else mel),
    )


def ask_decoder(model: Chatterbox, config: ModelConfig) -> Floats:
    """Logits of every position of some blocks behind a prefix, [BLOCKS * block, V]."""
    sizes, rng = config.t3, np.random.default_rng(SEED)
    text = rng.integers(0, sizes.text_vocab, (1, TEXT))
    speaker = rng.standard_normal(sizes.speaker_dim).astype(np.float32)
    prompt = rng.integers(0, sizes.start_speech, (1, sizes.prompt_tokens))
    blocks = rng.integers(0, sizes.start_speech, (BLOCKS, sizes.block_size))
    blocks[rng.random(blocks.shape) < 0.5] = sizes.mask
    t3 = model.t3
    speaker /= np.linalg.norm(speaker)
    prefix = t3.embed_prefix(mx.array(text), mx.array(speaker), mx.array(prompt), 0.5)
    length = prefix.shape[1]
    speech = t3.embed_speech(mx.array(blocks)).reshape(1, -1, sizes.width)
    x = mx.concatenate([prefix, speech], axis=1)
    mask = mx.array(_block_causal(length, sizes.block_size)).astype(x.dtype)
    empty = mx.zeros((1, sizes.heads, x.shape[1], sizes.head_dim), t3.dtype)
    buffers = [empty] * sizes.layers
    hidden, _, _ = t3(x, buffers, buffers, Place(mx.array([0]), mx.array([0]), mask))
    return np.array(t3.speech_head(hidden[0, length - 1 : -1]).astype(mx.float32))


def ask_tokenizer(model: Chatterbox) -> Ints:
    return embed_reference(synthetic_clip(), ClipEncoders(model)).s3_tokens


def ask_xvector(model: Chatterbox) -> Floats:
    return embed_reference(synthetic_clip(), ClipEncoders(model)).x_vector


def ask_voice_encoder(model: Chatterbox) -> Floats:
    return embed_speaker(sinc_resample_24k_to_16k(synthetic_clip()), ClipEncoders(model))


def ask_flow(model: Chatterbox, config: ModelConfig) -> Floats:
    """The mel of some tokens, from fixed noise in two steps, [SPOKEN * 2, mels]."""
    sizes, rng = config.flow, np.random.default_rng(SEED)
    tokens = rng.integers(0, sizes.codebook, (1, PROMPT + SPOKEN))
    voice = rng.standard_normal((1, sizes.xvector)).astype(np.float32)
    mel = model.flow(
        mx.array(tokens[:, PROMPT:]),
        mx.array(tokens[:, :PROMPT]),
        mx.array(reference_mel(synthetic_clip()))[None, : PROMPT * FRAMES_PER_TOKEN],
        mx.array(voice),
        mx.array(mel_noise(SEED, 0, tokens.size * FRAMES_PER_TOKEN, sizes.mels))[None],
        2,
    )
    return np.array(mel[0])


def ask_vocoder(model: Chatterbox, config: ModelConfig, mel: Floats) -> Floats:
    """The log-mel of the sound that the vocoder makes of a mel, both [frames, mels]."""
    samples = len(mel) // FRAMES_PER_TOKEN * SAMPLES_PER_TOKEN
    harmonics = config.hift.harmonics
    sound = model.hift(
        mx.array(mel)[None],
        mx.array(source_phase(SEED, harmonics)),
        mx.array(source_noise(SEED, 0, samples, harmonics))[None],
    )
    return reference_mel(np.array(sound[0]))


@functools.cache
def synthetic_clip() -> Floats:
    """Something like a voice at 24 kHz: a gliding pitch, moving formants, syllables."""
    rng = np.random.default_rng(SEED)
    time = np.arange(int(SECONDS * REFERENCE_RATE)) / REFERENCE_RATE
    pitch = 140.0 + 30.0 * np.sin(2 * np.pi * 0.5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / REFERENCE_RATE
    sound = 0.02 * rng.standard_normal(time.size)
    for harmonic in range(1, 30):
        loudness = 1.0 + np.sin(2 * np.pi * (0.4 + 0.13 * harmonic) * time)
        sound += loudness * np.sin(harmonic * phase) / harmonic
    sound *= np.clip(2 * np.sin(2 * np.pi * 3.1 * time) + 1.2, 0.02, 1.0)
    clip: Floats = (0.5 * sound / np.abs(sound).max()).astype(np.float32)
    return clip


def _block_causal(prefix: int, block: int) -> Floats:
    """What is added to the scores: the prefix sees its past, a block all up to its own end."""
    place = np.arange(prefix + BLOCKS * block)
    end = np.where(place < prefix, place, prefix + (place - prefix) // block * block + block - 1)
    return np.where(place[None] <= end[:, None], 0.0, -np.inf).astype(np.float32)
