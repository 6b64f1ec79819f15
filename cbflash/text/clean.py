"""Written English to speakable English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from cbflash.text.abbreviations import expand_abbreviations
from cbflash.text.phones import say_phones
from cbflash.text.quantities import say_quantities
from cbflash.text.times import say_times
from cbflash.text.years import drop_commas, say_years


def unify_characters(text: str) -> str:
    """Unicode compatibility forms to plain ones, every stretch of white space to one space."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text))


STAGES = {
    "characters": unify_characters,
    "abbreviations": expand_abbreviations,
    "times": say_times,
    "phones": say_phones,
    "commas": drop_commas,
    "years": say_years,
    "quantities": say_quantities,
}

def normalise(text: str, *, released: bool = False) -> str:
    for stage in STAGES.values():
        text = stage(text)
    return text
