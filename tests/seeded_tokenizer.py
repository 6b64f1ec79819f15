"""A tokenizer.json of the released structure, composed here: 704 entries, the same specials."""

from __future__ import annotations

import json
import string
from pathlib import Path

ENTRIES = 704
START_ID = 255
SPECIALS = ("[STOP]", "[UNK]", "[SPACE]")
CHARACTERS = string.ascii_letters + "!'(),-.:;?\"/&" + "éèêàâçñöüßäïëôîûœæ—…"
BIGRAMS = (
    "th he in er an re nd on en at ou ed ha to or it is hi es ng st ar te se me sa ve as no ea ti"
    " al nt de of le li ro ri io ic ra co ne il ll ch be ma si om ur ee us la so ta el we ho wh ge"
).split()
TRIGRAMS = "the and ing her ere ent tha ion you ter hat ers his all".split()
EVENTS = "laughter sigh gasp cough whisper chuckle clears_throat sniff groan UH UM".split()


def write_tokenizer(path: Path) -> None:
    """Write the file; the same bytes every time."""
    tokens, merges = [*SPECIALS, *CHARACTERS], []
    for pair in BIGRAMS:
        tokens.append(pair)
        merges.append([pair[0], pair[1]])
    for triple in TRIGRAMS:
        tokens.append(triple)
        merges.append([triple[:2], triple[2]] if triple[:2] in tokens else [triple[0], triple[1:]])
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    assert len(vocab) < START_ID
    added = dict(zip(SPECIALS, range(len(SPECIALS)), strict=True))
    added["[START]"] = START_ID
    for event in EVENTS:
        added[f"[{event}]"] = START_ID + len(added)
    filler = (number for number in range(ENTRIES) if number not in {*vocab.values(), *added.values()})
    for index, number in enumerate(filler):
        added[f"[PLACEHOLDER{index}]"] = number
    path.write_text(json.dumps(_document(vocab, merges, added), ensure_ascii=False), "utf-8")


def _document(vocab: dict[str, int], merges: list[list[str]], added: dict[str, int]) -> dict:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, number in sorted(added.items(), key=lambda item: item[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "[UNK]",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": vocab,
            "merges": merges,
        },
    }
