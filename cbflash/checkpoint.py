"""Model folders: opening them, checking them.

A release folder is what the hub gives. A converted folder also has a config.json that says
`"format": "cbflash-mlx"` and how its tensors are stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cbflash.config import ModelConfig, read_config
from cbflash.errors import ModelError
from cbflash.files import INCOMING, PART
from cbflash.manifest import VerifyLine, VerifyProgress, read_manifest, verify_files
from cbflash.tensorfile import TensorFile

Kind = Literal["release", "converted"]

DEFAULT_REPO = "ResembleAI/chatterbox-flash"
CONFIG = "config.json"
CONVERTED_FORMAT = "cbflash-mlx"
CONVERTED_VERSION = 1

# Names of a folder's files by what they hold.
FILES: dict[Kind, dict[str, str]] = {
    "release": {
        "t3": "t3_flash.safetensors",
        "s3gen": "s3gen.safetensors",
        "ve": "ve.safetensors",
        "tokenizer": "tokenizer.json",
    },
    "converted": {
        "t3": "t3.safetensors",
        "s3gen": "s3gen.safetensors",
        "ve": "ve.safetensors",
        "tokenizer": "tokenizer.json",
    },
}
# The decoder of the autoregressive Chatterbox, which has no mask and cannot decode blocks.
AUTOREGRESSIVE = "t3_cfg.safetensors"
_TENSOR_FILES = ("t3", "s3gen", "ve")

# What a voice means is decided by the encoders that make it and the layer that takes it in.
# Of those in s3gen, the first and the last layers tell one training from another.
IDENTITY_TENSORS = (
    "tokenizer.encoder.conv1.weight",
    "tokenizer.quantizer._codebook.project_down.weight",
    "tokenizer.quantizer._codebook.project_down.bias",
    "speaker_encoder.head.conv1.weight",
    "speaker_encoder.xvector.dense.linear.weight",
    "flow.spk_embed_affine_layer.weight",
    "flow.spk_embed_affine_layer.bias",
)

_DOWNLOAD = "Download it with: cbflash models download"
_CONVERT = "Convert it again with: cbflash-convert"


@dataclass(frozen=True)
class Checkpoint:
    """An opened model folder; no tensor has been read yet.

    kind: "release" or "converted".
    config: all sizes.
    model_id: fingerprint of the voice encoders, the same before and after conversion.
    name: what the model calls itself.
    storage: a converted folder's "storage" object (how its tensors are stored), else None.
    files: paths by part: "t3", "s3gen", "ve", "tokenizer".
    """

    folder: Path
    kind: Kind
    config: ModelConfig
    model_id: str
    name: str
    storage: Mapping[str, Any] | None
    files: Mapping[str, Path]

    @property
    def quantised(self) -> bool:
        """Whether it is a converted folder, which not every engine opens."""
        return self.storage is not None

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Look at a folder and read its config.

        Raises ModelError for a folder that is missing, incomplete, half downloaded, or of a
        format newer than this program.
        """
        _check_folder(folder)
        settings = _settings(folder)
        kind = _kind(settings)
        if kind == "converted":
            _check_format(folder, settings)
        files = _files(folder, kind)
        config = read_config(folder / CONFIG) if settings else ModelConfig()
        if kind == "release":
            model_id = fingerprint(files["s3gen"], files["ve"])
            return cls(folder, kind, config, model_id, config.name, None, files)
        return cls(
            folder,
            kind,
            config,
            _text(folder, settings, "model_id"),
            _text(folder, settings, "name"),
            _object(folder, settings, "storage"),
            files,
        )

    def tensors(self, part: str) -> TensorFile:
        """Open the tensors of "t3", "s3gen" or "ve". Raises ModelError for a damaged file."""
        return TensorFile.open(self.files[part])


