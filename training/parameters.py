"""Where training begins: every parameter drawn as is usual for its kind, from a seed.

Values depend on the seed and on a parameter's name alone, not on the device or on what else is in
the model.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from cuda_backend import (
    conformer,
    estimator,
    hift,
    layers,
    s3tokenizer,
    t3,
    voice_encoder,
    xvector,
)
from training.devices import Device

Draw = Callable[[Tensor, torch.Generator], object]
Start = tuple[Tensor, Draw]
Module = TypeVar("Module", bound=nn.Module)

NARROW = 0.02  # standard deviation, of language models since GPT-2
VOCODER = 0.01  # of the convolutions of HiFi-GAN
OPEN = 3.0  # of a gate: a twentieth is forgotten at each step


def trainable(module: Module, seed: int = 0, device: Device = "cpu") -> Module:
    """The module itself, with parameters of its own on `device` that ask for gradients.

    It may come from the meta device. Nothing of what was in it is kept.
    """
    module.to_empty(device=device)
    initialise(module, seed)
    return module.requires_grad_(True)


def frozen(module: Module) -> Module:
    """A copy as engines use it, packed where that is faster: to listen to what was learnt."""
    copied = copy.deepcopy(module).requires_grad_(False)
    layers.pack(copied)
    return copied


def count(module: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(one.numel() for one in module.parameters() if one.requires_grad)


@torch.no_grad()
def initialise(module: nn.Module, seed: int = 0) -> None:
    """Draw every parameter. Raises TypeError for a kind of layer that has no start here."""
    names: dict[Tensor, str] = {one: name for name, one in module.named_parameters()}
    for parameter, draw in _starts(module, UNIFORM):
        # 32 bits: PyTorch's generator takes no notice of more.
        key = zlib.crc32(f"{seed} {names.pop(parameter)}".encode())
        values = torch.empty(parameter.shape)
        draw(values, torch.Generator().manual_seed(key))
        parameter.copy_(values)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.reset_running_stats()
    if names:
        raise TypeError(f"nothing says how {next(iter(names.values()))} begins")


# -- how numbers are drawn -------------------------------------------------------------------


def normal(std: float) -> Draw:
    return lambda x, generator: x.normal_(0.0, std, generator=generator)


def uniform(bound: float) -> Draw:
    return lambda x, generator: x.uniform_(-bound, bound, generator=generator)


def constant(*rows: float) -> Draw:
    """One value for all, or one for each row."""
    return lambda x, _: x.copy_(torch.tensor(rows).view(-1, *[1] * (x.ndim - 1)).expand(x.shape))


def remembering(bound: float) -> Draw:
    """Biases of an LSTM's gates [4 H]. The second quarter's, which forget, begin open, or what was
    heard 160 frames ago would teach nothing (Jozefowicz et al. 2015)."""

    def draw(x: Tensor, generator: torch.Generator) -> None:
        x.uniform_(-bound, bound, generator=generator)
        x.chunk(4)[1].add_(OPEN)

    return draw


@dataclass(frozen=True)
class Style:
    """How linear layers and convolutions of a network begin; given is how many inputs they sum."""

    weight: Callable[[int], Draw]
    bias: Callable[[int], Draw]


def _normal_style(std: float) -> Style:
    return Style(lambda _: normal(std), lambda _: constant(0.0))


# PyTorch's own; the rectifier's (He et al. 2015); and those of vocoders.
UNIFORM = Style(lambda n: uniform(n**-0.5), lambda n: uniform(n**-0.5))
RECTIFIED = Style(lambda n: normal(math.sqrt(2 / n)), lambda _: constant(0.0))
GENERATOR = Style(lambda _: normal(VOCODER), lambda n: uniform(n**-0.5))

# Of everything inside such a module, if nothing nearer says otherwise.
_STYLES: dict[type[nn.Module], Style] = {
    t3.T3: _normal_style(NARROW),
    estimator.Estimator: RECTIFIED,
    xvector.XVector: RECTIFIED,
    hift.ResidualBlock: GENERATOR,
    layers.ConvTranspose1d: GENERATOR,
}
_WEIGHTED = (
    layers.Linear,
    layers.Conv1d,
    layers.ConvTranspose1d,
    s3tokenizer.Memory,
    xvector.Conv2d,
    xvector.DilatedConv,
)


# -- what a module begins with ---------------------------------------------------------------


def _starts(module: nn.Module, style: Style) -> Iterator[Start]:
    """All parameters of a module, each with its draw."""
    style = _STYLES.get(type(module), style)
    yield from _own(module, style)
    for name, child in module.named_children():
        yield from _starts(child, _child_style(module, name, style))


def _child_style(module: nn.Module, name: str, style: Style) -> Style:
    if isinstance(module, hift.HiFT) and name == "output":
        return GENERATOR
    if isinstance(module, t3.T3) and name == "layers":
        # As in GPT-2: each layer adds twice to the residual, whose variance stays the same.
        narrower = NARROW / math.sqrt(2 * module.config.layers)
        return Style(lambda n: normal(narrower), style.bias)
    if isinstance(module, t3.Attention | t3.MLP) and name in ("qkv_proj", "gate_up_proj"):
        return _STYLES[t3.T3]
    return style


def _own(module: nn.Module, style: Style) -> Iterator[Start]:
    """The parameters of a module that are not those of its children."""
    if isinstance(module, _WEIGHTED):
        weight = module.weight
        inputs = math.prod(weight.shape[1:])
        yield weight, style.weight(inputs)
        own = dict(module.named_parameters(recurse=False))
        if "bias" in own:
            yield own["bias"], style.bias(inputs)
    elif isinstance(module, nn.LayerNorm):
        yield module.weight, constant(1.0)
        yield module.bias, constant(0.0)
    elif isinstance(module, t3.RMSNorm):
        yield module.weight, constant(1.0)
    elif isinstance(module, xvector.BatchNorm):
        yield module.affine, constant(1.0, 0.0)
    elif isinstance(module, layers.Snake):
        yield module.alpha, constant(1.0)
    elif isinstance(module, nn.Embedding):
        yield module.weight, normal(NARROW) if style is _STYLES[t3.T3] else normal(1.0)
    elif isinstance(module, t3.Perceiver):
        yield module.queries, normal(len(module.queries[0]) ** -0.5)
    elif isinstance(module, conformer.RelativeAttention):
        bound = math.sqrt(6 / sum(module.content_bias.shape))  # Glorot and Bengio 2010
        yield module.content_bias, uniform(bound)
        yield module.position_bias, uniform(bound)
    elif isinstance(module, voice_encoder.LSTM):
        bound = module.recurrent["weight"].shape[1] ** -0.5
        yield module.input["weight"], uniform(bound)
        yield module.recurrent["weight"], uniform(bound)
        yield module.input["bias"], remembering(bound)
