"""Text tokens: a byte-pair encoding of letters with event tags such as [laughter].

A character is case-sensitive and nothing is lower-cased: the released tokenizer has both
cases. What it has no token for would become [UNK]; here it is left out and reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tokenizers

from cbflash.config import T3Config
from cbflash.errors import ModelError

SPACE = "[SPACE]"
UNKNOWN = "[UNK]"
START = "[START]"
STOP = "[STOP]"

_AGAIN = "Fetch the model again."


@dataclass(frozen=True)
class Encoded:
    """ids: with start and stop token. unknown: characters left out, each once, in order."""

    ids: tuple[int, ...]
    unknown: tuple[str, ...]


class TextTokenizer:
    """A tokenizer.json, opened and checked."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._start = tokenizer.token_to_id(START)
        self._stop = tokenizer.token_to_id(STOP)
        self._unknown = tokenizer.token_to_id(UNKNOWN)

    @classmethod
    def open(cls, path: Path, config: T3Config | None = None) -> TextTokenizer:
        """Read a tokenizer.json; `config` (by default the release's) says what it must hold.

        Raises ModelError for a file that is missing or damaged, lacks a special token, gives
        it another id than the model has, or has more entries than the model has rows.
        """
        sizes = config or T3Config()
        try:
            tokenizer = tokenizers.Tokenizer.from_str(path.read_text("utf-8"))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.", _AGAIN) from None
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"{path} is not a tokenizer: {error}.", _AGAIN) from None
        for token in (SPACE, UNKNOWN, START, STOP):
            if tokenizer.token_to_id(token) is None:
                raise ModelError(f"{path} lacks the token {token}.", _AGAIN)
        expected = {START: sizes.start_text, STOP: sizes.stop_text}
        for token, number in expected.items():
            if tokenizer.token_to_id(token) != number:
                raise ModelError(
                    f"{path}: {token} is {tokenizer.token_to_id(token)}, and {number} in the model.",
                    "Does the tokenizer belong to this model?",
                )
        if max(tokenizer.get_vocab().values()) >= sizes.text_vocab:
            raise ModelError(
                f"{path} has ids up to {max(tokenizer.get_vocab().values())}, and the model"
                f" {sizes.text_vocab} rows for them.",
                "Does the tokenizer belong to this model?",
            )
        return cls(tokenizer)

    def encode(self, text: str, *, released: bool = False) -> Encoded:
        """Ids of a normalised text. `released` keeps [UNK] where the released code has it."""
        encoding = self._tokenizer.encode(text.replace(" ", SPACE))
        unknown = self._unknown_characters(text.replace(" ", SPACE), encoding)
        if unknown and not released:
            spoken = text.translate(dict.fromkeys(map(ord, unknown)))
            encoding = self._tokenizer.encode(" ".join(spoken.split()).replace(" ", SPACE))
        return Encoded((self._start, *encoding.ids, self._stop), unknown)

    def _unknown_characters(self, source: str, encoding: tokenizers.Encoding) -> tuple[str, ...]:
        spans = (
            span
            for span, token in zip(encoding.offsets, encoding.ids, strict=True)
            if token == self._unknown
        )
        return tuple(dict.fromkeys("".join(source[start:stop] for start, stop in spans)))
