"""How a row becomes sound: spoken whole, spoken as a stream, or sent through the codec alone."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from app.evaluate.references import References
from app.evaluate.rows import Row
from app.evaluate.sound import Effort
from cbflash.audio import Clip, Samples, read_clip, resample
from cbflash.conditioning import REFERENCE_SECONDS, Encoders
from cbflash.engine import BlockResult, StepResult, Utterance
from cbflash.errors import AudioError, UsageError
from cbflash.features import s3_log_mel, sinc_resample_24k_to_16k
from cbflash.settings import Sampling
from cbflash.speech import Tally
from cbflash.synth import ChatterboxFlash
from cbflash.text_stream import SentenceBegun
from cbflash.tokens import SAMPLE_RATE, SAMPLES_PER_TOKEN, TOKEN_RATE
from cbflash.vocoding import require_finite
from cbflash.voice import Voice

OnStep = Callable[[StepResult | BlockResult], None]

_PIECE = REFERENCE_SECONDS * TOKEN_RATE  # tokens: as much as the tokenizer hears of a clip
_WARMING = "Good morning."


@dataclass(frozen=True, eq=False)
class Made:
    """Sound at 24 kHz and what it took."""

    samples: Samples
    effort: Effort


class Source(Protocol):
    """Makes the sound of rows."""

    def warm(self, row: Row) -> None:
        """Do, with the voice of a row, what is done only once, so that it is in no row's time."""
        ...

    def make(self, row: Row, seed: int) -> Made:
        """Raises AudioError, UsageError or VoiceError for a row that cannot be spoken."""
        ...


@dataclass(frozen=True)
class Speaking:
    """The whole way from text to sound: one utterance a row, sentence by sentence where the model
    was not made for so long a text.

    streamed: as a stream, with windows of the vocoder; the tokens are the same.
    """

    tts: ChatterboxFlash
    references: References
    sampling: Sampling
    care: bool = True
    streamed: bool = False
    on_step: OnStep | None = None

    def warm(self, row: Row) -> None:
        self.make(dataclasses.replace(row, text=_WARMING), 0)

    def make(self, row: Row, seed: int) -> Made:
        voice = self.references.voice(row, self.tts)
        sampling = self.sampling.replace(seed=seed_of(seed, row))
        if self.streamed:
            return self._stream(row.text, voice, sampling)
        speak = self.tts.generate_long if self._is_long(row.text) else self.tts.generate
        speech = speak(
            row.text, voice=voice, sampling=sampling, care=self.care, on_result=self.on_step
        )
        return Made(speech.samples, _effort(Tally.of(speech)))

    def _stream(self, text: str, voice: Voice, sampling: Sampling) -> Made:
        tally, parts = Tally(text), []
        chunks = self.tts.stream(
            text,
            voice=voice,
            sampling=sampling,
            care=self.care,
            split=self._is_long(text),
            on_event=self._on_event,
        )
        with closing(chunks):
            for chunk in chunks:
                tally.add(chunk)
                parts.append(chunk.samples)
        return Made(np.concatenate(parts), _effort(tally, tally.first_sound))

    def _is_long(self, text: str) -> bool:
        """Whether it is more than the model speaks at once."""
        return len(text) > self.tts.tokenizer.longest_text

    def _on_event(self, event: SentenceBegun | StepResult | BlockResult) -> None:
        if self.on_step is not None and not isinstance(event, SentenceBegun):
            self.on_step(event)


@dataclass(frozen=True)
class Codec:
    """A recording of each row through the speech tokenizer and the vocoder, in the voice of its
    reference: what is lost before any decoder had a part."""

    tts: ChatterboxFlash
    references: References
    sampling: Sampling
    recordings: Path | None = None

    def warm(self, row: Row) -> None:
        self.make(row, 0)

    def make(self, row: Row, seed: int) -> Made:
        clip = read_clip(recording_of(row, self.recordings))
        voice = self.references.voice(row, self.tts)
        begun = time.perf_counter()
        tokens = speech_tokens(clip, self.tts.engine.encoders)
        utterance = Utterance(tokens, voice, seed_of(seed, row))
        [samples] = self.tts.engine.render([utterance], self.sampling)
        return Made(require_finite(samples), Effort(time.perf_counter() - begun, len(tokens)))


def recording_of(row: Row, folder: Path | None) -> Path:
    """Where a recording of the row is: in a folder under its id, or where the row says.

    Raises UsageError where neither is known.
    """
    if folder is not None:
        found = [folder / f"{row.id}{kind}" for kind in (".wav", ".flac")]
        return next((path for path in found if path.exists()), found[0])
    if row.speech is None:
        raise UsageError("there is no 'speech'.", "Add it, or name a folder with --speech.")
    return row.speech


def speech_tokens(clip: Clip, encoders: Encoders) -> tuple[int, ...]:
    """The tokens of a clip, 25 a second, heard in pieces of ten seconds.

    Raises AudioError for less than one token.
    """
    samples = resample(clip.samples, clip.sample_rate, SAMPLE_RATE)
    count = len(samples) // SAMPLES_PER_TOKEN
    if not count:
        raise AudioError(f"{clip.name} is shorter than a speech token.", "Record it again.")
    tokens: list[int] = []
    for begin in range(0, count, _PIECE):
        end = min(begin + _PIECE, count)
        piece = samples[begin * SAMPLES_PER_TOKEN : end * SAMPLES_PER_TOKEN]
        log_mel = s3_log_mel(sinc_resample_24k_to_16k(piece), end - begin)
        tokens += encoders.speech_tokens(log_mel).tolist()
    return tuple(tokens)


def seed_of(seed: int, row: Row) -> int:
    """The seed of a row in the run with `seed`: the same wherever it stands in the list."""
    digest = hashlib.blake2s(f"{seed} {row.id}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


def _effort(tally: Tally, first_sound: float | None = None) -> Effort:
    return Effort(
        seconds=tally.seconds,
        tokens=tally.tokens,
        blocks=tally.blocks,
        steps=tally.steps,
        first_sound=first_sound,
        ended=tally.ended,
        notes=tally.notes,
    )
