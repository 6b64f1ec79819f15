"""The text ids of a small model: one for each letter and mark, no pairs.

A capital letter is read as the small one: they are trained as one, and `give_capitals` copies what
was learnt, for a tokenizer has an id of its own for each.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cbflash.config import T3Config
from cbflash.text import normalise
from cbflash.tokenizer import SPACE, START, STOP, UNKNOWN

MARKS = ".,;:!?'\"-()"
BLANK = 0  # of CTC; the stop of a text, which no letter is
SMALL = string.ascii_lowercase
LETTERS = SMALL + string.ascii_uppercase


def tokenizer_json(config: T3Config) -> dict[str, Any]:
    """The whole file. The special ids are the model's, the others follow in order."""
    vocab = {STOP: config.stop_text, START: config.start_text}
    free = (index for index in range(config.text_vocab) if index not in vocab.values())
    for token in (UNKNOWN, SPACE, *LETTERS, *MARKS):
        vocab[token] = next(free)
    specials = [
        {
            "id": vocab[name],
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for name in (STOP, UNKNOWN, SPACE, START)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "unk_token": UNKNOWN, "vocab": vocab, "merges": []},
    }


def write_tokenizer(path: Path, config: T3Config) -> None:
    path.write_text(json.dumps(tokenizer_json(config), indent=1), "utf-8")


class LetterIds:
    """Texts as ids of small letters, without start and stop."""

    def __init__(self, config: T3Config) -> None:
        self._vocab = tokenizer_json(config)["model"]["vocab"]

    def __call__(self, text: str) -> Tensor:
        """Ids [n] of a text as the product would clean it; what has no id is left out."""
        letters = (SPACE if one == " " else one for one in normalise(text).lower())
        ids = [self._vocab[one] for one in letters if one in self._vocab]
        return torch.tensor(ids, dtype=torch.int64)


@torch.no_grad()
def give_capitals(embedding: Tensor, config: T3Config) -> None:
    """Set the rows of capital letters, [text_vocab, W], to those of the small ones."""
    vocab = tokenizer_json(config)["model"]["vocab"]
    for letter in SMALL:
        embedding[vocab[letter.upper()]] = embedding[vocab[letter]]
