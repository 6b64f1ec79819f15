"""Temporary: replaced by the tokenizer helper."""
from __future__ import annotations
import json
from pathlib import Path


def write_tokenizer(path: Path) -> None:
    path.write_text(json.dumps({"model": {}}), "utf-8")
