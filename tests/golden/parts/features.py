"""The front ends on test signals, and what each network of the release is fed of a clip."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import librosa
import numpy as np
import soundfile
import torch
import torchaudio
from chatterbox.models.s3gen.s3gen import S3Token2Mel
from chatterbox.models.s3gen.utils.mel import mel_spectrogram
from chatterbox.models.s3gen.xvector import CAMPPlus
from chatterbox.models.s3tokenizer import S3Tokenizer
from chatterbox.models.voice_encoder import VoiceEncoder
from chatterbox.models.voice_encoder.melspec import melspectrogram
from chatterbox_flash.tts import ChatterboxFlashTTS
from torchaudio.compliance import kaldi

from tests.signals import CLIPS, RATES, clip, voice_like


def make(folder: Path) -> None:
    torch.manual_seed(0)
    released = Released()
    arrays = {**banks(), **front_ends(released), **resampled(), **clips(released)}
    for name, array in arrays.items():
        print(f"  {name} {array.dtype} {array.shape}")
    np.savez_compressed(folder / "features.npz", **arrays)


class Released:
    """The released pipeline around the encoders, whose weights do not matter here."""

    def __init__(self) -> None:
        self.tokenizer = S3Tokenizer().eval()
        self.x_vector = CAMPPlus(memory_efficient=False).eval()
        self.voice_encoder = VoiceEncoder().eval()
        s3gen = SimpleNamespace(
            device=torch.device("cpu"),
            dtype=torch.float32,
            mel_extractor=mel_spectrogram,
            speaker_encoder=self.x_vector,
            tokenizer=self.tokenizer,
        )
        s3gen.embed_ref = lambda *given, **named: S3Token2Mel.embed_ref(s3gen, *given, **named)
        t3 = SimpleNamespace(
            hp=SimpleNamespace(speech_cond_prompt_len=150),
            parameters=lambda: iter([torch.zeros(1)]),
        )
        self.tts = SimpleNamespace(device="cpu", s3gen=s3gen, t3=t3, ve=self.voice_encoder)

    def listen(self, path: Path) -> dict[str, np.ndarray]:
        """What the networks are fed of a file, and what the vocoder gets beside them."""
        with (
            torch.inference_mode(),
            patch.object(self.tokenizer, "quantize", wraps=self.tokenizer.quantize) as tokens,
            patch.object(self.x_vector, "forward", wraps=self.x_vector.forward) as x_vector,
            patch.object(self.voice_encoder, "forward", wraps=self.voice_encoder.forward) as ve,
        ):
            conditionals = ChatterboxFlashTTS.prepare_conditionals(self.tts, path)
        flow_mel, prompt_mel = (call.args[0][0].numpy() for call in tokens.call_args_list)
        return {
            "flow_log_mel": flow_mel,
            "prompt_log_mel": prompt_mel,
            "fbank": x_vector.call_args.args[0][0].numpy(),
            "windows": np.concatenate([call.args[0].numpy() for call in ve.call_args_list]),
            "s3_mel": conditionals.gen["prompt_feat"][0].numpy(),
            "s3_tokens": conditionals.gen["prompt_token"][0].numpy(),
            "prompt_tokens": conditionals.t3.cond_prompt_speech_tokens[0].numpy(),
        }


def banks() -> dict[str, np.ndarray]:
    kaldi_bank, _ = kaldi.get_mel_banks(80, 512, 16000.0, 20.0, 0.0, 100.0, -500.0, 1.0)
    return {
        "slaney_80": librosa.filters.mel(sr=24000, n_fft=1920, n_mels=80, fmax=8000),
        "slaney_128": librosa.filters.mel(sr=16000, n_fft=400, n_mels=128),
        "kaldi_80": kaldi_bank.numpy(),
    }


def front_ends(released: Released) -> dict[str, np.ndarray]:
    sound24 = voice_like(2.5, 24_000)
    sound16 = voice_like(2.5, 16_000)
    tensor16 = torch.from_numpy(sound16)[None]
    _, bounds = librosa.effects.trim(sound16, top_db=20)
    fbank = kaldi.fbank(tensor16, num_mel_bins=80)
    return {
        "reference_mel": mel_spectrogram(sound24)[0].T.numpy(),
        "s3_log_mel": released.tokenizer.log_mel_spectrogram(tensor16)[0].numpy(),
        "fbank": fbank.numpy(),
        "fbank_centred": (fbank - fbank.mean(dim=0, keepdim=True)).numpy(),
        "trim": bounds,
        "voice_encoder_mel": melspectrogram(sound16, released.voice_encoder.hp).T,
    }


def resampled() -> dict[str, np.ndarray]:
    sinc = torchaudio.transforms.Resample(24_000, 16_000)
    arrays = {"sinc": sinc(torch.from_numpy(voice_like(1.0, 24_000)[:-1])).numpy()}
    for source, target in RATES:
        sound = voice_like(0.4, source)[:-1]
        arrays[f"soxr_{source}"] = librosa.resample(sound, orig_sr=source, target_sr=target)
    return arrays


def clips(released: Released) -> dict[str, np.ndarray]:
    """The first clip in full, of the others the shapes."""
    arrays: dict[str, np.ndarray] = {}
    for number, (_, rate, _) in enumerate(CLIPS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.wav"
            soundfile.write(path, clip(number), rate, subtype="FLOAT")
            heard = released.listen(path)
        for name, array in heard.items():
            if name.endswith("tokens"):
                arrays[f"clip_{number}_{name}"] = np.array(len(array))
            elif number == 0:
                arrays[f"clip_{number}_{name}"] = array
            else:
                arrays[f"clip_{number}_{name}"] = array[::9, ::13]
                arrays[f"clip_{number}_{name}_shape"] = np.array(array.shape)
    return arrays
