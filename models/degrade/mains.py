"""Mains hum: 50 or 60 Hz and its harmonics.

Conventions. The level is the RMS of the hum against that of the music: -32 dB (faint: heard in pauses), -20 dB (middle:
heard through soft music), -8 dB (strong). Kinds: `hum` (harmonics fall by 6 to 12 dB an octave), `buzz` (odd ones that
fall slowly, as of dimmers), `supply` (even ones, twice the mains: rectifiers). The mains wander by up to 0.1 %
(European grids keep within 0.4 %).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.clicks import stretch
from models.degrade.event import Degraded, FloatArray, Rng, columns, events_of, factor, rms, some_channel

LEVEL_DB = (-32.0, -20.0, -8.0)  #: faint, middle, strong
KINDS = ("hum", "hum", "buzz", "supply")
HIGHEST_HZ = 2000.0
WANDERS = 0.001


def hum(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Hum all along or for at least two seconds, in one channel or all."""
    channel = some_channel(samples.shape[1], rng, 0.25)
    start, stop = stretch(len(samples), rate_hz, 2.0, rng, 0.5)
    frequency_hz = float(rng.choice([50.0, 60.0]))
    wave = mains(stop - start, rate_hz, frequency_hz, str(rng.choice(KINDS)), rng)
    wave *= rms(samples) * factor(strength, *LEVEL_DB, rng) / max(rms(wave), 1e-12)
    ramp = round(float(rng.choice([0.0, 0.01, 0.1])) * rate_hz)
    if ramp and stop - start < len(samples):
        rise = np.minimum(1.0, (np.arange(stop - start) + 1) / ramp)
        wave *= rise * rise[::-1]
    out = samples.astype(np.float64)
    width = out[:, columns(channel)].shape[1]
    out[start:stop, columns(channel)] += wave[:, None] * np.where(np.arange(width) % 2, rng.choice([1.0, 0.7, -1.0]), 1)
    events = events_of("hum", [(start, stop)], rate_hz, channel)
    return Degraded(samples=np.clip(out, -1, 1).astype(np.float32), events=events, reference=samples)


def mains(frames: int, rate_hz: int, frequency_hz: float, kind: str, rng: Rng) -> npt.NDArray[np.float64]:
    """The wave [frames], at any level."""
    seconds = np.arange(frames) / rate_hz
    wander = rng.uniform(0, WANDERS) * np.sin(2 * np.pi * (rng.uniform(0.02, 0.2) * seconds + rng.random()))
    phase = 2 * np.pi * np.cumsum(frequency_hz * (1 + wander)) / rate_hz
    steps = {"hum": range(1, 12), "buzz": range(1, 41, 2), "supply": range(2, 25, 2)}[kind]
    falls = {"hum": rng.uniform(1, 2), "buzz": rng.uniform(0.4, 1), "supply": rng.uniform(0.7, 1.5)}[kind]
    wave = np.zeros(frames)
    for step in steps:
        if step * frequency_hz < min(HIGHEST_HZ, 0.45 * rate_hz):
            gain = step**-falls * 10 ** (rng.normal(0, 4) / 20 if step > min(steps) else 0)
            wave += gain * np.sin(step * phase + rng.uniform(0, 2 * np.pi))
    return wave
