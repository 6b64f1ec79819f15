"""Written English to speakable English, in stages.

`released=True` is the release's `en_us_cleaner`, byte for byte. The default form is the same
stages with a fix (cbflash/text/fixes) in front of each stage that would go wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from cbflash.text.abbreviations import expand_abbreviations
from cbflash.text.fixes import FIXES, Fix
from cbflash.text.phones import say_phones
from cbflash.text.quantities import say_quantities
from cbflash.text.times import say_times
from cbflash.text.years import drop_commas, say_years


def unify_characters(text: str) -> str:
    """Unicode compatibility forms to plain ones, every stretch of white space to one space."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text))


STAGES: dict[str, Callable[[str], str]] = {
    "characters": unify_characters,
    "abbreviations": expand_abbreviations,
    "times": say_times,
    "phones": say_phones,
    "commas": drop_commas,
    "years": say_years,
    "quantities": say_quantities,
}


def normalise(text: str, *, released: bool = False) -> str:
    """A text with its numbers, units, times and abbreviations in words. Never raises.

    Case and punctuation stay. In the default form no decimal digit is left. Emoji and other
    characters that cannot be said stay too: the tokenizer reports them.

    released: the released package's output, mistakes included. Where that package raises
        ("£.5", "is -123456") this does not.
    """
    return run_stages(text, () if released else FIXES)


def run_stages(text: str, fixes: Iterable[Fix]) -> str:
    """The released stages, each behind its share of `fixes`."""
    fixes = tuple(fixes)
    for name, stage in STAGES.items():
        ahead = [fix for fix in fixes if fix.stage == name]
        for fix in ahead:
            text = fix.apply(text)
        if not any(fix.instead for fix in ahead):
            text = stage(text)
    return text


def is_speakable(text: str) -> bool:
    """Whether a text has anything to say: a letter or a digit. Emoji and marks are not."""
    return any(map(str.isalnum, text))
