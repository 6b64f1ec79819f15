"""The folder of an autoregressive Chatterbox: opened, checked, and its networks read.

Its decoder has no row for a mask in its speech embedding; otherwise it is Chatterbox-Flash's, name
for name. Sizes other than the release's are in a config.json, as in any model folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cbflash.checkpoint import AUTOREGRESSIVE, CONFIG, FILES, fingerprint
from cbflash.config import ModelConfig, T3Config, read_config
from cbflash.errors import ModelError
from cbflash.tensorfile import TensorFile
from cbflash.tokenizer import TextTokenizer
from cbflash.weights.release import assemble, assign
from cuda_backend.model import Chatterbox
from cuda_backend.t3 import T3
from training.export import Precision

# What a decoder's file may be called: as released, and as Chatterbox-Flash has it.
DECODERS = (AUTOREGRESSIVE, FILES["release"]["t3"])
OTHERS = ("s3gen.safetensors", "ve.safetensors", "tokenizer.json")
ENCODERS = ("s3tokenizer", "xvector", "voice_encoder")

_SPEECH = "speech_emb.weight"
_TEXT = "text_emb.weight"
_MEAN_FLOW = "flow.decoder.estimator.time_embed_mixer.weight"
_WANTED = "Give the folder of an autoregressive Chatterbox (ResembleAI/chatterbox)."


@dataclass(frozen=True)
class Teacher:
    """An opened folder; no tensor has been read yet.

    model_id: of the voice encoders, which the student keeps. digest: of the decoder, so that a run
    does not go on with another one.
    """

    folder: Path
    decoder: Path
    config: ModelConfig
    model_id: str
    digest: str

    @classmethod
    def open(cls, folder: Path) -> Teacher:
        """Look at a folder and check it. Raises ModelError that says what it is instead."""
        decoder = _find(folder)
        s3gen, ve, _ = (folder / name for name in OTHERS)
        config = _config(folder, TensorFile.open(s3gen))
        file = TensorFile.open(decoder)
        _check(file, config.t3)
        for part, path in (("t3", decoder), ("s3gen", s3gen), ("ve", ve)):
            assign(TensorFile.open(path), part, _shapes(config), "torch")
        return cls(folder, decoder, config, fingerprint(s3gen, ve), _digest(file))

    @property
    def precision(self) -> Precision:
        """What the decoder's matrices are stored in, or else what holds them all."""
        return "bf16" if TensorFile.open(self.decoder)[_SPEECH].dtype == "BF16" else "fp32"

    def tokenizer(self) -> TextTokenizer:
        """Raises ModelError for one of other ids."""
        return TextTokenizer.open(self.folder / OTHERS[2], self.config.t3)

    def read_decoder(self, device: torch.device) -> T3:
        """The decoder in float32, its row of the mask the mean of the codec's ids."""
        t3 = self.config.t3
        weights = dict(_read(self.decoder, "t3", self.config, ("t3",)))
        name = "t3.speech_embedding.weight"
        mean = weights[name][: t3.start_speech].mean(dim=0, keepdim=True)
        weights[name] = torch.cat([weights[name], mean])
        with torch.device("meta"):
            model = nn.ModuleDict({"t3": T3(t3)})
        _fill(model, weights, device)
        decoder = model["t3"]
        assert isinstance(decoder, T3)
        return decoder

    def read_encoders(self, device: torch.device) -> Chatterbox:
        """The networks that hear a reference clip; the others hold nothing."""
        with torch.device("meta"):
            model = Chatterbox(self.config)
        for part, name in (("s3gen", OTHERS[0]), ("ve", OTHERS[1])):
            weights = dict(_read(self.folder / name, part, self.config, ENCODERS))
            for module in ENCODERS:
                found = {key: one for key, one in weights.items() if key.startswith(f"{module}.")}
                if found:
                    _fill(nn.ModuleDict({module: model.get_submodule(module)}), found, device)
        return model


