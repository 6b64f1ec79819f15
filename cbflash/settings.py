"""Options of one utterance, checked once, with named presets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from cbflash.errors import UsageError
from cbflash.filling import Prior

EndRule = Literal["finish", "released"]
Ranking = Literal["calibrated", "confidence"]


def _number(name: str, value: Any, low: float, high: float) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # a NaN fails the comparison too
        raise UsageError(f"{name} is {value!r}.", f"It must be a number from {low:g} to {high:g}.")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UsageError(
            f"{name} is {value!r}.", f"It must be a whole number from {low} to {high}."
        )


@dataclass(frozen=True)
class Sampling:
    """How an utterance is decoded. Names and defaults are the released package's.

    num_steps: denoising steps per block of speech tokens; with a threshold, at most.
    temperature: of the token draw; 0 takes the most likely token.
    time_shift_tau: early decoding; 0 never leaves a block early (alpha in the paper).
    omnivoice_schedule_t_shift: time shift of the unmask counts (tau in the paper).
    cfg_scale: strength of classifier-free guidance; 0 halves the work.
    position_temperature: above 0 adds unit Gumbel noise to the ranking of positions. The
        released code does not scale by it, so neither do we: it is a switch.
    n_cfm_timesteps: flow-matching steps from noise to mel.
    exaggeration: emotion input of the decoder, 0.5 is neutral.
    prior_calibration: score positions against the unconditional block prior; off scores
        them against the mean of the block itself.
    ranking: "calibrated" fills first what is likelier here than by the prior; "confidence" what is
        likely, as masked decoders without calibration do (Fast-dLLM). It is there to compare.
    threshold: fill every position whose token is at least so probable (`cbflash.threshold`),
        though never less than the schedule of the steps does, so that blocks take as many steps
        as they need. Speech tokens are seldom sure: 0.01 to 0.02 is usual. None leaves it to the
        schedule alone.
    max_speech_tokens: a lower budget than the one the text gives (25 tokens a second).
    seed: of every random draw; None picks one, and the result says which.
    end_rule: "finish" completes the positions before the end token; "released" stops the
        moment it appears and loses the ones still masked, as the released package does.
    """

    num_steps: int = 10
    temperature: float = 0.6
    time_shift_tau: float = 0.1
    omnivoice_schedule_t_shift: float = 0.5
    cfg_scale: float = 1.0
    position_temperature: float = 5.0
    n_cfm_timesteps: int = 2
    exaggeration: float = 0.5
    prior_calibration: bool = True
    ranking: Ranking = "calibrated"
    threshold: float | None = None
    max_speech_tokens: int | None = None
    seed: int | None = None
    end_rule: EndRule = "finish"

    def __post_init__(self) -> None:
        _whole("num_steps", self.num_steps, 1, 1000)
        _whole("n_cfm_timesteps", self.n_cfm_timesteps, 1, 1000)
        _number("temperature", self.temperature, 0.0, 10.0)
        _number("time_shift_tau", self.time_shift_tau, 0.0, 100.0)
        _number("omnivoice_schedule_t_shift", self.omnivoice_schedule_t_shift, 0.0, 100.0)
        _number("cfg_scale", self.cfg_scale, 0.0, 20.0)
        _number("position_temperature", self.position_temperature, 0.0, 1e6)
        _number("exaggeration", self.exaggeration, 0.0, 2.0)
        if self.threshold is not None:
            _number("threshold", self.threshold, 0.0, 1.0)
            if self.end_rule == "released":
                raise UsageError(
                    "The released package has no threshold, so its end_rule goes with none.",
                    "Leave out the threshold, or use the end_rule 'finish'.",
                )
        if self.max_speech_tokens is not None:
            _whole("max_speech_tokens", self.max_speech_tokens, 1, 1_000_000)
        if self.seed is not None:
            _whole("seed", self.seed, 0, 2**32 - 1)
        if self.end_rule not in ("finish", "released"):
            raise UsageError(f"end_rule is {self.end_rule!r}.", "Use 'finish' or 'released'.")
        if self.ranking not in ("calibrated", "confidence"):
            raise UsageError(f"ranking is {self.ranking!r}.", "Use 'calibrated' or 'confidence'.")

    @property
    def prior(self) -> Prior:
        """What positions are scored against."""
        if self.ranking == "confidence":
            return "none"
        return "unconditional" if self.prior_calibration else "block"

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Sampling:
        """A named preset with some options changed.

        Raises UsageError for an unknown preset, an unknown option or a value out of range.
        """
        if name not in PRESETS:
            raise UsageError(f"There is no preset {name!r}.", f"Use one of {', '.join(PRESETS)}.")
        return PRESETS[name].replace(**changes)

    def replace(self, **changes: Any) -> Sampling:
        """A copy with some options changed, checked again."""
        known = {f.name for f in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise UsageError(
                f"Unknown option {unknown[0]!r}.", f"Options are {', '.join(sorted(known))}."
            )
        return dataclasses.replace(self, **changes)


PRESETS: dict[str, Sampling] = {
    # The released package's defaults.
    "best": Sampling(),
    # The paper's settings: about 6.4 of 8 steps are taken.
    "paper": Sampling(num_steps=8, temperature=0.2, time_shift_tau=0.5),
    # Half the steps of `best`.
    "fast": Sampling(num_steps=6, temperature=0.2, time_shift_tau=0.5),
    # No guidance and one flow step: to hear at once whether a text reads well.
    "draft": Sampling(
        num_steps=4, temperature=0.2, time_shift_tau=0.5, cfg_scale=0.0, n_cfm_timesteps=1
    ),
}
