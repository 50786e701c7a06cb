"""Defects as anyone would make them in a few lines of NumPy, made without knowing how songscan looks for them.

Conventions. A maker takes samples, float32 [frames, channels] at `rate_hz`, a strength (0 faint, 1 middle, 2 strong),
and a generator; it gives the damaged samples and the stretches (start, stop) in frames of these, or None where it
cannot be done (one channel alone). They share nothing with models/degrade: other shapes, other levels, hard edges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator
Spans = list[tuple[int, int]]
Made = tuple[FloatArray, Spans] | None
Maker = Callable[[FloatArray, int, int, Rng], Made]

STRENGTHS = ("faint", "middle", "strong")


def loud(samples: FloatArray, frames: int, rng: Rng) -> int:
    """Where `frames` frames may begin: of twelve places in the middle half, the loudest."""
    last = max(3 * len(samples) // 4 - frames, len(samples) // 4 + 1)
    places = rng.integers(len(samples) // 4, last, 12)
    return int(max(places.tolist(), key=lambda at: float(np.mean(np.square(samples[at : at + max(frames, 500)])))))


def _rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + 1e-9


def click(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """One to four samples, or a pop of a few milliseconds that rings."""
    out, size = samples.copy(), (0.15, 0.3, 0.6)[strength]
    if rng.random() < 0.5:
        shape = np.array([1.0, -0.7, 0.4, -0.2])[: rng.integers(1, 5)]
    else:
        t = np.arange(round(0.004 * rate_hz)) / rate_hz
        shape = np.exp(-t / 0.001) * np.cos(2 * np.pi * rng.uniform(800, 4000) * t)
    at = loud(samples, len(shape), rng)
    out[at : at + len(shape)] += (size * shape * rng.choice([-1, 1]))[:, None].astype(np.float32)
    return out, [(at, at + len(shape))]


def crackle(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Fifteen single samples a second for four seconds."""
    out, length = samples.copy(), min(4 * rate_hz, len(samples) // 3)
    at = loud(samples, length, rng)
    places = at + rng.integers(0, length, 15 * length // rate_hz)
    out[places] += ((0.05, 0.12, 0.25)[strength] * rng.choice([-1, 1], len(places)))[:, None].astype(np.float32)
    return out, [(at, at + length)]


def dropout(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Zeros, or the last value held."""
    out, length = samples.copy(), round((0.005, 0.03, 0.2)[strength] * rng.uniform(0.7, 1.4) * rate_hz)
    at = loud(samples, length, rng)
    out[at : at + length] = 0 if rng.random() < 0.7 else out[at - 1]
    return out, [(at, at + length)]


def clipping(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Too much gain, hard at full scale, turned down afterwards in every second case."""
    peak = float(np.abs(samples).max())
    out = np.clip(samples * ((1.3, 1.8, 3.0)[strength] / peak), -1, 1)
    flat = np.flatnonzero((np.abs(out) >= 1).any(axis=1))
    return (out * np.float32(rng.choice([1.0, 0.7]))).astype(np.float32), [(int(a), int(a) + 1) for a in flat]


def stutter(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """A stretch comes two to four times, and pushes the rest away."""
    length, times = round(rng.uniform(0.05, 0.3) * rate_hz), strength + 1
    at = loud(samples, length, rng)
    return np.concatenate([samples[:at], *[samples[at - length : at]] * times, samples[at:]]), [
        (at, at + times * length)
    ]


def skip(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """A stretch is gone."""
    length = round((0.03, 0.1, 0.4)[strength] * rng.uniform(0.7, 1.4) * rate_hz)
    at = loud(samples, length, rng)
    return np.concatenate([samples[:at], samples[at + length :]]), [(at - 1, at + 1)]


def hum(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Five lines of 50 or 60 Hz, all along."""
    t, mains = np.arange(len(samples)) / rate_hz, float(rng.choice([50.0, 60.0]))
    wave = sum(np.sin(2 * np.pi * mains * k * t + rng.uniform(0, 6)) / k for k in range(1, 6))
    wave *= 10 ** ((-30, -20, -10)[strength] / 20) * _rms(samples) / np.std(wave)
    return samples + wave[:, None].astype(np.float32), [(0, len(samples))]


def noise_burst(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """White noise with hard edges."""
    length = round(rng.uniform(0.03, 0.3) * rate_hz)
    at = loud(samples, length, rng)
    out, near = samples.copy(), _rms(samples[at : at + length])
    burst = rng.normal(0, near * 10 ** ((-10, 0, 10)[strength] / 20), (length, samples.shape[1]))
    out[at : at + length] += burst.astype(np.float32)
    return out, [(at, at + length)]


def hiss(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """White noise all along."""
    level = _rms(samples) * 10 ** ((-36, -24, -12)[strength] / 20)
    return samples + rng.normal(0, level, samples.shape).astype(np.float32), [(0, len(samples))]


def speed_jump(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """One to three seconds at another speed, by linear interpolation."""
    length, ratio = round(rng.uniform(1, 3) * rate_hz), (1.02, 1.04, 1.08)[strength] ** rng.choice([-1, 1])
    at = loud(samples, length, rng)
    x = np.arange(int(min(length, len(samples) - at) / ratio)) * ratio
    part = [np.interp(x, np.arange(length), channel) for channel in samples[at : at + length].T if len(channel)]
    fast = np.stack(part, axis=1).astype(np.float32)
    return np.concatenate([samples[:at], fast, samples[at + length :]]), [(at, at + len(fast))]


def abrupt_edge(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """The recording ends, or begins, in the middle of it."""
    at = loud(samples, rate_hz // 20, rng)
    if rng.random() < 0.5:
        return samples[:at], [(at - rate_hz // 100, at)]
    return samples[at:], [(0, rate_hz // 100)]


def channel_fault(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """One channel muted, turned over, or at a third of its level from a place on."""
    if samples.shape[1] < 2 or np.allclose(samples[:, 0], samples[:, 1]):
        return None
    out, at = samples.copy(), loud(samples, rate_hz, rng)
    stop = len(out) if rng.random() < 0.5 else min(at + 2 * rate_hz, len(out))
    out[at:stop, rng.integers(out.shape[1])] *= np.float32(rng.choice([0.0, -1.0, 0.33]))
    return out, [(at, stop)]


def digital_noise(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Random 16-bit words in place of the music, for 10 to 60 ms."""
    length = round((0.01, 0.03, 0.06)[strength] * rate_hz)
    out, at = samples.copy(), loud(samples, length, rng)
    out[at : at + length] = rng.uniform(-1, 1, (length, samples.shape[1]))
    return out, [(at, at + length)]


def concealment(samples: FloatArray, rate_hz: int, strength: int, rng: Rng) -> Made:
    """Packets of 20 ms are lost, and the one before comes again, fading."""
    out, length = samples.copy(), round(0.02 * rate_hz)
    at, lost = loud(samples, 10 * length, rng), (1, 3, 6)[strength]
    before = samples[at - length : at]
    for number in range(lost):
        out[at + number * length : at + (number + 1) * length] = before * np.float32(0.8**number)
    return out, [(at, at + lost * length)]


MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        click,
        crackle,
        dropout,
        clipping,
        concealment,
        stutter,
        skip,
        hum,
        noise_burst,
        hiss,
        speed_jump,
        abrupt_edge,
        channel_fault,
        digital_noise,
    )
}
