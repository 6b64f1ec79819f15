"""A voice: what the engines keep of a reference clip, and its file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cbflash.config import ModelConfig
from cbflash.errors import ModelError, VoiceError
from cbflash.tensorfile import TensorFile, TensorSpec, write_tensors
from cbflash.tokens import FRAMES_PER_TOKEN

FORMAT = "cbflash-voice"
VERSION = 1

# Every array of a voice: its dtype in the file and its rank.
_ARRAYS: dict[str, tuple[str, np.dtype[Any], int]] = {
    "speaker_embedding": ("F32", np.dtype(np.float32), 1),
    "prompt_tokens": ("I32", np.dtype(np.int32), 1),
    "s3_tokens": ("I32", np.dtype(np.int32), 1),
    "s3_mel": ("F32", np.dtype(np.float32), 2),
    "x_vector": ("F32", np.dtype(np.float32), 1),
}
_FACTS = ("name", "created", "model_id", "source_hash", "engine", "seconds")


@dataclass(frozen=True, eq=False)
class Voice:
    """One cloned voice, usable by every engine that runs the same model.

    name: what the user calls it.
    created: when, ISO 8601 in UTC.
    model_id: fingerprint of the model whose encoders made it (see `checkpoint.py`).
    source_hash: sha256 of the clip's file, in hex.
    engine: what made it, for a bug report ("mlx on Apple M3").
    seconds: length of the clip that was used.
    speaker_embedding: float32 [256], the GE2E voice encoder's, for the decoder.
    prompt_tokens: int32 [n], n <= 150, speech tokens the decoder is conditioned on.
    s3_tokens: int32 [m], speech tokens the flow is prompted with.
    s3_mel: float32 [frames, 80], the mel of those tokens, two frames each.
    x_vector: float32 [192], CAMPPlus, for the flow.

    Raises VoiceError for an array of the wrong dtype or rank, or that holds NaN or infinity.
    """

    name: str
    created: str
    model_id: str
    source_hash: str
    engine: str
    seconds: float
    speaker_embedding: npt.NDArray[np.float32]
    prompt_tokens: npt.NDArray[np.int32]
    s3_tokens: npt.NDArray[np.int32]
    s3_mel: npt.NDArray[np.float32]
    x_vector: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if not math.isfinite(self.seconds) or self.seconds < 0:
            raise self.unusable(f"seconds is {self.seconds!r}")
        for name, array in self.arrays().items():
            _, dtype, rank = _ARRAYS[name]
            if array.dtype != dtype or array.ndim != rank:
                raise self.unusable(
                    f"{name} is {array.dtype} {array.shape}, not {dtype} rank {rank}"
                )
            if array.size == 0:
                raise self.unusable(f"{name} is empty")
            if dtype.kind == "f" and not np.isfinite(array).all():
                raise self.unusable(f"{name} holds values that are not finite")
            if dtype.kind == "i" and array.min() < 0:
                raise self.unusable(f"{name} holds negative tokens")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Voice):
            return NotImplemented
        mine, theirs = self.arrays(), other.arrays()
        return self._facts() == other._facts() and all(
            np.array_equal(mine[name], theirs[name]) for name in mine
        )

    def __hash__(self) -> int:
        return hash(self._facts())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by their field names, in the order of the file."""
        return {
            "speaker_embedding": self.speaker_embedding,
            "prompt_tokens": self.prompt_tokens,
            "s3_tokens": self.s3_tokens,
            "s3_mel": self.s3_mel,
            "x_vector": self.x_vector,
        }

    def _facts(self) -> tuple[str | float, ...]:
        return (
            self.name,
            self.created,
            self.model_id,
            self.source_hash,
            self.engine,
            self.seconds,
        )

    def unusable(self, what: str) -> VoiceError:
        return VoiceError(f"Voice {self.name!r} is unusable: {what}.", "Make it again.")


