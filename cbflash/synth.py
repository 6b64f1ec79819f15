"""Text to speech, the whole way on one page: text, tokens, blocks, sound.

tts = ChatterboxFlash.load("models/chatterbox-flash")
voice = tts.encode_voice("me.wav")
speech = tts.generate("Good morning.", voice=voice)
speech.save("morning.wav")
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cbflash.audio import Clip, read_clip
from cbflash.backends import AUTO, choose_backend
from cbflash.checkpoint import DEFAULT_REPO, Checkpoint, find_model
from cbflash.engine import (
    Backend,
    Bits,
    BlockResult,
    Dtype,
    Engine,
    EngineOptions,
    FloatArray,
    Prompt,
    StepResult,
    Utterance,
)
from cbflash.errors import UsageError
from cbflash.hub import Progress, download_model, downloaded_model
from cbflash.settings import Sampling
from cbflash.speech import Speech, join_speech
from cbflash.text import is_speakable, normalise, split
from cbflash.tokenizer import TextTokenizer
from cbflash.tokens import SAMPLE_RATE, budget
from cbflash.voice import Voice, load_voice, require_fit, require_model

OnResult = Callable[[StepResult | BlockResult], None]
VoiceLike = Voice | Clip | str | os.PathLike[str]

LONGEST_PIECE = 300  # characters; the model was trained on utterances of that order


@dataclass
class _Utterance:
    """One text while it is decoded."""

    text: str
    prompt: Prompt
    unknown: tuple[str, ...]
    tokens: list[int] = dataclasses.field(default_factory=list)
    first_block: float = 0.0
    blocks: int = 0
    steps: int = 0
    ended: bool = False

    def add(self, result: BlockResult, elapsed: float) -> None:
        if not self.blocks:
            self.first_block = elapsed
        self.tokens += result.tokens
        self.blocks += 1
        self.steps += result.steps
        self.ended = result.end == "stop"

    def spoken(self) -> Utterance:
        return Utterance(tuple(self.tokens), self.prompt.voice, self.prompt.seed)


class ChatterboxFlash:
    """A loaded model that speaks. All calls come from the thread that loaded it."""

    def __init__(self, engine: Engine, tokenizer: TextTokenizer) -> None:
        self.engine = engine
        self.tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: str | Backend = AUTO,
        dtype: Dtype | None = None,
        bits: Bits | None = None,
    ) -> ChatterboxFlash:
        """Load a model folder, or an installed model by its name; never touches the network.

        backend: "auto" takes the fastest engine that can run (or CBFLASH_BACKEND).
        dtype, bits: of the decoder; None leaves them to the engine and the model.
        Raises ModelError, EngineError or UsageError.
        """
        checkpoint = Checkpoint.open(find_model(None if model is None else os.fspath(model)))
        chosen = backend
        if isinstance(chosen, str):
            chosen = choose_backend(chosen, quantised=bool(bits) or checkpoint.quantised)
        tokenizer = TextTokenizer.open(checkpoint.files["tokenizer"], checkpoint.config.t3)
        engine = chosen.load(str(checkpoint.folder), EngineOptions(dtype=dtype, bits=bits))
        return cls(engine, tokenizer)

    @classmethod
    def from_pretrained(
        cls,
        repo: str = DEFAULT_REPO,
        *,
        revision: str | None = None,
        backend: str = AUTO,
        dtype: Dtype | None = None,
        bits: Bits | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> ChatterboxFlash:
        """Download a model from the hub, unless it is here already, and load it.

        Raises DownloadError besides what `load` raises.
        """
        choose_backend(backend)  # before gigabytes are fetched for nothing
        folder = downloaded_model(repo, revision) or download_model(
            repo, revision=revision, progress=progress
        )
        return cls.load(folder, backend=backend, dtype=dtype, bits=bits)

    def encode_voice(self, clip: Clip | str | os.PathLike[str], name: str | None = None) -> Voice:
        """Make a voice of a reference clip: 6 to 10 seconds of one speaker.

        Any format, rate and channel count. Raises AudioError with a remedy when the clip
        cannot serve.
        """
        read = clip if isinstance(clip, Clip) else read_clip(clip)
        voice = self.engine.encode_voice(read)
        return voice if name is None else dataclasses.replace(voice, name=name)

    def generate(
        self,
        text: str,
        *,
        voice: VoiceLike,
        sampling: Sampling | None = None,
        preset: str = "best",
        on_result: OnResult | None = None,
        **options: Any,
    ) -> Speech:
        """Speak one utterance.

        voice: a Voice, a voice file (.safetensors), a clip or its path.
        sampling: all options at once; else `preset` with single `options` changed
            (`temperature=0.3, seed=7`).
        on_result: called for every denoising step and every block; an exception from it
            ends the work.
        Raises UsageError for a text without a speakable character.
        """
        return self.generate_batch(
            [text], voices=[voice], sampling=sampling, preset=preset, on_result=on_result, **options
        )[0]

    def generate_batch(
        self,
        texts: Sequence[str],
        *,
        voices: Sequence[VoiceLike],
        sampling: Sampling | None = None,
        preset: str = "best",
        on_result: OnResult | None = None,
        **options: Any,
    ) -> list[Speech]:
        """Speak several texts together, each with its voice (or all with the only one).

        With a seed, text i has seed + i, and gives the same tokens in any batch.

        Raises UsageError for no text at all, a text without a speakable character, or a
        number of voices that fits neither.
        """
        begun = time.perf_counter()
        chosen = _sampling(sampling, preset, options)
        utterances = self._utterances(texts, self._voices(voices, len(texts)), chosen)
        self._decode(utterances, chosen, on_result, begun)
        sounds = self.engine.render([one.spoken() for one in utterances], chosen)
        seconds = time.perf_counter() - begun
        return [_speech(one, sound, seconds) for one, sound in zip(utterances, sounds, strict=True)]

    def generate_long(
        self,
        text: str,
        *,
        voice: VoiceLike,
        sampling: Sampling | None = None,
        preset: str = "best",
        batch: int = 1,
        on_result: OnResult | None = None,
        on_piece: Callable[[int, int, Speech], None] | None = None,
        **options: Any,
    ) -> Speech:
        """Speak a text of any length, split at sentence, clause, then word boundaries.

        `[pause 0.8s]` in the text is honoured. batch: pieces decoded together. on_piece:
        called with (pieces done, pieces in all, the piece's speech with its pauses).

        Raises UsageError for a batch below one, a pause that cannot be read, or a text
        without a speakable character.
        """
        if batch < 1:
            raise UsageError(f"A batch cannot have {batch} pieces.", "Use 1 or more.")
        begun = time.perf_counter()
        chosen = _sampling(sampling, preset, options)
        pieces = _pieces(text)
        [spoken_voice] = self._voices([voice], 1)
        spoken: list[Speech] = []
        for first in range(0, len(pieces), batch):
            part = pieces[first : first + batch]
            speeches = self.generate_batch(
                [piece.text for piece in part],
                voices=[spoken_voice],
                sampling=chosen.replace(seed=_seed_of(chosen, first)),
                on_result=on_result,
            )
            for piece, speech in zip(part, speeches, strict=True):
                spoken.append(piece.paused(speech))
                if on_piece:
                    on_piece(len(spoken), len(pieces), spoken[-1])
        return join_speech(text, spoken, time.perf_counter() - begun)

    # -- the stages --------------------------------------------------------------------

    def _voices(self, given: Sequence[VoiceLike], count: int) -> list[Voice]:
        if len(given) not in (1, count):
            raise UsageError(
                f"There are {count} texts and {len(given)} voices.",
                "Give one voice for each text, or one for all.",
            )
        voices = []
        for voice in given:
            if isinstance(voice, Voice):
                made = voice
            elif isinstance(voice, Clip):
                made = self.encode_voice(voice)
            elif Path(voice).suffix == ".safetensors":
                made = load_voice(Path(voice))
            else:
                made = self.encode_voice(voice)
            require_model(made, self.engine.info.model_id, self.engine.info.model)
            require_fit(made, self.engine.config)
            voices.append(made)
        return voices if len(voices) == count else voices * count

    def _utterances(
        self, texts: Sequence[str], voices: Sequence[Voice], sampling: Sampling
    ) -> list[_Utterance]:
        utterances = []
        for index, (text, voice) in enumerate(zip(texts, voices, strict=True)):
            if not is_speakable(text):
                raise _unspeakable(text)
            encoded = self.tokenizer.encode(normalise(text))
            prompt = Prompt(
                text_tokens=encoded.ids,
                voice=voice,
                max_tokens=budget(len(encoded.ids), sampling.max_speech_tokens),
                seed=_seed_of(sampling, index),
            )
            utterances.append(_Utterance(text, prompt, encoded.unknown))
        return utterances

    def _decode(
        self,
        utterances: Sequence[_Utterance],
        sampling: Sampling,
        on_result: OnResult | None,
        begun: float,
    ) -> None:
        prompts = [utterance.prompt for utterance in utterances]
        with closing(self.engine.decode(prompts, sampling)) as results:
            for result in results:
                if isinstance(result, BlockResult):
                    utterances[result.row].add(result, time.perf_counter() - begun)
                if on_result:
                    on_result(result)


def _sampling(sampling: Sampling | None, preset: str, options: dict[str, Any]) -> Sampling:
    chosen = Sampling.preset(preset, **options) if sampling is None else sampling.replace(**options)
    if chosen.seed is None:
        chosen = chosen.replace(seed=secrets.randbits(32))
    return chosen


def _seed_of(sampling: Sampling, index: int) -> int:
    assert sampling.seed is not None, "a seed was picked"
    return (sampling.seed + index) % 2**32


def _speech(utterance: _Utterance, samples: FloatArray, seconds: float) -> Speech:
    return Speech(
        samples=samples,
        text=utterance.text,
        tokens=tuple(utterance.tokens),
        unknown=utterance.unknown,
        seed=utterance.prompt.seed,
        seconds=seconds,
        first_block=utterance.first_block,
        blocks=utterance.blocks,
        steps=utterance.steps,
        ended=utterance.ended,
    )


@dataclass(frozen=True)
class _Piece:
    """A piece of a long text, with the seconds of silence around it."""

    text: str
    before: float
    after: float

    def paused(self, speech: Speech) -> Speech:
        silences = [
            np.zeros(round(seconds * SAMPLE_RATE), np.float32)
            for seconds in (self.before, self.after)
        ]
        return dataclasses.replace(
            speech, samples=np.concatenate([silences[0], speech.samples, silences[1]])
        )


def _pieces(text: str) -> list[_Piece]:
    """What of a long text can be spoken; pauses of what cannot go to its neighbour."""
    pieces: list[_Piece] = []
    before = 0.0
    for piece in split(text, budget=LONGEST_PIECE):
        if is_speakable(piece.text):
            pieces.append(_Piece(piece.text, before, piece.pause))
            before = 0.0
        elif pieces:
            last = pieces[-1]
            pieces[-1] = dataclasses.replace(last, after=last.after + piece.pause)
        else:
            before += piece.pause
    if not pieces:
        raise _unspeakable(text)
    return pieces


def _unspeakable(text: str) -> UsageError:
    shown = text.strip()[:40]
    what = f"Nothing in {shown!r} can be spoken." if shown else "The text is empty."
    return UsageError(what, "Give at least one letter or digit.")
