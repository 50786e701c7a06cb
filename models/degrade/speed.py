"""Speed: tape that jumps, wavers or drags, and converters that lose their clock.

Conventions. Speed is relative to the right one: 1.05 plays a semitone too high, nearly. Its greatest deviation is 2 %
(faint: a third of a semitone, heard on held notes), 5 % (middle) or 10 % (strong); wow, which comes and goes 0.5 to 4
times a second, has 0.6 %, 2 % and 5 %. Samples are read between samples with a windowed sinc of TAPS samples. The music
before the event is untouched; what comes after stands later or earlier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.event import Degraded, FloatArray, Rng, between, events_of, heard_start, lasting

DEVIATION = (0.02, 0.05, 0.1)
WOW = (0.006, 0.02, 0.05)
LASTING_S = (0.6, 1.2, 2.0)
KINDS = ("step", "step", "wow", "wow", "drag", "clock")
TAPS = 32
CHUNK = 1 << 15
CLOCKS = (44100 / 48000, 48000 / 44100, 32000 / 44100, 44100 / 32000)


def speed_jump(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One stretch at a wrong speed, all channels."""
    kind = str(rng.choice(KINDS))
    long = 3.0 if kind == "wow" else 0.15 if kind == "clock" else 1.0
    frames = min(round(long * lasting(strength, *LASTING_S, rng) * rate_hz), len(samples) * 2 // 5)
    speed = curve(kind, frames, rate_hz, strength, rng)
    read = round(float(speed.sum()))
    positions = (np.cumsum(speed) - speed) * (
        read / float(speed.sum())
    )  # whole samples in all: the rest is not read anew
    start = heard_start(samples, read, rng, margin=TAPS)
    played = read_between(samples, start + positions)
    return Degraded(
        samples=np.concatenate([samples[:start], np.clip(played, -1, 1), samples[start + read :]]),
        events=events_of("speed_jump", [(start, start + frames)], rate_hz),
        reference=samples,
        moved_from_s=start / rate_hz,
    )


def curve(kind: str, frames: int, rate_hz: int, strength: float, rng: Rng) -> npt.NDArray[np.float64]:
    """The speed of each frame played, [frames]."""
    t = np.arange(frames) / rate_hz
    by = between(strength, *(WOW if kind == "wow" else DEVIATION)) * rng.uniform(0.8, 1.2)
    if kind == "wow":
        return np.asarray(1 + by * np.sin(2 * np.pi * rng.uniform(0.5, 4) * t + rng.uniform(0, 2 * np.pi)))
    if kind == "step":
        return np.full(frames, 1 + by * rng.choice([-1, 1]))
    if kind == "clock":
        return np.full(frames, float(rng.choice(CLOCKS)))
    ramp = np.minimum(1, np.minimum(t / 0.05, (frames / rate_hz - t) / 0.3))
    return np.asarray(1 - 2 * by * np.maximum(ramp, 0))


def read_between(samples: FloatArray, positions: npt.NDArray[np.float64]) -> FloatArray:
    """`samples` [frames, channels] at fractional frames, [positions, channels]; beyond the ends the last ones hold."""
    taps = np.arange(TAPS) - TAPS // 2 + 1
    out = np.empty((len(positions), samples.shape[1]), np.float32)
    for at in range(0, len(positions), CHUNK):
        where = positions[at : at + CHUNK]
        whole = np.floor(where).astype(np.int64)
        distance = taps - (where - whole)[:, None]  # [chunk, taps]
        weights = np.sinc(distance) * np.cos(np.pi * distance / (TAPS + 2)) ** 2
        weights /= weights.sum(axis=1, keepdims=True)
        frames = np.clip(whole[:, None] + taps, 0, len(samples) - 1)
        for channel in range(samples.shape[1]):
            out[at : at + CHUNK, channel] = np.einsum("ij,ij->i", samples[frames, channel], weights)
    return out
