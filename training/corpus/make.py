"""Making a corpus: shard after shard, in several processes, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cbflash.errors import OutputError, UsageError
from cbflash.files import make_folder
from cbflash.lock import locked
from training.corpus.cast import make_cast
from training.corpus.description import Description, claim_folder, describe_speakers
from training.corpus.engines import ENGINES, Engine
from training.corpus.plan import Item, make_plan, shards_of
from training.corpus.shards import index_path, read_rows
from training.corpus.speak import make_shard
from training.corpus.texts import SOURCES, Source, read_pool
from training.workers import worker_pool

_LOCK = ".lock"
_PARTS = ".cbflash-*.tmp"  # how cbflash.files names what is not complete


@dataclass(frozen=True)
class Recipe:
    """What to make. roots: folders that hold the files of Debian packages, as / does."""

    hours: float = 10.0
    seed: int = 0
    engines: tuple[Engine, ...] = ENGINES
    sources: tuple[Source, ...] = SOURCES
    roots: tuple[Path, ...] = (Path("/"),)


@dataclass(frozen=True)
class Begun:
    """missing: engines and texts that are left out, with the reason."""

    utterances: int
    shards: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class ShardDone:
    """shards: how many there are now, with those of earlier runs; seconds: of sound in this one."""

    shards: int
    utterances: int
    seconds: float


Report = Callable[[Begun | ShardDone], None]


def make_corpus(folder: Path, recipe: Recipe, report: Report, workers: int = 1) -> None:
    """Make what is not there yet. Stopped at any moment, it goes on where it was.

    Raises UsageError for a folder with another corpus and where nobody can speak; OutputError
    where the disk refuses or another process is at work in the folder.
    """
    make_folder(folder)
    with _alone(folder):
        engines, missing = _engines(recipe)
        shards, texts_missing = _prepare(folder, recipe, engines)
        missing += texts_missing
        report(Begun(sum(map(len, shards)), len(shards), missing))
        for done, (shard, made) in enumerate(_make_shards(folder, shards, engines, workers), 1):
            rows = read_rows(folder, shard) if made else []
            report(ShardDone(done, len(rows), sum(row.seconds for row in rows)))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with locked(folder / _LOCK) as free:
        if not free:
            raise OutputError(f"{folder} is being made by another process.", "Wait for it.")
        for part in folder.glob(_PARTS):  # of a run that was killed
            part.unlink(missing_ok=True)
        yield


def _engines(recipe: Recipe) -> tuple[list[Engine], tuple[str, ...]]:
    """Who can speak here, and why the others cannot."""
    reasons = [engine.missing() for engine in recipe.engines]
    able = [engine for engine, why in zip(recipe.engines, reasons, strict=True) if why is None]
    missing = tuple(why for why in reasons if why is not None)
    if not able:
        raise UsageError(f"Nobody can speak: {'; '.join(missing)}.", "Install a synthesiser.")
    return able, missing


def _prepare(
    folder: Path, recipe: Recipe, engines: Sequence[Engine]
) -> tuple[list[Sequence[Item]], tuple[str, ...]]:
    """Plan the shards and claim the folder; also which texts are missing."""
    pool = read_pool(recipe.sources, recipe.roots)
    cast = make_cast(engines)
    items = make_plan(pool, cast, recipe.hours * 3600, recipe.seed)
    shards = list(shards_of(items))
    claim_folder(
        folder,
        Description(
            hours=recipe.hours,
            seed=recipe.seed,
            shards=len(shards),
            engines={engine.name: engine.version() for engine in engines},
            texts=pool.digest,
            speakers=describe_speakers(cast),
        ),
    )
    return shards, pool.missing


def _make_shards(
    folder: Path, shards: Sequence[Sequence[Item]], engines: Sequence[Engine], workers: int
) -> Iterator[tuple[int, bool]]:
    """Each shard's number when it is there, and whether it was made just now."""
    left = []
    for shard in range(len(shards)):
        if index_path(folder, shard).exists():
            yield shard, False
        else:
            left.append(shard)
    if workers == 1:
        for shard in left:
            make_shard(folder, shard, shards[shard], engines)
            yield shard, True
        return
    with worker_pool(workers) as pool:
        futures = {
            pool.submit(make_shard, folder, shard, shards[shard], engines): shard for shard in left
        }
        for future in as_completed(futures):
            future.result()
            yield futures[future], True
