"""What the released normaliser gets wrong, put right: one named fix for each kind of mistake."""

from __future__ import annotations

from cbflash.text.fixes.characters import CHARACTER_FIXES
from cbflash.text.fixes.clock import CLOCK_FIXES
from cbflash.text.fixes.fix import Fix
from cbflash.text.fixes.numbers import COMMA_FIXES, QUANTITY_FIXES, YEAR_FIXES
from cbflash.text.fixes.phones import PHONE_FIXES
from cbflash.text.fixes.words import WORD_FIXES

FIXES: tuple[Fix, ...] = (
    *CHARACTER_FIXES,
    *WORD_FIXES,
    *CLOCK_FIXES,
    *PHONE_FIXES,
    *COMMA_FIXES,
    *YEAR_FIXES,
    *QUANTITY_FIXES,
)

__all__ = ["FIXES", "Fix"]
