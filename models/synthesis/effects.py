"""What a studio does to a voice: rooms, compression, tilt, and its place between left and right.

Conventions. Sounds are float64 at 44.1 kHz, [frames] if mono, [frames, 2] if stereo, and keep their length.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve, lfilter

FloatArray = npt.NDArray[np.float64]

RATE_HZ = 44100


def placed(mono: FloatArray, pan: float) -> FloatArray:
    """A mono sound as stereo [frames, 2], at constant power from pan -1.0 (left) to 1.0.

    >>> placed(np.ones(1), -1.0).round(6).tolist()
    [[1.0, 0.0]]
    """
    angle = (pan + 1) * np.pi / 4
    return np.stack([np.cos(angle) * mono, np.sin(angle) * mono], axis=1)


def room(decay_s: float, brightness: float, rng: np.random.Generator) -> FloatArray:
    """The impulse response [frames, 2] of a made-up room, of unit energy on each side.

    Noise that falls by 60 dB in `decay_s`, after some early reflections; the two sides differ, as in a real one.

    Args:
        brightness: 0 (dark) to 1: the coefficient of a one-pole low-pass filter.
    """
    frames = max(round(decay_s * RATE_HZ), 64)
    times_s = np.arange(frames) / RATE_HZ
    tail = rng.normal(0, 1, (frames, 2)) * 10 ** (-3 * times_s / decay_s)[:, None]
    delay = round(rng.uniform(0.008, 0.03) * RATE_HZ)
    tail[:delay] = 0
    early = rng.integers(64, max(min(frames, RATE_HZ // 12), 65), (6, 2))
    for side in (0, 1):
        tail[np.minimum(early[:, side], frames - 1), side] += rng.normal(0, 12, 6)
    dull = lfilter([brightness], [1, brightness - 1], tail, axis=0)
    return np.asarray(dull / np.sqrt(np.sum(dull**2, axis=0)))


def reverberated(stereo: FloatArray, response: FloatArray, wet_db: float) -> FloatArray:
    """The sound with its echo from a room, `wet_db` against the dry sound."""
    wet = fftconvolve(stereo, response, axes=0)[: len(stereo)]
    return np.asarray(stereo + 10 ** (wet_db / 20) * wet)


def compressed(sound: FloatArray, threshold_db: float, ratio: float) -> FloatArray:
    """A sound whose level above the threshold grows by 1/`ratio` only; the threshold is against its own loudest.

    Levels are followed with 20 ms, both ways: no attack is let through, and none is spoiled.
    """
    keep = np.exp(-1 / (0.02 * RATE_HZ))
    power = lfilter([1 - keep], [1, -keep], np.mean(sound.reshape(len(sound), -1) ** 2, axis=1))
    level_db = 10 * np.log10(power + 1e-12)
    over_db = np.maximum(level_db - level_db.max() - threshold_db, 0)
    gain = 10 ** (-(1 - 1 / ratio) * over_db / 20)
    return np.asarray(sound * gain.reshape(-1, *[1] * (sound.ndim - 1)))


def tilted(sound: FloatArray, db_per_octave: float) -> FloatArray:
    """The sound with its spectrum tilted about 1 kHz, between 60 Hz and 16 kHz."""
    spectrum = np.fft.rfft(sound, axis=0)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    gain = 10 ** (db_per_octave * np.log2(np.clip(hz, 60, 16000) / 1000) / 20)
    return np.asarray(np.fft.irfft(spectrum * gain.reshape(-1, *[1] * (sound.ndim - 1)), len(sound), axis=0))
