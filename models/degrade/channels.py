"""Faults of one channel: lost, turned in polarity, or at another level, from a point on.

Conventions. The event's channel is the one at fault. It lasts about 0.5, 2 or 4 s (faint, middle, strong) within a
factor two, or to the end. A lost channel is digital silence or 60 dB down (20 dB if faint); a level jumps by 5, 10 or
18 dB, down, or up where full scale allows it.
"""

from __future__ import annotations

import numpy as np

from models.degrade.event import Degraded, FloatArray, Rng, between, events_of, heard_start, lasting

LASTING_S = (0.5, 2.0, 4.0)
JUMP_DB = (5.0, 10.0, 18.0)
KINDS = ("lost", "lost", "polarity", "level")


def channel_fault(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One channel at fault, part-way. Raises ValueError if there is one channel only."""
    if samples.shape[1] < 2:
        raise ValueError("channel_fault needs two channels or more: a single one that is lost is a dropout")
    channel = _sounding(samples, rng)
    frames = min(round(lasting(strength, *LASTING_S, rng) * rate_hz), len(samples) * 3 // 5)
    start = heard_start(samples, frames, rng, channel, 1)
    stop = len(samples) if rng.random() < 0.5 else start + frames
    out = samples.copy()
    out[start:stop, channel] *= _gain(samples[start:stop, channel], strength, rng)
    events = events_of("channel_fault", [(start, stop)], rate_hz, channel)
    return Degraded(samples=out, events=events, reference=samples)


def _sounding(samples: FloatArray, rng: Rng) -> int:
    """A channel within 20 dB of the loudest: an LFE or a back channel may have nothing to lose."""
    powers = np.mean(np.square(samples, dtype=np.float64), axis=0)
    return int(rng.choice(np.flatnonzero(powers >= 0.01 * powers.max())))


def _gain(part: FloatArray, strength: float, rng: Rng) -> np.float32:
    kind = str(rng.choice(KINDS))
    if kind == "polarity":
        return np.float32(-1)
    if kind == "lost":
        down_db = between(strength, -20.0, -60.0, -60.0)
        return np.float32(10 ** (down_db / 20) if strength < 0.35 or rng.random() < 0.5 else 0.0)
    jump = 10 ** ((between(strength, *JUMP_DB) + rng.uniform(-1, 1)) / 20)
    up = rng.random() < 0.4 and float(np.abs(part).max()) * jump <= 1
    return np.float32(jump if up else 1 / jump)
