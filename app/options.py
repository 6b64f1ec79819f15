"""Options that several commands share, and the ones of `Sampling`, derived from its fields."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Set
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from app.context import Context
from cbflash.backends import AUTO, PREFERENCE
from cbflash.engine import Bits, Dtype
from cbflash.settings import PRESETS, Sampling

Command = Callable[[argparse.Namespace, Context], None]

BEST = "best"

# One line for each field of Sampling.
SAMPLING_HELP = {
    "num_steps": "denoising steps for a block of speech: fewer are faster and rougher",
    "temperature": "of the draw; 0 always takes the most likely sound",
    "time_shift_tau": "early decoding: above 0, a block may be done before its last step",
    "omnivoice_schedule_t_shift": "how the steps share a block: below 1, later ones fill more",
    "cfg_scale": "guidance: how closely to follow text and voice; 0 is twice as fast",
    "position_temperature": "above 0, the order in which a block is filled is partly random",
    "n_cfm_timesteps": "steps of the vocoder's flow from noise to sound",
    "exaggeration": "how emotional the speech is; 0.5 is neutral",
    "prior_calibration": "score positions against the unconditional prior",
    "ranking": "what a step fills first: what is likelier here than elsewhere (calibrated), or just"
    " likely (confidence), to compare with",
    "threshold": "fill at once what is at least this probable, 0.01 to 0.02 as a rule: a block then"
    " takes only the steps it needs, num-steps at most",
    "max_speech_tokens": "stop after so many speech tokens, 25 a second",
    "seed": "of every random draw; line i of a file gets seed + i - 1",
    "end_rule": "'released' stops like the released package, which loses word ends",
}
_FREE = {
    "threshold": "none, as fast as the schedule says",
    "max_speech_tokens": "as the text is long",
    "seed": "picked, and told",
}


def common_options(top: bool) -> argparse.ArgumentParser:
    """Options of every command, before or after its name; `top`: those of the program."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group("everywhere")
    # A command's own parser must not set back what stood before the command's name.
    default = False if top else argparse.SUPPRESS
    switches = {
        "quiet": "say nothing but what was asked for, and errors",
        "verbose": "show the traceback of an error nobody expected",
        "offline": "never open a connection (or set CBFLASH_OFFLINE)",
    }
    for name, text in switches.items():
        group.add_argument(f"--{name}", action="store_true", default=default, help=text)
    return parser


def add_verb(
    verbs: Any, common: argparse.ArgumentParser, name: str, text: str, run: Command
) -> argparse.ArgumentParser:
    """One command of a group: `cbflash GROUP NAME`."""
    about = f"{text[:1].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=about, parents=[common]
    )
    parser.set_defaults(run=run)
    return parser


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model and engine")
    group.add_argument(
        "--model",
        metavar="MODEL",
        help="name of a model, or its folder (default: the released one, the only one that is "
        "installed, or the built-in one, mini)",
    )
    group.add_argument(
        "--backend",
        metavar="ENGINE",
        default=AUTO,
        help=f"{AUTO}, {', '.join(PREFERENCE)} (default: {AUTO}, the fastest that can run; "
        "CBFLASH_BACKEND changes it)",
    )
    group.add_argument(
        "--dtype",
        choices=get_args(Dtype),
        help="of the decoder's numbers (default: as the engine likes)",
    )
    group.add_argument(
        "--bits",
        type=int,
        choices=get_args(Bits),
        help="quantise the decoder while loading (default: no)",
    )


def add_sampling_options(parser: argparse.ArgumentParser, without: Set[str] = frozenset()) -> None:
    """One option for each field of `Sampling` except `without`; what is not given comes from
    the preset."""
    group = parser.add_argument_group(
        "manner of speaking", f"What is not given comes from the preset; shown is {BEST!r}."
    )
    group.add_argument("--preset", choices=tuple(PRESETS), default=BEST, help=f"(default: {BEST})")
    hints = get_type_hints(Sampling)
    for field in dataclasses.fields(Sampling):
        if field.name in without:
            continue
        shown = _FREE.get(field.name, field.default)
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=field.name,
            default=argparse.SUPPRESS,
            help=f"{SAMPLING_HELP[field.name]} (default: {shown})",
            **_kind(hints[field.name]),
        )


def sampling_of(args: argparse.Namespace) -> Sampling:
    """The preset with the given options changed. Raises UsageError for a value out of range."""
    names = {field.name for field in dataclasses.fields(Sampling)}
    changes = {name: value for name, value in vars(args).items() if name in names}
    return Sampling.preset(args.preset, **changes)


def _kind(hint: Any) -> dict[str, Any]:
    """What argparse wants to know of a field of this type."""
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    [kind] = [part for part in get_args(hint) if part is not NoneType] or [hint]
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    return {"type": kind, "metavar": "N" if kind is int else "X"}
