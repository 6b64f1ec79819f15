"""Recipes: a TOML file with the sizes of a model and the numbers of each stage.

    name = "mini"
    seed = 1

    [sizes.t3]
    width = 256

    [codec]
    steps = 4000
    batch = 16

Every stage reads its own table into a dataclass of its own, whose defaults are what the file does
not say.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from cbflash.config import ModelConfig
from cbflash.errors import UsageError

Settings = TypeVar("Settings")

FOLDER = Path(__file__).parent / "recipes"

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Recipe:
    """What to train. tables: the settings of the stages, by their names."""

    name: str
    seed: int
    sizes: ModelConfig
    tables: Mapping[str, Mapping[str, Any]]

    def settings(self, stage: str, kind: Callable[..., Settings]) -> Settings:
        """The settings of a stage. Raises UsageError for a name that it does not know, and for a
        value that is not of the type of the setting."""
        table = self.tables.get(stage, {})
        known = inspect.signature(kind).parameters
        types = get_type_hints(kind)
        for name, value in table.items():
            if name not in known:
                raise UsageError(
                    f"The recipe {self.name} has {stage}.{name}, which there is not.",
                    f"The settings of {stage} are: {', '.join(sorted(known))}.",
                )
            if not _fits(value, types.get(name)):
                raise UsageError(
                    f"The recipe {self.name} has {stage}.{name} = {value!r}, "
                    f"which is not {_KINDS[types[name]]}."
                )
        return kind(**table)

    def some_sizes(self, *parts: str) -> dict[str, Any]:
        """The sizes of some parts of the model, ready for JSON: what a run depends on."""
        every = self.sizes.to_dict()
        return {part: every[part] for part in parts}


def read_recipe(name: str) -> Recipe:
    """The recipe of that name in `training/recipes`, or a file. Raises UsageError."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        there = ", ".join(sorted(one.stem for one in FOLDER.glob("*.toml")))
        raise UsageError(
            f"The recipe {path} cannot be read: {error}.",
            f"Those of the project are: {there}; others are files that end in .toml.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.") from None
    title = str(data.pop("name", path.stem))
    seed, given = data.pop("seed", 0), data.pop("sizes", {})
    if type(seed) is not int or seed < 0:
        raise UsageError(f"{path} has seed = {seed!r}, which is not a whole number from 0.")
    if not isinstance(given, dict):
        raise UsageError(
            f"{path} has sizes = {given!r}.", "Write them below their part, [sizes.t3] for example."
        )
    sizes = ModelConfig.from_dict({"name": title, **given}, str(path))
    for stage, table in data.items():
        if not isinstance(table, dict):
            raise UsageError(
                f"{path} has {stage} = {table!r}, which is of no stage.",
                f"Write it below the name of one, [{stage}] for example.",
            )
    return Recipe(title, seed, sizes, data)


def _fits(value: object, kind: object) -> bool:
    """Whether a value is of a simple type; others are looked at by nobody here."""
    if kind is float:
        return type(value) in (int, float)
    return kind not in _KINDS or type(value) is kind
