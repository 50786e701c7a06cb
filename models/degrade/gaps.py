"""Dropouts: stretches that are missing, with nothing in their place.

Conventions. What stands in the gap: zeros, the last value held, low noise, or the music 30 to 50 dB down (a tape's
coating that lost contact). Edges are hard or fade within 2 ms; the fades are part of the event. The lengths of a gap
are about 5 ms (faint: a tick), 50 ms (middle: a beat is torn) and 0.7 s (strong), each within a factor of three: 2 ms
to 2 s. A gap begins and ends in music.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.degrade.event import Degraded, FloatArray, Rng, columns, events_of, heard_start, lasting, some_channel

SECONDS = (0.005, 0.05, 0.7)  #: faint, middle, strong
SPREAD = 3.0
SHORTEST_S = 0.002
KINDS = ("zero", "zero", "zero", "held", "noise", "dip")
GAPS_PER_S = 0.06  #: on average, beyond the first
MOST_GAPS = 5


def dropout(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One gap or several of one kind, in one channel or all."""
    out = samples.copy()
    channel = some_channel(samples.shape[1], rng)
    kind = str(rng.choice(KINDS))
    spans: list[tuple[int, int]] = []
    for _ in range(min(1 + int(rng.poisson(GAPS_PER_S * len(samples) / rate_hz)), MOST_GAPS)):
        length_s = max(lasting(strength, *SECONDS, rng, SPREAD), SHORTEST_S)
        frames = min(math.ceil(length_s * rate_hz), len(samples) // 3)
        start = heard_start(samples, frames, rng, channel, 2)
        margin = round(0.25 * rate_hz)
        if any(start < b + margin and a < start + frames + margin for a, b in spans):
            continue
        _empty(out, start, start + frames, kind, rate_hz, channel, rng)
        spans.append((start, start + frames))
    return Degraded(samples=out, events=events_of("dropout", sorted(spans), rate_hz, channel), reference=samples)


def _empty(out: FloatArray, start: int, stop: int, kind: str, rate_hz: int, channel: int | None, rng: Rng) -> None:
    part = out[start:stop, columns(channel)]
    filling: npt.NDArray[np.floating] = np.zeros(part.shape)
    if kind == "held":
        filling = np.repeat(out[start - 1 : start, columns(channel)], stop - start, axis=0)
    elif kind == "noise":
        filling = rng.normal(0, 10 ** (rng.uniform(-85, -65) / 20), part.shape)
    elif kind == "dip":
        filling = part * 10 ** (rng.uniform(-50, -30) / 20)
    fade = round(float(rng.choice([0, 0, rng.uniform(0.0002, 0.002)])) * rate_hz)
    fade = min(fade, (stop - start) // 4)
    music = np.zeros(stop - start)
    if fade:
        ramp = np.arange(fade, 0, -1) / (fade + 1)
        music[:fade], music[-fade:] = ramp, ramp[::-1]
    out[start:stop, columns(channel)] = music[:, None] * part + (1 - music[:, None]) * filling
