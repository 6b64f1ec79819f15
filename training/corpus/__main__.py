"""The command: python -m training.corpus FOLDER --hours 20 --workers 2"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.command import Command, at_least
from training.corpus.corpus import Corpus
from training.corpus.make import Recipe, make_corpus
from training.corpus.plan import PARTS
from training.corpus.progress import ProgressLines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    command = Command(
        "corpus",
        "Make a corpus of synthetic speech. Stopped, it goes on with the same command.",
    )
    add = command.parser.add_argument
    add("folder", type=Path, metavar="FOLDER")
    add("--hours", type=_positive, default=Recipe.hours, help="of speech, about")
    add("--seed", type=at_least(0), default=Recipe.seed)
    add("--workers", type=at_least(1), default=1, help="processes")
    add(
        "--packages",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="where Debian packages of texts were unpacked instead of installed",
    )

    def act(given: argparse.Namespace) -> None:
        recipe = Recipe(given.hours, given.seed, roots=(Path("/"), *given.packages))
        make_corpus(given.folder, recipe, ProgressLines(), given.workers)
        _print_summary(Corpus(given.folder))

    return command.run(arguments, act)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text} is not a number of hours")
    return value


def _print_summary(corpus: Corpus) -> None:
    print(f"{len(corpus):,} utterances, {corpus.seconds / 3600:.2f} h in {corpus.folder}")
    for part in PARTS:
        print(f"  {part}: {len(corpus.part(part)):,} of {len(corpus.speakers(part))} speakers")


if __name__ == "__main__":
    sys.exit(main())
