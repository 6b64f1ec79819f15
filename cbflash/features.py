"""The front ends: what the encoders of a reference clip are fed.

Every function takes float32 samples [n], mono, at the rate its argument names, gives float32,
and equals the front end of the released package that its docstring names. They run on
bounded memory, whatever the length.
"""

from __future__ import annotations

import functools

import numpy as np

from cbflash.spectrum import (
    Doubles,
    Floats,
    hann,
    kaldi_mel_bank,
    map_frames,
    power,
    slaney_mel_bank,
)

REFERENCE_RATE = 24_000
REFERENCE_HOP = 480  # 50 frames a second
REFERENCE_FFT = 1920
REFERENCE_MELS = 80

ENCODER_RATE = 16_000  # of the speech tokenizer, the x-vector and the voice encoder
ENCODER_HOP = 160  # 100 frames a second
ENCODER_FFT = 400

TOKENIZER_MELS = 128
TOKENIZER_FRAMES = 4  # a speech token

XVECTOR_MELS = 80
XVECTOR_FFT = 512
XVECTOR_LOWEST = 20.0  # Hz

VOICE_MELS = 40
VOICE_WINDOW = 160  # frames: 1.6 s
VOICE_STEP = 77  # frames: 1.3 windows a second
VOICE_COVERAGE = 0.8  # a last window with less sound than this is left out

TRIM_DECIBELS = 20.0  # below the loudest frame
TRIM_FRAME = 2048
TRIM_HOP = 512

SINC_ZEROS = 6
SINC_BANDWIDTH = 0.99 * 2  # zeros in the time of three samples at 24 kHz, two at 16 kHz
SINC_REACH = 10  # samples to either side: where the sixth zero is, rounded up


def reference_mel(samples24k: Floats) -> Floats:
    """Log-mel of the flow and the vocoder: [n // 480, 80], natural logarithm of magnitudes.

    Source: released s3gen/utils/mel.py (reflected 720 samples at both ends, not centred).
    """
    bank = slaney_mel_bank(REFERENCE_RATE, REFERENCE_FFT, REFERENCE_MELS, 8000.0).T
    window = hann(REFERENCE_FFT)

    def log_mel(frames: Doubles) -> Doubles:
        magnitude = np.sqrt(power(frames, window, REFERENCE_FFT) + 1e-9)
        return np.log(np.maximum(magnitude @ bank, 1e-5))

    edge = (REFERENCE_FFT - REFERENCE_HOP) // 2
    padded = np.pad(samples24k, edge, mode="reflect")
    return map_frames(padded, REFERENCE_FFT, REFERENCE_HOP, log_mel)


def s3_log_mel(samples16k: Floats, tokens: int | None = None) -> Floats:
    """Log-mel of the speech tokenizer: [128, n // 160], at most 4 frames for each of `tokens`.

    The floor is 8 decades below the loudest value of the whole signal, also of the frames
    that are then cut off. Source: released s3tokenizer.py, log_mel_spectrogram and forward.
    """
    mel = _encoder_mel(samples16k, TOKENIZER_MELS)[:-1]  # the last centred frame is left out
    logs = np.log10(np.maximum(mel, np.float32(1e-10)))
    floor = logs.max(initial=-10.0) - 8.0
    frames = None if tokens is None else TOKENIZER_FRAMES * tokens
    scaled = (np.maximum(logs[:frames], floor) + 4.0) / 4.0
    return np.ascontiguousarray(scaled.T, np.float32)


def voice_encoder_mel(samples16k: Floats) -> Floats:
    """Mel power of the voice encoder, no logarithm: [1 + n // 160, 40].

    Source: released voice_encoder/melspec.py and config.py.
    """
    return _encoder_mel(samples16k, VOICE_MELS)