def _find(folder: Path) -> Path:
    """The decoder's file. Raises ModelError for a folder that lacks something."""
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", _WANTED)
    if any(folder.glob("t3_turbo*")):
        raise ModelError(f"{folder} is Chatterbox-Turbo, whose decoder is another one.", _WANTED)
    found = [folder / name for name in DECODERS if (folder / name).is_file()]
    if not found and (folder / FILES["converted"]["t3"]).is_file():
        raise ModelError(f"{folder} is a converted model, which cannot be trained.", _WANTED)
    if not found and any(folder.glob("*.pt")):
        raise ModelError(
            f"{folder} holds pickled files (.pt), which are never opened here.",
            "Fetch the .safetensors files of the same model.",
        )
    missing = [name for name in OTHERS if not (folder / name).is_file()]
    if not found:
        missing.insert(0, DECODERS[0])
    if missing:
        raise ModelError(f"{folder} is no complete model; missing: {', '.join(missing)}.", _WANTED)
    return found[0]


def _config(folder: Path, s3gen: TensorFile) -> ModelConfig:
    """The sizes. The released autoregressive model says nowhere that its flow is no mean flow."""
    path = folder / CONFIG
    config = read_config(path) if path.exists() else ModelConfig()
    flow = dataclasses.replace(config.flow, meanflow=_MEAN_FLOW in s3gen)
    return dataclasses.replace(config, flow=flow)


def _check(file: TensorFile, sizes: T3Config) -> None:
    """That the file is a decoder without a mask, of these vocabularies. Raises ModelError."""
    if any(name.startswith("tfmr.h.") for name in file):
        raise ModelError(f"{file.path} is a GPT-2, the decoder of Chatterbox-Turbo.", _WANTED)
    for name in (_SPEECH, _TEXT):
        if name not in file or len(file[name].shape) != 2:
            raise ModelError(f"{file.path} holds no {name}: it is no decoder.", _WANTED)
    speech, text = file[_SPEECH].shape[0], file[_TEXT].shape[0]
    if speech == sizes.speech_vocab + 1:
        raise ModelError(
            f"{file.path} has a row for the mask already: it is a Chatterbox-Flash.",
            "It can be used as it is.",
        )
    for what, found, expected in (
        ("speech tokens", speech, sizes.speech_vocab),
        ("text ids", text, sizes.text_vocab),
    ):
        if found != expected:
            raise ModelError(
                f"{file.path} knows {found} {what}, not {expected}.",
                "Is it a model of other languages? Only the English one is known here; other "
                f"sizes belong into a {CONFIG} beside it.",
            )


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Of all parameters of the teacher, by name."""
    with torch.device("meta"):
        model = Chatterbox(config)
    shapes = {name: tuple(one.shape) for name, one in model.named_parameters()}
    rows, width = shapes["t3.speech_embedding.weight"]
    return shapes | {"t3.speech_embedding.weight": (rows - 1, width)}


def _read(
    path: Path, part: str, config: ModelConfig, modules: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of some modules that are in a file, float32."""
    file = TensorFile.open(path)
    for one in assign(file, part, _shapes(config), "torch"):
        if one.target.split(".")[0] in modules:
            yield one.target, torch.from_numpy(np.array(assemble(file, one, "torch"), np.float32))
            file.release()


def _fill(model: nn.Module, weights: dict[str, Tensor], device: torch.device) -> None:
    moved = {name: one.to(device) for name, one in weights.items()}
    model.load_state_dict(moved, strict=True, assign=True)
    model.requires_grad_(False)


def _digest(file: TensorFile) -> str:
    """Of names, shapes and some bytes of a decoder: enough to tell one training from another."""
    found = hashlib.sha256()
    for name in sorted(file):
        found.update(f"{name} {file[name].dtype} {file[name].shape}\n".encode())
        found.update(file.raw(name).reshape(-1)[:4096].tobytes())
    return found.hexdigest()[:16]
