"""Where a training run stands, on disk: saved every few minutes, so that it can go on.

A checkpoint is a folder `step-000123` with the tensors of models, optimisers and generators of
random numbers (tensors.safetensors) and the rest as JSON (state.json). Nothing is pickled.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cbflash.errors import ModelError
from cbflash.files import make_folder, whole_folder, write_whole
from cbflash.tensorfile import Array, TensorFile, TensorSpec, write_tensors

Module = TypeVar("Module", bound=nn.Module)

VERSION = 1
TENSORS = "tensors.safetensors"
STATE = "state.json"

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_NAME = re.compile(r"step-(\d{6,})")
_BEFORE = "Delete that folder to go on from the one before it."


@dataclass
class Run:
    """A training run: all that changes while it goes on.

    Models and optimisers have names, for some runs have several. numbers: draws the data and
    whatever else is not PyTorch's own. step: how many were taken.
    """

    models: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    numbers: np.random.Generator
    step: int = 0


class Checkpoints:
    """The checkpoints of one run.

    config: the run's recipe, anything that JSON can write; a checkpoint of another one is refused.
    free: entries of it that may be others when a run goes on, "codec.steps" for example.
    every: seconds between two saves. keep: how many are kept, the last ones.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        free: Collection[str] = (),
        every: float = 180.0,
        keep: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._config = json.loads(json.dumps(config))  # as it will be read again
        self._free = free
        self._every = every
        self._keep = keep
        self._clock = clock
        self._saved = clock()

    def save_if_due(self, run: Run) -> Path | None:
        """To be called after each step."""
        return self.save(run) if self._clock() - self._saved >= self._every else None

    def save(self, run: Run) -> Path:
        """Write a checkpoint, whole or not at all, then delete old ones. Raises OutputError."""
        path = make_folder(self._folder) / f"step-{run.step:06d}"
        tensors = dict(_tensors(run))
        specs = [TensorSpec(name, _NAMES[x.dtype], tuple(x.shape)) for name, x in tensors.items()]
        state = {
            "version": VERSION,
            "step": run.step,
            "config": self._config,
            "optimisers": {name: _plain(one) for name, one in run.optimisers.items()},
            "numbers": run.numbers.bit_generator.state,
        }
        text = json.dumps(state, indent=1)
        with whole_folder(path, force=True) as built:
            write_tensors(built / TENSORS, specs, (_array(x) for x in tensors.values()))
            with write_whole(built / STATE) as file:
                file.write(text.encode())
        for old in self.paths()[: -self._keep]:
            shutil.rmtree(old)
        self._saved = self._clock()
        return path

    def resume(self, run: Run) -> bool:
        """Put the last checkpoint into `run`; False if there is none.

        Raises ModelError for one that is damaged or of another recipe.
        """
        paths = self.paths()
        if not paths:
            return False
        state = _read_state(paths[-1] / STATE)
        self._check(paths[-1], state)
        tensors = _read_tensors(paths[-1] / TENSORS)
        for name, model in run.models.items():
            model.load_state_dict(_below(tensors, f"model/{name}/"), strict=True)
        for name, optimiser in run.optimisers.items():
            _fill(optimiser, state["optimisers"][name], _below(tensors, f"optimiser/{name}/"))
        _set_generators(_below(tensors, "generator/"))
        run.numbers.bit_generator.state = state["numbers"]
        run.step = state["step"]
        return True

    def paths(self) -> list[Path]:
        """The checkpoints there are, the last one last."""
        return checkpoints_in(self._folder)

    def _check(self, path: Path, state: Mapping[str, Any]) -> None:
        if state.get("version") != VERSION:
            raise ModelError(f"{path} has the version {state.get('version')!r}.", _BEFORE)
        for key, there, here in _differences(state.get("config"), self._config):
            if key not in self._free:
                raise ModelError(
                    f"{path} was trained with {key} = {there}, not {here}.",
                    "Train in another folder, or with the recipe that this run began with.",
                )


def load(folder: Path, name: str, module: Module) -> Module:
    """Fill a module with what the model `name` of the last checkpoint in a folder holds.

    Whatever the recipe was; the module must have the same parameters. Raises ModelError where
    there is no checkpoint, or not of such a model.
    """
    paths = checkpoints_in(folder)
    if not paths:
        raise ModelError(f"{folder} holds no checkpoint.", "Train that stage first.")
    found = _below(_read_tensors(paths[-1] / TENSORS), f"model/{name}/")
    try:
        module.load_state_dict(found, strict=True)
    except RuntimeError as error:
        raise ModelError(f"{paths[-1]} is of another model: {error}.", _BEFORE) from None
    return module


def shape_of(folder: Path, name: str, parameter: str) -> tuple[int, ...]:
    """Of a parameter of the model `name` in the last checkpoint of a folder.

    Raises ModelError where there is no checkpoint, or not of such a model.
    """
    paths = checkpoints_in(folder)
    if not paths:
        raise ModelError(f"{folder} holds no checkpoint.", "Train that stage first.")
    file = TensorFile.open(paths[-1] / TENSORS)
    key = f"model/{name}/{parameter}"
    if key not in file:
        raise ModelError(f"{paths[-1]} is of another model: it has no {key}.", _BEFORE)
    return tuple(file[key].shape)


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints there are, the last one last."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


# -- what is saved ---------------------------------------------------------------------------


def _tensors(run: Run) -> Iterator[tuple[str, Tensor]]:
    for name, model in run.models.items():
        for key, value in model.state_dict().items():
            yield f"model/{name}/{key}", value
    for name, optimiser in run.optimisers.items():
        for index, numbers in optimiser.state_dict()["state"].items():
            for key, value in numbers.items():
                if isinstance(value, Tensor):
                    yield f"optimiser/{name}/{index}/{key}", value
    yield "generator/cpu", torch.get_rng_state()
    for index, state in enumerate(torch.cuda.get_rng_state_all()):
        yield f"generator/cuda/{index}", state


def _plain(optimiser: Optimizer) -> dict[str, Any]:
    """What of an optimiser is no tensor."""
    state = optimiser.state_dict()
    numbers = {
        str(index): {key: value for key, value in one.items() if not isinstance(value, Tensor)}
        for index, one in state["state"].items()
    }
    return {"groups": state["param_groups"], "numbers": numbers}


def _fill(optimiser: Optimizer, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    numbers = {int(index): dict(values) for index, values in plain["numbers"].items()}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        numbers[int(index)][key] = value
    groups = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in plain["groups"]
    ]
    optimiser.load_state_dict({"state": numbers, "param_groups": groups})


def _set_generators(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    # On a machine with other GPUs their random numbers begin anew.
    if len(states) - 1 == torch.cuda.device_count():
        for index in range(torch.cuda.device_count()):
            torch.cuda.set_rng_state(states[f"cuda/{index}"], index)


# -- reading and writing ---------------------------------------------------------------------


def _array(x: Tensor) -> Array:
    x = x.detach().cpu().contiguous()
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().view(np.uint16)
    return x.numpy()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    file = TensorFile.open(path)
    found = {}
    for name, info in file.items():
        array = file.raw(name).copy()
        if info.dtype == "BF16":
            found[name] = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        else:
            found[name] = torch.from_numpy(array)
    return found


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", _BEFORE) from None
    if not isinstance(state, dict):
        raise ModelError(f"{path} holds no JSON object.", _BEFORE)
    return state


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _differences(one: Any, other: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two recipes differ: the path of an entry, and what is in each."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            inner = f"{key}.{name}" if key else name
            yield from _differences(one.get(name), other.get(name), inner)
    elif one != other:
        yield key, one, other
