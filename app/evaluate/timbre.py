"""The colour of a voice from its mean spectrum: how far two are apart, and how long a throat.

Both need some seconds of speech, so that what is said averages out.
"""

from __future__ import annotations

import functools

import numpy as np

from cbflash.audio import Samples, resample
from cbflash.spectrum import Doubles, hann, map_frames, power

_RATE = 16_000
_SIZE = 1024  # 64 ms: harmonics are smoothed by the bands, not by the window
_HOP = 256
_LOWEST, _HIGHEST = 150.0, 6800.0  # Hz
_PER_OCTAVE = 24  # bands, each a third of an octave wide at half its height
_WIDTH = 1 / 3
_QUIET = 1e-3  # of the loudest frame's power (30 dB)
_FARTHEST = 0.6  # octaves that spectra are shifted against each other


def spectral_distance(first: Samples, second: Samples, sample_rate: int) -> float:
    """RMS difference of two mean spectra in dB, loudness apart; 0.0 for the same voice."""
    return spectra_apart(mean_spectrum(first, sample_rate), mean_spectrum(second, sample_rate))


def spectra_apart(one: Doubles, other: Doubles) -> float:
    """`spectral_distance` of two mean spectra, dB [bands]."""
    return float(np.sqrt(np.mean(np.square(one - other))))


def tract_ratio(first: Samples, second: Samples, sample_rate: int) -> float:
    """How many times higher the formants of the second voice are: above 1.0 is a smaller head.

    The shift along the logarithm of frequency at which the mean spectra, slope removed, agree
    best. Found between 0.667 and 1.498, and coarse: voices differ in more than size.
    """
    return tracts_apart(mean_spectrum(first, sample_rate), mean_spectrum(second, sample_rate))


def tracts_apart(one: Doubles, other: Doubles) -> float:
    """`tract_ratio` of two mean spectra, dB [bands]."""
    one, other = _detrended(one), _detrended(other)
    reach = round(_FARTHEST * _PER_OCTAVE)
    likeness = np.array([_likeness(one, other, shift) for shift in range(-reach, reach + 1)])
    return float(2.0 ** ((_highest(likeness) - reach) / _PER_OCTAVE))


def _highest(curve: Doubles) -> float:
    """Where a curve is highest, between its points; at an end, that end."""
    best = int(curve.argmax())
    if not 0 < best < len(curve) - 1:
        return float(best)
    left, here, right = curve[best - 1 : best + 2]
    bend = left - 2 * here + right
    return best + (0.5 * (left - right) / bend if bend < 0 else 0.0)


def mean_spectrum(samples: Samples, sample_rate: int) -> Doubles:
    """Mean of the logarithmic spectra of all frames that are not silent: dB [bands], mean 0.

    Raises ValueError for sound shorter than one frame (64 ms).
    """
    sound = resample(np.asarray(samples, np.float32), sample_rate, _RATE)
    bands = map_frames(sound, _SIZE, _HOP, lambda frames: power(frames, hann(_SIZE), _SIZE))
    if not len(bands):
        raise ValueError(f"{len(sound) / _RATE:.3f} s of sound are too short for a spectrum")
    level = bands.sum(axis=1)
    heard = bands[level >= _QUIET * level.max()]
    decibels = 10.0 * np.log10(heard.astype(np.float64) @ _bank().T + 1e-12)
    spectrum: Doubles = decibels.mean(axis=0)
    spectrum -= spectrum.mean()
    return spectrum


@functools.cache
def _bank() -> Doubles:
    """Triangles along the logarithm of frequency: [bands, bins], each of sum 1."""
    octaves = np.log2(_HIGHEST / _LOWEST)
    centres = np.log2(_LOWEST) + np.arange(int(octaves * _PER_OCTAVE) + 1) / _PER_OCTAVE
    bins = np.log2(np.maximum(np.arange(_SIZE // 2 + 1) * (_RATE / _SIZE), 1.0))
    bank: Doubles = np.maximum(0.0, 1.0 - np.abs(bins[None] - centres[:, None]) / _WIDTH)
    bank /= bank.sum(axis=1, keepdims=True)
    return bank


def _detrended(spectrum: Doubles) -> Doubles:
    """Without its slope: microphones and effort change that, throats do not."""
    places = np.arange(len(spectrum))
    slope, offset = np.polyfit(places, spectrum, 1)
    flat: Doubles = spectrum - slope * places - offset
    return flat


def _likeness(one: Doubles, other: Doubles, shift: int) -> float:
    """Correlation of what overlaps when `other` is moved down by `shift` bands."""
    low = one[max(0, -shift) : len(one) - max(0, shift)]
    high = other[max(0, shift) : len(other) - max(0, -shift)]
    return float(np.corrcoef(low, high)[0, 1])