def _encoder_mel(samples16k: Floats, mels: int) -> Floats:
    """Mel power [1 + n // 160, mels] over centred frames of 25 ms, reflected at the ends."""
    bank = slaney_mel_bank(ENCODER_RATE, ENCODER_FFT, mels, 8000.0).T
    window = hann(ENCODER_FFT)
    padded = np.pad(samples16k, ENCODER_FFT // 2, mode="reflect")
    return map_frames(
        padded, ENCODER_FFT, ENCODER_HOP, lambda frames: power(frames, window, ENCODER_FFT) @ bank
    )


def trim_silence(samples16k: Floats) -> Floats:
    """A view without the quiet ends: frames 20 dB below the loudest one are quiet.

    Source: librosa.effects.trim(top_db=20), as the released voice encoder calls it.
    """
    padded = np.pad(samples16k, TRIM_FRAME // 2)
    mean_square = map_frames(
        padded, TRIM_FRAME, TRIM_HOP, lambda frames: np.square(frames).mean(axis=1, keepdims=True)
    )
    decibels = 10.0 * np.log10(np.maximum(mean_square[:, 0].astype(np.float64), 1e-10))
    loud = np.flatnonzero(decibels - decibels.max() > -TRIM_DECIBELS)
    return samples16k[loud[0] * TRIM_HOP : (loud[-1] + 1) * TRIM_HOP]


def voice_encoder_windows(mel: Floats) -> Floats:
    """Overlapping windows of the voice encoder: [frames, 40] -> [windows, 160, 40].

    One window begins every 77 frames; the last is filled up with zeros, or left out where
    less than 0.8 of it would be sound. There is always at least one.
    Source: released voice_encoder.py, get_num_wins and stride_as_partials.
    """
    count, rest = divmod(max(len(mel) - VOICE_WINDOW + VOICE_STEP, 0), VOICE_STEP)
    covered = (rest + VOICE_WINDOW - VOICE_STEP) / VOICE_WINDOW
    if count == 0 or covered >= VOICE_COVERAGE:
        count += 1
    length = VOICE_WINDOW + VOICE_STEP * (count - 1)
    filled = np.pad(mel[:length], ((0, max(0, length - len(mel))), (0, 0)))
    begins = range(0, count * VOICE_STEP, VOICE_STEP)
    return np.stack([filled[begin : begin + VOICE_WINDOW] for begin in begins])


def kaldi_fbank(samples16k: Floats) -> Floats:
    """Log filter bank of the x-vector: [1 + (n - 400) // 160, 80], no row below 25 ms.

    Each frame loses its mean, is pre-emphasised by 0.97 and windowed by a symmetric Hann
    window to the power 0.85. No dither; full scale is 1.0.
    Source: torchaudio.compliance.kaldi.fbank(num_mel_bins=80), as released xvector.py calls it.
    """
    bank = kaldi_mel_bank(ENCODER_RATE, XVECTOR_FFT, XVECTOR_MELS, XVECTOR_LOWEST).T
    window = hann(ENCODER_FFT, periodic=False)[1:] ** 0.85  # the first sample would count zero
    smallest = float(np.finfo(np.float32).eps)

    def log_bank(frames: Doubles) -> Doubles:
        centred = frames - frames.mean(axis=1, keepdims=True)
        emphasised = centred[:, 1:] - 0.97 * centred[:, :-1]
        return np.log(np.maximum(power(emphasised, window, XVECTOR_FFT) @ bank, smallest))

    return map_frames(samples16k, ENCODER_FFT, ENCODER_HOP, log_bank)


def subtract_mean(fbank: Floats) -> Floats:
    """Take the mean over time from every band: [frames, bands] -> [frames, bands]."""
    mean: Doubles = fbank.mean(axis=0, dtype=np.float64)
    return (fbank - mean).astype(np.float32)


def sinc_resample_24k_to_16k(samples24k: Floats) -> Floats:
    """Windowed-sinc interpolation: [n] at 24 kHz -> [ceil(2 n / 3)] at 16 kHz.

    Source: torchaudio Resample(24000, 16000), which the released S3Gen uses: its prompt and
    the x-vector are made of this signal, T3's prompt of soxr's.
    """
    kernels = _sinc_kernels().T
    padded = np.pad(samples24k, (SINC_REACH, SINC_REACH + 3))
    pairs = map_frames(padded, len(kernels), 3, lambda frames: frames @ kernels)
    length = (2 * len(samples24k) + 2) // 3
    return pairs.reshape(-1)[:length]


@functools.cache
def _sinc_kernels() -> Doubles:
    """[2, 23]: of every three samples come two, each by a kernel of its own.

    A sinc at 0.99 of the new Nyquist frequency, cut by a Hann window at its sixth zero.
    """
    samples = np.arange(-SINC_REACH, SINC_REACH + 3)[None] / 3
    outputs = np.arange(2)[:, None] / 2
    zeros = np.clip((samples - outputs) * SINC_BANDWIDTH, -SINC_ZEROS, SINC_ZEROS)
    window = np.square(np.cos(zeros * np.pi / (2 * SINC_ZEROS)))
    kernels: Doubles = np.sinc(zeros) * window * (SINC_BANDWIDTH / 3)
    kernels.flags.writeable = False
    return kernels
