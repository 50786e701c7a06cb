"""Speech taken apart and put together again: the WORLD vocoder (Morise, Yokomori and Ozawa 2016), by pyworld.

Conventions. Frames come every 5 ms. An envelope is the logarithm of a power spectrum, [frames, 1025] from 0 to
22.05 kHz; aperiodicity, of the same shape, is the share of noise in amplitude, 0 to 1. Speech comes at espeak-ng's
22.05 kHz; what lies above its 11 kHz is made up here, for a voice that ended there would be known by that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.synthesis.tools import package

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FRAME_S = 0.005
RATE_HZ, FFT = 44100, 2048
BINS = FFT // 2 + 1
SPOKEN_RATE_HZ, SPOKEN_FFT = 22050, 1024  # of the same width of bins as RATE_HZ and FFT
LOWEST_HZ, HIGHEST_HZ = 70.0, 500.0  #: of speech
TRUSTED_HZ = (8000.0, 10000.0)  #: where the level is measured that goes on above
FALL_DB_PER_KHZ = {True: 2.0, False: 0.8}  #: from there on, by voicing
HZ = np.arange(BINS) * RATE_HZ / FFT


@dataclass(frozen=True)
class Sound:
    """A sound as WORLD sees it."""

    voiced: BoolArray  #: [frames]
    envelope: FloatArray  #: [frames, 1025], natural logarithm of power
    aperiodicity: FloatArray  #: [frames, 1025]


def analyse(samples: FloatArray) -> Sound:
    """Takes speech apart.

    Args:
        samples: [n], at 22.05 kHz.
    """
    world = package("pyworld")
    rough_hz, times_s = world.dio(samples, SPOKEN_RATE_HZ, LOWEST_HZ, HIGHEST_HZ, frame_period=FRAME_S * 1000)
    f0_hz = world.stonemask(samples, rough_hz, times_s, SPOKEN_RATE_HZ)
    power = world.cheaptrick(samples, f0_hz, times_s, SPOKEN_RATE_HZ, fft_size=SPOKEN_FFT)  # [frames, 513]
    noise = world.d4c(samples, f0_hz, times_s, SPOKEN_RATE_HZ, fft_size=SPOKEN_FFT)
    voiced = f0_hz > 0
    return Sound(voiced, _extended(np.log(power + 1e-16), voiced), _topped(noise))


def _extended(envelope: FloatArray, voiced: BoolArray) -> FloatArray:
    """The envelope [frames, 513] up to 22 kHz, [frames, 1025]: from 10 kHz on it falls as `FALL_DB_PER_KHZ` says."""
    low, high = (int(np.searchsorted(HZ, hz)) for hz in TRUSTED_HZ)
    level = envelope[:, low:high].mean(axis=1, keepdims=True)
    fall_db = np.where(voiced, FALL_DB_PER_KHZ[True], FALL_DB_PER_KHZ[False])[:, None]
    above_khz = (HZ[high:] - np.mean(TRUSTED_HZ)) / 1000
    return np.hstack([envelope[:, :high], level - fall_db * above_khz * np.log(10) / 10])


def _topped(noise: FloatArray) -> FloatArray:
    """Aperiodicity [frames, 513] to [frames, 1025]: the top goes on."""
    high = int(np.searchsorted(HZ, TRUSTED_HZ[1]))
    return np.hstack([noise[:, :high], np.repeat(noise[:, high - 1 : high], BINS - high, axis=1)])


def synthesise(f0_hz: FloatArray, envelope: FloatArray, aperiodicity: FloatArray) -> FloatArray:
    """The sound, at 44.1 kHz, of a pitch in Hz [frames] (0.0 where unvoiced) and of spectra [frames, 1025].

    It has about 220.5 samples for each frame.
    """
    arrays = (np.ascontiguousarray(array, np.float64) for array in (f0_hz, np.exp(envelope), aperiodicity))
    return np.asarray(package("pyworld").synthesize(*arrays, RATE_HZ, FRAME_S * 1000), np.float64)
