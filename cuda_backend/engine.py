"""The PyTorch engine: `cbflash.engine.Engine` on NVIDIA GPUs and on CPUs."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
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
    Steps,
    Utterance,
)
from cbflash.errors import UsageError
from cbflash.settings import Sampling
from cbflash.streaming import StreamingVocoder
from cbflash.voice import Voice
from cuda_backend.decode import Decoder
from cuda_backend.device import describe_device
from cuda_backend.failures import guarded, told_failures
from cuda_backend.graph import Runner
from cuda_backend.machine import Machine
from cuda_backend.model import Chatterbox
from cuda_backend.render import Renderer
from cuda_backend.vocoder import Networks
from cuda_backend.weights import load_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ClipEncoders:
    """`cbflash.conditioning.Encoders`: the networks that hear a reference clip."""

    def __init__(self, model: Chatterbox) -> None:
        self._model = model
        self._device = next(model.xvector.parameters()).device

    def speech_tokens(self, log_mel: FloatArray) -> npt.NDArray[np.int32]:
        tokens = self._model.s3tokenizer(self._tensor(log_mel.T)[None])
        ids: npt.NDArray[np.int32] = tokens[0].to(torch.int32).cpu().numpy()
        return ids

    def x_vector(self, fbank: FloatArray) -> FloatArray:
        return self._array(self._model.xvector(self._tensor(fbank)[None])[0])

    def speaker_embedding(self, windows: FloatArray) -> FloatArray:
        return self._array(self._model.voice_encoder(self._tensor(windows)))

    def _tensor(self, array: FloatArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

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
        self.config = config
        self._info = info
        self._runner = runner
        self._decoder = Decoder(model.t3, runner)
        self.encoders = ClipEncoders(model)
        self._renderer = Renderer(model, runner, together)
        self.networks = Networks(model, runner)

    @classmethod
    def load(cls, folder: str, options: EngineOptions, machine: Machine) -> TorchEngine:
        """Load a release folder. Raises ModelError, EngineError."""
        checkpoint = Checkpoint.open(Path(folder))
        if options.bits is not None:
            raise UsageError(
                "This engine does not quantise.", "Leave out --bits, or choose --backend mlx."
            )
        dtype = machine.dtype if options.dtype is None else DTYPES[options.dtype]
        with told_failures():
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
        engine = cls(model, info, checkpoint.config, runner, machine.together)
        seconds = engine.warm()
        if runner.records and not runner.notes:
            runner.notes.append(f"Blocks run as CUDA graphs, made ready in {seconds:.1f} s.")
        return engine

    @property
    def info(self) -> EngineInfo:
        notes = [self._info.note, *self._runner.notes]
        return replace(self._info, note=" ".join(note for note in notes if note))

    def warm(self) -> float:
        """Do what is done only once, before somebody waits for it; gives the seconds it took."""
        begun = time.perf_counter()
        with told_failures():
            self._decoder.warm(silence(self.config), Sampling())
        return time.perf_counter() - begun

    def encode_voice(self, clip: Clip) -> Voice:
        with told_failures():
            return make_voice(
                clip,
                self.encoders,
                model_id=self.info.model_id,
                engine=self.info.backend,
                prompt_tokens_limit=self.config.t3.prompt_tokens,
            )

    def decode(
        self, prompts: Sequence[Prompt], sampling: Sampling, steps: Steps | None = None
    ) -> Generator[StepResult | BlockResult, None, None]:
        work = BlockLoop(self._decoder, self.config.t3, sampling, steps).run(prompts)
        return guarded(work, lambda: self._decoder.smaller_batch(prompts, sampling))

    def vocoder(self, voice: Voice, sampling: Sampling, seed: int) -> StreamingVocoder:
        utterance = Utterance((), voice, seed)
        return StreamingVocoder(self.networks, self.config, utterance, sampling)

    def render(self, utterances: Sequence[Utterance], sampling: Sampling) -> list[FloatArray]:
        return self._renderer.render(utterances, sampling)


def silence(config: ModelConfig) -> Prompt:
    """A text of one letter for a voice of zeros: to try an engine with, not to be heard."""
    t3 = config.t3
    voice = Voice(
        name="silence",
        created="",
        model_id="",
        source_hash="",
        engine="",
        seconds=0.0,
        speaker_embedding=np.zeros(t3.speaker_dim, np.float32),
        prompt_tokens=np.zeros(t3.prompt_tokens, np.int32),
        s3_tokens=np.zeros(1, np.int32),
        s3_mel=np.zeros((2, config.flow.mels), np.float32),
        x_vector=np.zeros(config.xvector.embedding, np.float32),
    )
    return Prompt((t3.start_text, 1, t3.stop_text), voice, 2 * t3.block_size)
