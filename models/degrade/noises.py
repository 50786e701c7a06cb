"""Added noise: bursts and hiss.

Conventions. Bursts last about 40, 150 and 400 ms (faint, middle, strong) within a factor two, 20 to 800 ms at most, at
-12, 0 and 10 dB against the music around them. Hiss lies 36, 24 and 12 dB below the music's RMS: the last generation of
analogue tape had 55 to 60 dB, a cassette without noise reduction about 50 dB below full level, so that copies of copies
reach what is called middle here. Tape hiss rises with frequency. Noise is independent between channels, or common.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.clicks import stretch
from models.degrade.event import Degraded, FloatArray, Rng, columns, events_of, factor, lasting, level_near, rms
from models.degrade.event import some_channel as draw_channel

BURST_S = (0.04, 0.15, 0.4)
BURST_DB = (-12.0, 0.0, 10.0)
HISS_DB = (-36.0, -24.0, -12.0)
BURSTS_PER_S = 0.06  #: on average, beyond the first
MOST_BURSTS = 5
COLOURS = ("white", "pink", "band", "rising")
HISSES = ("white", "rising", "rising", "high")


def noise(frames: int, channels: int, rate_hz: int, colour: str, rng: Rng) -> npt.NDArray[np.float64]:
    """Noise [frames, channels] of RMS 1.0: white, pink, rising by 3 dB an octave, a band, or above 2 kHz."""
    common = channels > 1 and rng.random() < 0.3
    size = max(frames, 64)
    white = rng.normal(0, 1, (size, 1 if common else channels))
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    centre = np.exp(rng.uniform(np.log(300), np.log(0.35 * rate_hz)))
    gains = {
        "white": np.ones(len(hz)),
        "pink": 1 / np.sqrt(np.maximum(hz, 20)),
        "rising": np.sqrt(np.maximum(hz, 500)),
        "band": 1 / (1 + (np.log2(np.maximum(hz, 1) / centre) / 0.5) ** 4),
        "high": 1 / (1 + (min(2000.0, rate_hz / 8) / np.maximum(hz, 1)) ** 4),
    }[colour]
    gains[0] = 0
    made = np.fft.irfft(np.fft.rfft(white, axis=0) * gains[:, None], size, axis=0)[:frames]
    return np.repeat(made, channels if common else 1, axis=1) / max(rms(made), 1e-12)


def noise_burst(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One burst or several, in one channel or all."""
    out = samples.copy()
    channel = draw_channel(samples.shape[1], rng)
    spans: list[tuple[int, int]] = []
    for _ in range(min(1 + int(rng.poisson(BURSTS_PER_S * len(samples) / rate_hz)), MOST_BURSTS)):
        frames = round(float(np.clip(lasting(strength, *BURST_S, rng), 0.02, 0.8)) * rate_hz)
        frames = min(frames, len(samples) // 2)
        at = int(rng.integers(0, len(samples) - frames))
        if any(at < b + rate_hz // 4 and a < at + frames + rate_hz // 4 for a, b in spans):
            continue
        part = out[at : at + frames, columns(channel)]
        made = noise(frames, part.shape[1], rate_hz, str(rng.choice(COLOURS)), rng)
        made *= envelope(frames, rate_hz, rng)[:, None]
        near = level_near(samples, at + frames // 2, rate_hz, channel)
        made *= near * factor(strength, *BURST_DB, rng) / max(rms(made), 1e-12)
        out[at : at + frames, columns(channel)] = np.clip(part + made, -1, 1)
        spans.append((at, at + frames))
    return Degraded(samples=out, events=events_of("noise_burst", sorted(spans), rate_hz, channel), reference=samples)


def envelope(frames: int, rate_hz: int, rng: Rng) -> npt.NDArray[np.float64]:
    """How a burst comes and goes, [frames], 0..1: at once, decaying, swelling, or in pieces."""
    t = (np.arange(frames) + 0.5) / frames
    kind = rng.integers(4)
    if kind == 0:
        return np.ones(frames)
    if kind == 1:
        return np.asarray(np.exp(-rng.uniform(1, 3) * t))
    if kind == 2:
        return np.asarray(np.sin(np.pi * t) ** 0.5)
    pieces = rng.random(max(frames * 200 // rate_hz, 4))
    pieces[0] = pieces[-1] = 1.0
    return np.asarray(pieces[np.minimum((t * len(pieces)).astype(int), len(pieces) - 1)])


def hiss(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Steady broadband noise all along, from a point on, or for at least two seconds; in all channels, or one."""
    channel = draw_channel(samples.shape[1], rng, 0.15)
    start, stop = stretch(len(samples), rate_hz, 2.0, rng, 0.5)
    if rng.random() < 0.5:
        stop = len(samples)
    out = samples.astype(np.float64)
    part = out[start:stop, columns(channel)]
    made = noise(len(part), part.shape[1], rate_hz, str(rng.choice(HISSES)), rng)
    made *= rms(samples) * factor(strength, *HISS_DB, rng)
    part += made
    return Degraded(
        samples=np.clip(out, -1, 1).astype(np.float32),
        events=events_of("hiss", [(start, stop)], rate_hz, channel),
        reference=samples,
    )