def require_model(voice: Voice, model_id: str, model_name: str) -> None:
    """Raises VoiceError unless `voice` was made for the model of this fingerprint."""
    if voice.model_id != model_id:
        raise VoiceError(
            f"Voice {voice.name!r} was made for model {voice.model_id}; "
            f"this is {model_name} ({model_id}).",
            f'Make it again from the clip with: cbflash voice add "{voice.name}" CLIP',
        )


def require_fit(voice: Voice, config: ModelConfig) -> None:
    """Raises VoiceError unless the arrays of `voice` have the sizes of a model.

    A voice of the right fingerprint has; a file made by hand may not.
    """
    widths = {
        "speaker_embedding": config.t3.speaker_dim,
        "s3_mel": config.flow.mels,
        "x_vector": config.flow.xvector,
    }
    arrays = voice.arrays()
    for name, width in widths.items():
        if arrays[name].shape[-1] != width:
            raise voice.unusable(f"{name} has {arrays[name].shape[-1]} values, not {width}")
    for name in ("prompt_tokens", "s3_tokens"):
        tokens = arrays[name]
        if not ((tokens >= 0) & (tokens < config.flow.codebook)).all():
            raise voice.unusable(f"{name} holds what is no speech token")
    if len(voice.s3_mel) // FRAMES_PER_TOKEN != len(voice.s3_tokens):
        raise voice.unusable("its mel and its tokens differ in length")


def save_voice(voice: Voice, path: Path) -> None:
    """Write a voice as one safetensors file. Raises OutputError where the disk refuses."""
    arrays = voice.arrays()
    specs = [TensorSpec(name, _ARRAYS[name][0], array.shape) for name, array in arrays.items()]
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "name": voice.name,
        "created": voice.created,
        "model_id": voice.model_id,
        "source_hash": voice.source_hash,
        "engine": voice.engine,
        "seconds": repr(float(voice.seconds)),
    }
    write_tensors(path, specs, arrays.values(), metadata)


def load_voice(path: Path) -> Voice:
    """Read a voice's file.

    Raises VoiceError for a file that is missing, damaged, not a voice, or of a newer version.
    """
    try:
        file = TensorFile.open(path)
    except ModelError as error:
        raise VoiceError(str(error)) from None
    _check_version(path, file.metadata)
    missing = [name for name in _FACTS if name not in file.metadata]
    missing += [name for name in _ARRAYS if name not in file]
    if missing:
        raise VoiceError(f"{path} lacks {', '.join(missing)}.", "Make the voice again.")
    # Copies: the file must stay free to be renamed and replaced while the voice is in use.
    arrays = {name: np.array(file.raw(name)) for name in _ARRAYS}
    for name, (stored, _, _) in _ARRAYS.items():
        if file[name].dtype != stored:
            raise VoiceError(
                f"{path}: {name} is {file[name].dtype}, not {stored}.", "Make the voice again."
            )
    return Voice(
        name=file.metadata["name"],
        created=file.metadata["created"],
        model_id=file.metadata["model_id"],
        source_hash=file.metadata["source_hash"],
        engine=file.metadata["engine"],
        seconds=_number(file.metadata["seconds"]),
        speaker_embedding=arrays["speaker_embedding"],
        prompt_tokens=arrays["prompt_tokens"],
        s3_tokens=arrays["s3_tokens"],
        s3_mel=arrays["s3_mel"],
        x_vector=arrays["x_vector"],
    )


def _number(text: str) -> float:
    """NaN for what is no number: Voice refuses it by name."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_version(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise VoiceError(f"{path} is not a cbflash voice.", "Make one with: cbflash voice add")
    version = metadata.get("version", "")
    if not version.isascii() or not version.isdigit():
        raise VoiceError(f"{path} has the format version {version!r}.", "Make the voice again.")
    if int(version[:9]) > VERSION:
        raise VoiceError(
            f"{path} has format version {version}; this cbflash reads up to {VERSION}.",
            "Update cbflash.",
        )