def fingerprint(s3gen: Path, ve: Path) -> str:
    """The model id of a release: a hash of everything that decides what a voice means.

    Covers names, dtypes, shapes and bytes of all tensors of the voice encoder and of
    `IDENTITY_TENSORS`, so it depends neither on the layout of the files nor on the decoder.
    """
    digest = hashlib.sha256()
    encoder, generator = TensorFile.open(ve), TensorFile.open(s3gen)
    chosen = [(encoder, name) for name in sorted(encoder)]
    chosen += [(generator, name) for name in IDENTITY_TENSORS]
    for file, name in chosen:
        array = file.raw(name)
        digest.update(f"{name} {file[name].dtype} {file[name].shape}\n".encode())
        digest.update(array.tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def verify(
    folder: Path,
    progress: Callable[[VerifyProgress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> list[VerifyLine]:
    """Check a model's files: against their hashes, or by structure where none are recorded.

    Raises ModelError where it is no model at all, CancelledError.
    """
    _check_folder(folder)
    kind = _kind(_settings(folder))
    manifest = read_manifest(folder)
    if manifest is None:
        return [_structure(part, path) for part, path in _files(folder, kind).items()]
    unknown = set(FILES[kind].values()) - set(manifest.files)
    lines = [VerifyLine(name, False, "not in the manifest") for name in sorted(unknown)]
    return verify_files(folder, manifest, progress, cancel) + lines


def _structure(part: str, path: Path) -> VerifyLine:
    try:
        if part in _TENSOR_FILES:
            TensorFile.open(path)
        else:
            json.loads(path.read_text("utf-8"))
    except (ModelError, OSError, ValueError) as error:
        return VerifyLine(path.name, False, str(error))
    return VerifyLine(path.name, True, "structure is sound; no manifest to compare the bytes with")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", _DOWNLOAD)
    parts = sorted(path.name for path in folder.glob("*" + PART))
    if parts or folder.suffix == INCOMING:
        raise ModelError(
            f"{folder} is half downloaded" + (f" ({', '.join(parts)})." if parts else "."),
            "Go on with: cbflash models download",
        )


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not readable JSON: {error}.", "Fetch the model again."
        ) from None
    if not isinstance(data, dict):
        raise ModelError(f"{path} does not hold a JSON object.", "Fetch the model again.")
    return data


def _kind(settings: Mapping[str, Any]) -> Kind:
    return "converted" if "format" in settings else "release"


def _check_format(folder: Path, settings: Mapping[str, Any]) -> None:
    found, version = settings["format"], settings.get("version")
    if found != CONVERTED_FORMAT:
        raise ModelError(f"{folder / CONFIG} has the unknown format {found!r}.", _CONVERT)
    if type(version) is not int or version < 1:
        raise ModelError(f"{folder / CONFIG} has the version {version!r}.", _CONVERT)
    if version > CONVERTED_VERSION:
        raise ModelError(
            f"{folder} has version {version}; this cbflash reads up to {CONVERTED_VERSION}.",
            "Update cbflash, or convert the model again.",
        )


def _files(folder: Path, kind: Kind) -> dict[str, Path]:
    files = {part: folder / name for part, name in FILES[kind].items()}
    missing = [path.name for path in files.values() if not path.is_file()]
    if not missing:
        return files
    if kind == "release" and (folder / FILES["converted"]["t3"]).is_file():
        missing = [CONFIG]  # of a converted folder, which nothing else tells from a release
    hint = _CONVERT if kind == "converted" else _DOWNLOAD
    if (folder / AUTOREGRESSIVE).is_file():
        hint = "It is the autoregressive Chatterbox; cbflash-distill makes a model of it."
    raise ModelError(f"{folder} is no complete model: {_and(missing)} missing.", hint)


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _text(folder: Path, settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    if not isinstance(value, str) or not value:
        raise ModelError(f"{folder / CONFIG} has no usable {key!r}.", _CONVERT)
    return value


def _object(folder: Path, settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = settings.get(key)
    if not isinstance(value, dict):
        raise ModelError(f"{folder / CONFIG} has no usable {key!r}.", _CONVERT)
    return value
