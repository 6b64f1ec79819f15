"""Texts and clips as the teacher's decoder takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from cbflash.audio import read_clip
from cbflash.conditioning import make_voice
from cbflash.errors import UsageError
from cbflash.sentences import sentences_of
from cbflash.text import is_speakable, normalise
from cbflash.tokenizer import TextTokenizer
from cbflash.voice import Voice
from cuda_backend.engine import ClipEncoders
from training.distill.teacher import Teacher

Ids = tuple[int, ...]


def read_texts(path: Path, tokenizer: TextTokenizer) -> tuple[Ids, ...]:
    """The ids of every sentence in a file of texts, one a line, as the program would speak them:
    cleaned, and longer lines cut. Raises UsageError for a file that has none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}.", "Give a file of UTF-8 text, one text a line."
        ) from None
    found = tuple(dict.fromkeys(_encoded(lines, tokenizer)))
    if not found:
        raise UsageError(f"{path} holds no text.", "Write one text a line.")
    return found


def _encoded(lines: Sequence[str], tokenizer: TextTokenizer) -> Iterator[Ids]:
    for line in lines:
        if is_speakable(line):
            for sentence in sentences_of(line, tokenizer.longest_text):
                yield tokenizer.encode(normalise(sentence.text)).ids


@torch.inference_mode()
def read_voices(clips: Sequence[Path], teacher: Teacher, device: torch.device) -> tuple[Voice, ...]:
    """The voices of some clips, by the model's own encoders. Raises AudioError, ModelError."""
    read = [read_clip(clip) for clip in clips]
    model = teacher.read_encoders(device)
    encoders = ClipEncoders(model)
    return tuple(
        make_voice(
            clip,
            encoders,
            model_id=teacher.model_id,
            engine="training",
            prompt_tokens_limit=teacher.config.t3.prompt_tokens,
        )
        for clip in read
    )
