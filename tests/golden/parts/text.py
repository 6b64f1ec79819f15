"""text.json: the released normaliser on a list of texts; text_ids.json: the released tokenizer.

text.json       {kind: [{"input": ..., "output": ...}, ...]}
text_ids.json   [{"text": ..., "ids": [...]}, ...], ids without start and stop
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from chatterbox.models.tokenizers.tokenizer import EnTokenizer
from chatterbox_flash.text_norm import en_us_cleaner

from tests.seeded_tokenizer import EVENTS, write_tokenizer

SEED = 20260
DIGITS = ("0", "1", "2", "7", "9", "10", "11", "12", "13", "19", "20", "21", "30", "42", "80", "99")
ROUND = ("100", "101", "110", "200", "1000", "1100", "1900", "2000", "2500", "3000", "10000")
BIG = ("123456", "1000000", "12345678", "999999999", "1000000000", "123456789012345678")
HUGE = ("1000000000000000000", "00012345678901234567890", "31415926535897932384626433832795")
GROUPED = ("1,000", "12,345", "100,000", "1,234,567", "1,000,000,000", "2,005", "1,984", "1,2,3")
DECIMALS = ("0.5", "3.14", "2.50", "10.05", "100.001", "0.007", "1.999", "99.90", ".5", "5.0.1")
WHOLE = (*DIGITS, *ROUND, *BIG, *HUGE, *GROUPED)
YEARS = ("1066", "1100", "1492", "1776", "1900", "1905", "1969", "1984", "1999", "2000", "2005")
LATER_YEARS = ("2010", "2024", "2100")
STOPS = ("", ".", ",", "!", "?", ";", ":", ")", '"', "...")

PLAIN = """
Hello world.
It was a bright cold day in April, and the clocks were striking.
"Where are you going?" she asked. "Home," he said.
The quick brown fox jumps over the lazy dog!
I can't, I won't, and I shouldn't; nobody's perfect.
Well-known facts are rarely questioned, are they?
No one saw it; everybody heard it: the silence was complete.
She whispered (barely): do not turn around...
MIXED case and ALL CAPS and lower case.
Café, naïve, façade, Zoë and Brontë.
What?! Really?!
Is this the end
And there they were, at last.
Louis XIV met Henry VIII in a dream.
[laughter] That was funny. [sigh] Oh well.
You & me @ home = fun + games.
""".strip().splitlines()

PROSE = """
In 1999, Dr. Smith paid $5.50 for 12 apples at 12:30 pm - call 555-123-4567.
On the 21st of March 2024, 1,500 people came by 9:30 a.m., and 3/4 left before 10 pm.
St. Louis is 1,000 km from here, i.e. 621 mi; e.g. take the No. 5 bus on 5th St.
The recipe: 2½ cups of milk, 250ml of cream, 1kg of flour, 10g of salt.
He ran 100m in 9.58s; she jumped 2.05m, 1.5m & 7ft.
From 1914-1918 and from 1939-1945, millions died; by 1950 it was over.
Our CEO, Mr. Jones Jr., said AI and TTS grew by 12.5% vs. 3% in 2019.
£3.20, €4.99, ¥500 and $0.99 - (all prices before 2020).
We're #1! Not #2, not #3.5. (Number 4 is fine.)
Call +1 (800) 555-0199, 020 7946 0958 or 555.867.5309 now!
The 80s, the '90s, the 1980s and the 2000s were years of change since 1970.
It is -5 degrees, -40 at night, and -0.5 on average: 3 > 2, 2 < 3.
Version 2.0.1 costs $1,234,567.89, or $1.2M, or $1.2 million.
I owe you $1, you owe me $2; he owes $3.01, they owe 1 cent.
Meet me at 07:05 he said, or 7:05pm. or 19:05? No: 7 p.m.
It weighs 5 kg. and 3 oz. and costs 5 dollars per yd.
Mrs. Brown, Lt. Col. Hon. Rev. Gen. Capt. Sgt. Maj. Gray et al.
She was born on Mon. 3 Jan. 1980, he on Tue. Feb. 29th, 1984.
10 ft by 20 ft is 200 sq ft, 3 min 20 sec, 6 mo or 1 yr.
In 1900, in 1905, in 2005, in 2010 and in 10000 years.
1st 2nd 3rd 4th 5th 8th 9th 12th 20th 21st 22nd 23rd 100th 1000th 101st.
1/2 of 1/12 of 2/1 of 12 is 1.
Pages 5-10, 10 - 20, a-b, a - b, 5-a, a-5, well- known, well -known.
Range 2010-2019, years 1990-1995, 1990 - 1995, since 1990–1995, in 1990—1995.
10 20 30 and 2020 2021 and 100000 or 1234567 or 12345.
USD1,000, US$1,000, US$5, HTTP404, ISO9001, (EU1,000), A4, MP3.
5x, 4K, 3D, 60fps, H2O, B2B, 10amps, 10 amps, 5 ample, 3 pmx.
12:00, 00:00, 0:30, 24:00, 12:30:45, 1:100, 16:9, 99:99, 3.45 pm, 1230 am.
$5K, $5M, $5B, $5T, $5 million, £2 billion, €1.5 trillion, ($3 million), $2 million; $5k
""".strip().splitlines()

ODD = (
    *("", " ", "   ", "\n", "\t\n ", ".", "...", "-", "--", "- -", "$", "#", "%", "()", "£ $", "'"),
    *("\u00a0", "a\u00a0b", "a\u2003b", "a\r\nb", " leading", "trailing ", "two  spaces", "a\n\nb"),
    *(
        "½",
        "2½",
        "10²",
        "m²",
        "№ 5",
        "…",
        "ﬁne",
        "Ｆｕｌｌ １２",
        "①",
        "²",
        "™",
        "℃ 20",
        "x⁻¹",
        "１２：３０",
    ),
    *(
        "🙂",
        "I 🙂 5 it",
        "日本語 5",
        "٣ cats",
        "٣ pm",
        "мир 5",
        "é5",
        "5é",
        "ı-i",
        "a\u2011b",
        "a\u2212b",
    ),
    *(
        "a—b",
        "a – b",
        "a–b",
        "5–6",
        "5 — 6",
        "—a",
        "a—",
        "a--b",
        "a - - b",
        "-5",
        "- 5",
        "5 -",
        "5-",
    ),
    *(
        "‘5’",
        "“5th”",
        "(5)",
        "[5]",
        "{5}",
        "5/6",
        "5\\6",
        "5*6",
        "5+6",
        "5=5",
        "5^2",
        "5_000",
        "~5",
    ),
    *(
        "5'10\"",
        "5,000,",
        "1,",
        "1.",
        ".1",
        "1..",
        "1.2.3",
        "1,2",
        "12,34,56",
        "1.000.000",
        "0",
        "00",
    ),
    *(
        "007",
        "0.0",
        "0.00",
        "1.0",
        "$0",
        "$0.00",
        "$00.50",
        "$.50",
        "$1.",
        "$1.10",
        "$1.5",
        "$12.345",
    ),
    *(
        "£0",
        "£1",
        "£1.",
        "£1.05",
        "£2.5!",
        "(£3",
        "€1",
        "€1.1.1",
        "¥1",
        "¥12?",
        "¥1.5",
        "£1,000",
        "#",
    ),
    *("1%", "2%", "1.5%", "100%", "1000%", "1,000%", "50 %", "%5", "5%!", "5%;", "5%-6%", "05%"),
    *(
        "Mr",
        "mr.",
        "MR.",
        "Mr.Dr.",
        "Dr.Mr.",
        "e.g.",
        "i.e",
        "E.G.",
        "etc.",
        "etc",
        "AI.",
        "ai",
        "Jan",
    ),
    *("number 5", "number 5.5", "#5", "#5.5", "#5,", "#5;", "#0.50", "5#", "##5", "(#5)", "No.5"),
    *("1 1 1", "2 1/2 2", "1/12 2", "12/1 1", "9 9. 9, 9;", "1.15 15", "$1.10 10", "5 5th 5g 5"),
    *("1? 1 1?12.", "v3.14 number 3.14", "number 3.14 $3.14", "my number 3.14 is 3.14"),
    *("1234567890123", "12345678901234", "12345", "12 34 56 78 90 12 34", "to 1500M", "by 1500%"),
    *(
        "555-1234",
        "555-1234.",
        "555-1234. a",
        "(555) 123-4567, b",
        "+15551234567",
        "123456",
        "-123 456",
    ),
    *(
        "1999-2000",
        "1999-2000,",
        "3456-1234",
        "12-34-56",
        "1.2.3.4.5.6",
        "[555] 1234",
        "1-800-555-0199",
    ),
)

NAMES = (
    "five",
    "Anna",
    "the box",
    "Dr. No",
    "Mr. X",
    "St. Paul",
    "e.g. this",
    "AI",
    "a",
    "vs. him",
)
JOINTS = (
    " ",
    " ",
    " ",
    " ",
    ", ",
    "; ",
    ": ",
    " - ",
    "-",
    "—",
    " – ",
    ". ",
    "! ",
    "/",
    " and ",
    " to ",
)


def make(folder: Path) -> None:
    kinds = {"plain": PLAIN, "prose": PROSE, "odd": ODD, **compose()}
    lines = ",\n".join(f'"{kind}": [\n{pairs(texts)}\n]' for kind, texts in kinds.items())
    (folder / "text.json").write_text(f"{{\n{lines}\n}}\n", "utf-8")
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in encode())
    (folder / "text_ids.json").write_text(f"[\n{rows}\n]\n", "utf-8")


def pairs(texts: Iterable[str]) -> str:
    rows = (
        {"input": text, "output": en_us_cleaner(text)} for text in speakable(dict.fromkeys(texts))
    )
    return ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def compose() -> dict[str, list[str]]:
    rng = random.Random(SEED)
    constructs = {
        "numbers": [f"It is {n}{rng.choice(STOPS)}" for n in (*WHOLE, *DECIMALS) for _ in "ab"],
        "years": [
            f"{word} {year}{stop}"
            for year in (*YEARS, *LATER_YEARS)
            for word, stop in [(rng.choice(YEAR_WORDS), s) for s in ("", " it", "-1999", "s", "m")]
        ],
        "money": [f"{money(rng)}{rng.choice(STOPS)}" for _ in range(90)],
        "measures": [
            f"{rng.choice((*DIGITS, *DECIMALS))}{unit}{stop}"
            for unit in UNITS
            for stop in STOPS[:4]
        ],
        "ordinals": [f"the {ordinal(n)}{rng.choice(STOPS)}" for n in (*DIGITS, *ROUND, "1,000")],
        "times": [f"at {clock(rng)}{rng.choice((*STOPS, ' he', ' so'))}" for _ in range(80)],
        "phones": [f"call {phone(rng)}{rng.choice((*STOPS, ' now', '. Now'))}" for _ in range(50)],
        "signs": [f"{sign}{n}" for sign in "-+#%~(" for n in rng.sample(WHOLE, 4)],
    }
    every = [text for texts in constructs.values() for text in texts] + list(NAMES)
    constructs["mixed"] = [mixed(rng, every) for _ in range(200)]
    return constructs


def speakable(texts: Iterable[str]) -> Iterator[str]:
    """The texts that the released normaliser does not fail on."""
    for text in texts:
        try:
            en_us_cleaner(text)
        except (ValueError, IndexError):
            continue
        yield text


YEAR_WORDS = ("in", "since", "by", "from", "to", "until", "around", "In", "year", "within", "of")
UNITS = (
    "ml",
    "cl",
    "g",
    "kg",
    "mm",
    "cm",
    "km",
    "in",
    "ft",
    "l",
    "m",
    "yd",
    "yds",
    "s",
    "secs",
    "mi",
)


def money(rng: random.Random) -> str:
    amount = rng.choice((*DIGITS, *ROUND, *GROUPED, *DECIMALS, "1,234.56", "5.05", "20.10"))
    scale = rng.choice(("", "", "", "K", "M", "B", "k", "bn", " million", " billion", " thousand"))
    return f"{rng.choice(('', '', '(', 'US'))}{rng.choice('$$$£€¥')}{amount}{scale}"


def ordinal(number: str) -> str:
    ending = {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    return number + ("th" if number[-2:-1] == "1" else ending)


def clock(rng: random.Random) -> str:
    hour = rng.choice(("0", "00", "1", "3", "07", "9", "12", "13", "23", "24", "99"))
    minutes = rng.choice(("", ":00", ":05", ":15", ":59", ".30", ":5", " 45"))
    return hour + minutes + rng.choice(("", "am", " pm", " p.m.", " A.M.", "PM", " a.m", " amp"))


def phone(rng: random.Random) -> str:
    groups = ["".join(rng.choices("0123456789", k=rng.choice((2, 3, 3, 4)))) for _ in range(3)]
    joint = rng.choice(("-", " ", ".", "", " - "))
    return rng.choice(("", "+", "+1 ", "(0) ")) + joint.join(groups)


def mixed(rng: random.Random, every: list[str]) -> str:
    parts = rng.sample(every, rng.randint(2, 5))
    return "".join(part + rng.choice(JOINTS) for part in parts).rstrip(" ")


def encode() -> Iterator[dict[str, object]]:
    """Ids of cleaned and of raw texts, tags and unknown characters among them."""
    rng = random.Random(SEED + 1)
    tagged = [f"Well [{event}] then." for event in EVENTS]
    texts = [*map(en_us_cleaner, speakable([*PLAIN, *PROSE])), *tagged, *rng.sample(ODD, 20)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        write_tokenizer(path)
        tokenizer = EnTokenizer(str(path))
        for text in texts:
            yield {"text": text, "ids": tokenizer.encode(text)}
