"""Digital noise: samples read as what they are not.

Conventions. Kinds: `white` (uniform at full scale), `crushed` (two to four bits of the music, each held for several
samples), `swapped` (16 bit with their bytes in the wrong order), `shifted` (a byte out of step), `wide` (16 bit read as
8 bit, twice as many), `exclusive` (bits turned over by a broken line). The length is about 20 ms, 150 ms or 0.8 s
(faint, middle, strong) within a factor two; the level is that of the samples so read, turned down by 20, 8 or 2 dB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.event import (
    Degraded,
    FloatArray,
    Rng,
    columns,
    events_of,
    factor,
    heard_start,
    lasting,
    some_channel,
)

LASTING_S = (0.02, 0.15, 0.8)
LEVEL_DB = (-20.0, -8.0, -2.0)
KINDS = ("white", "crushed", "swapped", "shifted", "wide", "exclusive")
STATIC_PER_S = 0.04  #: on average, beyond the first
MOST = 4


def digital_noise(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One stretch of static or several of one kind, in all channels or one."""
    out = samples.copy()
    kind = str(rng.choice(KINDS))
    channel = some_channel(samples.shape[1], rng, 0.2)
    spans: list[tuple[int, int]] = []
    for _ in range(min(1 + int(rng.poisson(STATIC_PER_S * len(samples) / rate_hz)), MOST)):
        frames = min(round(lasting(strength, *LASTING_S, rng) * rate_hz), len(samples) // 3)
        start = heard_start(samples, frames, rng, channel, 1)
        if any(start < b + rate_hz // 4 and a < start + frames + rate_hz // 4 for a, b in spans):
            continue
        part = samples[start : start + frames, columns(channel)]
        level = factor(strength, *LEVEL_DB, rng, 1.9)
        out[start : start + frames, columns(channel)] = np.clip(level * misread(part, kind, rng), -1, 1)
        spans.append((start, start + frames))
    return Degraded(samples=out, events=events_of("digital_noise", sorted(spans), rate_hz, channel), reference=samples)


def misread(part: FloatArray, kind: str, rng: Rng) -> npt.NDArray[np.float64]:
    """`part` [frames, channels] as the kind makes it, as long as it was."""
    if kind == "white":
        return rng.uniform(-1, 1, part.shape)
    if kind == "crushed":
        hold = int(rng.integers(6, 30))
        held = part[np.arange(len(part)) // hold * hold]
        steps = 2.0 ** rng.integers(1, 4)
        loud = held / max(float(np.abs(part).max()), 1e-6) + rng.uniform(-0.5, 0.5, part.shape) / steps
        return np.asarray(np.clip(np.round(loud * steps) / steps, -1, 1))
    words = np.round(np.clip(part, -1, 1) * 32767).astype("<i2")
    if kind == "swapped":
        return words.byteswap().astype(np.float64) / 32768
    if kind == "exclusive":
        return (words ^ np.int16(rng.integers(0x1000, 0x7FFF))).astype(np.float64) / 32768
    octets = words.tobytes()
    if kind == "shifted":
        return np.frombuffer(octets[1:] + octets[:1], "<i2").reshape(part.shape).astype(np.float64) / 32768
    narrow = np.frombuffer(octets, np.uint8)[: part.size].reshape(part.shape)
    return (narrow.astype(np.float64) - 128) / 128
