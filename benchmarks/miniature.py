"""The paper in miniature: a model under every way of decoding, listened to.

    python -m benchmarks.miniature LIST FOLDER --model mini [--group steps] [--seeds 3] [--rows 40]
    python -m benchmarks.miniature LIST FOLDER --plots docs/images

LIST is that of `cbflash eval`, which speaks and measures here; FOLDER gets a folder for each way,
and the same command goes on where it was stopped. What differs within a group is told there;
everything else is as `cbflash eval` has it by itself, without the care that speaks again what
went wrong. Prints a table for each group; --plots draws them instead, from what was measured.

Error bars are the standard deviation over seeds. For the group `block` give a --model that was
trained with the largest blocks, as the paper's was: the same weights, with another number in their
config.json, are put in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.cli import main as cbflash
from app.evaluate.figures import Figure
from app.evaluate.scores import NAME, Scores
from cbflash.checkpoint import CONFIG
from cbflash.errors import CbflashError
from cbflash.files import make_folder, write_whole
from cbflash.models import find_model

Options = tuple[str, ...]

NAIVE = ("--ranking", "confidence")
DRAWN = ("wer.closed", "wer.any_order", "wer.free", "steps")
SHOWN = ("wer.closed", "wer.any_order", "wer.free", "steps", "rtf", "cosine.own", "endless")


@dataclass(frozen=True)
class Way:
    """One way of decoding. line: which curve it is on; at: where, for those that have numbers;
    block: tokens of a block, where it is not the model's."""

    options: Options
    line: str
    at: float
    block: int | None = None


def _ways(option: str, values: Sequence[float], line: str, more: Options = ()) -> list[Way]:
    return [Way((*more, option, f"{value:g}"), line, value) for value in values]


STEPS = (4, 6, 8, 12, 16)
GROUPS: Mapping[str, tuple[str, Sequence[Way]]] = {
    "steps": (
        "steps a block at most",
        [
            *_ways("--num-steps", STEPS, "prior-calibrated"),
            *_ways("--num-steps", STEPS, "naive confidence", NAIVE),
        ],
    ),
    "alpha": (
        "alpha of early decoding",
        _ways("--time-shift-tau", (0.0, 0.25, 0.5, 1.0), "prior-calibrated"),
    ),
    "guidance": ("scale of guidance", _ways("--cfg-scale", (0.0, 0.5, 1.0), "guided")),
    "temperature": (
        "temperature of the draw",
        _ways("--temperature", (0.0, 0.2, 0.4, 0.6, 0.8), "drawn"),
    ),
    "threshold": (
        "threshold of confidence",
        _ways("--threshold", (0.01, 0.02, 0.05, 0.1, 0.2, 0.4), "by threshold"),
    ),
    "block": (
        "tokens of a block",
        [Way((), "prior-calibrated", size, size) for size in (8, 16, 24, 32)],
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--group", choices=tuple(GROUPS), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--plots", type=Path, help="draw what was measured into this folder")
    options = parser.parse_args()
    try:
        return run(options)
    except CbflashError as error:
        print(f"benchmarks.miniature: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """Measure, or draw what was measured; gives the exit code. Raises CbflashError."""
    for group in options.group or GROUPS:
        if options.plots is not None:
            plot(group, options.folder, options.plots)
            continue
        for way in GROUPS[group][1]:
            if code := evaluate(way, group, options):
                return code
        print(table(group, options.folder), flush=True)
    return 0


def folder_of(folder: Path, group: str, way: Way) -> Path:
    return folder / group / f"{way.line}-{way.at:g}".replace(" ", "-")


def evaluate(way: Way, group: str, options: argparse.Namespace) -> int:
    """Speak and measure; gives the exit code of `cbflash eval`."""
    out = folder_of(options.folder, group, way)
    model = options.model
    if way.block is not None:
        model = str(with_block(model, way.block, options.folder / "models"))
    seeds = [given for seed in range(options.seeds) for given in ("--seed", str(seed))]
    rows = [] if options.rows is None else ["--rows", str(options.rows)]
    given = [str(options.list), "--out", str(out), "--model", model, "--backend", options.backend]
    print(f"{group}: {way.line}, {way.at:g}", file=sys.stderr, flush=True)
    return cbflash(["eval", *given, "--no-care", *seeds, *rows, *way.options])


def with_block(model: str, size: int, folder: Path) -> Path:
    """The same model with blocks of another size. Raises ModelError."""
    given, made = find_model(model), make_folder(folder / f"block-{size}")
    for path in given.iterdir():
        link = made / path.name
        if path.is_file() and path.name != CONFIG and not link.is_symlink():
            link.symlink_to(path.resolve())
    path = given / CONFIG  # which the released folder has not
    config = json.loads(path.read_text("utf-8")) if path.exists() else {}
    config.setdefault("sizes", {}).setdefault("t3", {})["block_size"] = size
    with write_whole(made / CONFIG) as file:
        file.write(json.dumps(config, indent=1).encode())
    return made


def measured(group: str, folder: Path) -> dict[Way, dict[str, Figure]]:
    """What there is of a group."""
    found = {}
    for way in GROUPS[group][1]:
        path = folder_of(folder, group, way)
        if (path / NAME).exists():
            found[way] = {figure.key: figure for figure in Scores.load(path).figures()}
    return found


def table(group: str, folder: Path) -> str:
    """As Markdown: a row for each way."""
    found = measured(group, folder)
    keys = [key for key in SHOWN if any(key in figures for figures in found.values())]
    titles = {key: figure.kind.title for each in found.values() for key, figure in each.items()}
    head = [GROUPS[group][0], "", *(titles[key] for key in keys)]
    lines = [head, ["---:", "---", *["---:"] * len(keys)]]
    for way, figures in found.items():
        cells = [_cell(figures[key]) if key in figures else "" for key in keys]
        lines.append([f"{way.at:g}", way.line, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(figure: Figure) -> str:
    apart = "" if figure.deviation is None else f" ± {figure.number(figure.deviation)}"
    return f"{figure.number(figure.value)}{apart}{figure.unit}"


def plot(group: str, folder: Path, plots: Path) -> None:
    """Wrong words, and steps where they differ, over what a group varies: a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = measured(group, folder)
    if not found:
        return
    keys = [key for key in DRAWN if any(key in figures for figures in found.values())]
    figure, axes = pyplot.subplots(1, len(keys), figsize=(4 * len(keys), 3.2), squeeze=False)
    for key, axis in zip(keys, axes[0], strict=True):
        for line in dict.fromkeys(way.line for way in found):
            ways = [way for way in found if way.line == line and key in found[way]]
            drawn = [found[way][key] for way in ways]
            factor = 100 if drawn and drawn[0].kind.percent else 1
            axis.errorbar(
                [way.at for way in ways],
                [factor * one.value for one in drawn],
                [factor * (one.deviation or 0.0) for one in drawn],
                marker="o",
                capsize=3,
                label=line,
            )
            if drawn:
                axis.set_title(f"{drawn[0].kind.title}{drawn[0].unit}", fontsize=9)
        axis.set_xlabel(GROUPS[group][0], fontsize=9)
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    if len({way.line for way in found}) > 1:
        axes[0][-1].legend(fontsize=8)
    figure.tight_layout()
    plots.mkdir(parents=True, exist_ok=True)
    figure.savefig(plots / f"miniature-{group}.png", dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
