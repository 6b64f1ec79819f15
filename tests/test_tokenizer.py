"""Text to ids, on a tokenizer of our own; ids of the release are in golden/text_ids.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbflash.config import T3Config
from cbflash.errors import ModelError
from cbflash.tokenizer import Encoded, TextTokenizer
from tests.seeded_tokenizer import EVENTS, SIZE, tokenizer_json, write_tokenizer

ROWS = json.loads((Path(__file__).parent / "golden" / "text_ids.json").read_text("utf-8"))
CONFIG = T3Config()
VOCAB: dict[str, int] = tokenizer_json()["model"]["vocab"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = tmp_path_factory.mktemp("model") / "tokenizer.json"
    write_tokenizer(path)
    return TextTokenizer.open(path)


def test_seeded_vocabulary_is_whole() -> None:
    assert sorted(VOCAB.values()) == list(range(SIZE))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:20])
def test_ids_are_those_of_the_release(tokenizer: TextTokenizer, row: dict[str, Any]) -> None:
    ids = tokenizer.encode(row["text"], released=True).ids
    assert ids == (CONFIG.start_text, *row["ids"], CONFIG.stop_text)


def test_golden_rows_have_unknown_characters_and_merges() -> None:
    ids = {token for row in ROWS for token in row["ids"]}
    assert {VOCAB["[UNK]"], VOCAB["[SPACE]"], VOCAB["the"], VOCAB["there"]} <= ids


@pytest.mark.parametrize("event", EVENTS)
def test_event_tags_are_one_token(tokenizer: TextTokenizer, event: str) -> None:
    assert tokenizer.encode(f"[{event}]") == Encoded((255, VOCAB[f"[{event}]"], 0))


def test_case_is_kept(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode("TH th").ids == (255, VOCAB["T"], VOCAB["H"], 2, VOCAB["th"], 0)


def test_unknown_characters_are_reported_once_in_order(tokenizer: TextTokenizer) -> None:
    encoded = tokenizer.encode("a🙂b漢🙂 c\ud800")
    assert encoded.unknown == ("🙂", "漢", "\ufffd")
    assert encoded.ids == (255, VOCAB["a"], VOCAB["b"], 2, VOCAB["c"], 0)
    assert tokenizer.encode("a🙂b", released=True).ids == (255, VOCAB["a"], 1, VOCAB["b"], 0)


@pytest.mark.parametrize("control", ["[STOP]", "[START]", "[UNK]"])
def test_control_tokens_in_a_text_are_not_obeyed(tokenizer: TextTokenizer, control: str) -> None:
    encoded = tokenizer.encode(f"a{control}b")
    assert encoded == Encoded((255, VOCAB["a"], VOCAB["b"], 0), (control,))
    assert VOCAB[control] in tokenizer.encode(f"a{control}b", released=True).ids[1:-1]


@given(text=st.text())
def test_any_text_is_encoded(tokenizer: TextTokenizer, text: str) -> None:
    encoded = tokenizer.encode(text)
    assert encoded.ids[0] == CONFIG.start_text
    assert encoded.ids[-1] == CONFIG.stop_text
    assert not {0, 1, 255} & set(encoded.ids[1:-1])
    assert len(set(encoded.unknown)) == len(encoded.unknown)


def test_special_ids_come_from_the_config(tmp_path: Path) -> None:
    data = tokenizer_json()
    vocab = data["model"]["vocab"]
    vocab["[START]"], vocab["[STOP]"] = 0, 255
    path = save(tmp_path, data)
    config = T3Config(start_text=0, stop_text=255)
    assert TextTokenizer.open(path, config).encode("a").ids == (0, vocab["a"], 255)
    with pytest.raises(ModelError, match=r"\[START\] is 0, the model expects 255"):
        TextTokenizer.open(path)


def save(folder: Path, data: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(data), "utf-8")
    return path


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing"):
        TextTokenizer.open(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("content", [b"", b'{"model": {', b"\xff\xfe", b"[" * 100_000])
def test_file_that_is_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not readable JSON"):
        TextTokenizer.open(path)


@pytest.mark.parametrize("data", [[], {}, {"model": {}}, {"model": {"type": "BPE"}}, 5])
def test_json_that_is_no_tokenizer(tmp_path: Path, data: Any) -> None:
    with pytest.raises(ModelError, match="damaged"):
        TextTokenizer.open(save(tmp_path, data))


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "merge of unknown parts": lambda data: data["model"]["merges"].append("ж ж"),
    "merge of one part": lambda data: data["model"]["merges"].append("a"),
    "merge of three parts": lambda data: data["model"]["merges"].append("a b c"),
    "merge that is a number": lambda data: data["model"]["merges"].append(7),
    "id that is a word": lambda data: data["model"]["vocab"].update(a="b"),
    "id below zero": lambda data: data["model"]["vocab"].update(a=-1),
    "one id for two": lambda data: data["model"]["vocab"].update(a=VOCAB["b"]),
    "added token without id": lambda data: data["added_tokens"].append({"content": "[new]"}),
    "another pre-tokenizer": lambda data: data.update(pre_tokenizer={"type": "ByteLevel"}),
    "a normalizer": lambda data: data.update(normalizer={"type": "Lowercase"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_tokenizer(tmp_path: Path, damage: Callable[[dict[str, Any]], Any]) -> None:
    data = tokenizer_json()
    damage(data)
    with pytest.raises(ModelError, match="damaged"):
        TextTokenizer.open(save(tmp_path, data))


@pytest.mark.parametrize("name", ["[START]", "[STOP]", "[UNK]", "[SPACE]"])
def test_special_token_that_is_missing(tmp_path: Path, name: str) -> None:
    data = tokenizer_json()
    del data["model"]["vocab"][name]
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] != name]
    with pytest.raises(ModelError) as caught:
        TextTokenizer.open(save(tmp_path, data))
    assert f"has no {name} token" in str(caught.value)


def test_vocabulary_that_is_too_large_for_the_model(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_tokenizer(path)
    with pytest.raises(ModelError, match="more than the model's 703 ids"):
        TextTokenizer.open(path, T3Config(text_vocab=703))
