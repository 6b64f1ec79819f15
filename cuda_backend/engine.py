"""The PyTorch engine: `cbflash.engine.Engine` on NVIDIA GPUs and on CPUs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cbflash.audio import Clip
from cbflash.checkpoint import Checkpoint
from cbflash.conditioning import make_voice
from cbflash.config import ModelConfig
from cbflash.decoding import BlockLoop
from cbflash.engine import (
    BlockResult,
    EngineInfo,
    EngineOptions,
    FloatArray,
    Prompt,
    StepResult,
    Utterance,
)
from cbflash.errors import UsageError
from cbflash.settings import Sampling
from cbflash.voice import Voice
from cuda_backend.decode import Decoder
from cuda_backend.device import describe_device
from cuda_backend.failures import guarded, told_failures
from cuda_backend.graph import Runner
from cuda_backend.machine import Machine
from cuda_backend.model import Chatterbox
from cuda_backend.vocoder import Renderer, TorchVocoder
from cuda_backend.weights import load_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ClipEncoders:
    """`cbflash.conditioning.Encoders`: the networks that hear a reference clip."""

    def __init__(self, model: Chatterbox) -> None:
        self._model = model

    def speech_tokens(self, log_mel: FloatArray) -> npt.NDArray[np.int32]:
        tokens = self._model.s3tokenizer(self._tensor(log_mel.T)[None])
        return tokens[0].cpu().numpy().astype(np.int32)

    def x_vector(self, fbank: FloatArray) -> FloatArray:
        return self._array(self._model.xvector(self._tensor(fbank)[None])[0])

    def speaker_embedding(self, windows: FloatArray) -> FloatArray:
        return self._array(self._model.voice_encoder(self._tensor(windows)))

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._model.t3.device)

    def _array(self, tensor: Tensor) -> FloatArray:
        array: FloatArray = tensor.cpu().numpy()
        return array


class TorchEngine:
    """A model in PyTorch."""

    def __init__(
        self,
        model: Chatterbox,
        info: EngineInfo,
        config: ModelConfig,
        runner: Runner,
        together: int,
    ) -> None:
        self.info = info
        self.config = config
        self._decoder = Decoder(model.t3, runner)
        self._encoders = ClipEncoders(model)
        self._renderer = Renderer(model, runner, together)

    @classmethod
    def load(cls, folder: str, options: EngineOptions, machine: Machine) -> TorchEngine:
        """Load a release folder. Raises ModelError, EngineError."""
        checkpoint = Checkpoint.open(Path(folder))
        if options.bits is not None:
            raise UsageError(
                "This engine does not quantise.", "Leave out --bits, or choose --backend mlx."
            )
        dtype = machine.dtype if options.dtype is None else DTYPES[options.dtype]
        with told_failures(machine.memory_remedy(checkpoint.config, dtype)):
            model = load_model(checkpoint, dtype, machine.device)
            runner = machine.runner(checkpoint.config.t3, dtype)
        info = EngineInfo(
            backend=machine.name,
            device=describe_device(machine.device),
            dtype=str(dtype).removeprefix("torch."),
            bits=None,
            model=checkpoint.name,
            model_id=checkpoint.model_id,
            memory=model.bytes,
            note=" ".join(machine.notes),
        )
        return cls(model, info, checkpoint.config, runner, machine.together)

    def encode_voice(self, clip: Clip) -> Voice:
        with told_failures():
            return make_voice(
                clip,
                self._encoders,
                model_id=self.info.model_id,
                engine=self.info.backend,
                prompt_tokens_limit=self.config.t3.prompt_tokens,
            )

    def decode(
        self, prompts: Sequence[Prompt], sampling: Sampling
    ) -> Generator[StepResult | BlockResult, None, None]:
        return guarded(BlockLoop(self._decoder, self.config.t3, sampling).run(prompts))

    def vocoder(self, voice: Voice, sampling: Sampling, seed: int) -> TorchVocoder:
        return TorchVocoder(self._renderer, voice, sampling, seed)

    def render(self, utterances: Sequence[Utterance], sampling: Sampling) -> list[FloatArray]:
        return self._renderer.render(utterances, sampling)
