"""Splices: a stretch that is repeated, a stretch that is missing, a beginning or an end that is cut off.

Conventions. A stutter begins with the first repetition, not with the stretch that is repeated; it overwrites what
follows (a buffer played again) or pushes it back (a jump of the reader). A skip is where the ends meet: one sample, or
the crossfade. An edge is the first or last EDGE_S. Stretches repeated last about 40, 100 and 200 ms (faint, middle,
strong) within a factor 2.5, and come 1, 3 or 6 times; what is missing lasts 30 ms, 150 ms or 0.8 s within a factor two;
an edge is cut where the music is 15, 6 or 0 dB below its own level, or as near to that as a place is found.
"""

from __future__ import annotations

import numpy as np

from models.degrade.event import TRIES, Degraded, FloatArray, Rng, between, events_of, heard_start, lasting, rms

REPEATED_S = (0.04, 0.1, 0.2)
REPEATS = (1, 3, 6)
MISSING_S = (0.03, 0.15, 0.8)
EDGE_DB = (-15.0, -6.0, 0.0)
EDGE_S = 0.05
LONGEST_FADE_S = 0.005


def stutter(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """One stretch repeated, in all channels, to the sample or with short crossfades."""
    length = min(round(lasting(strength, *REPEATED_S, rng, 2.5) * rate_hz), len(samples) // 5)
    times = int(np.clip(round(between(strength, *REPEATS)) + rng.integers(-1, 2), 1, 8))
    times = min(times, len(samples) * 3 // 5 // length - 1)
    start = heard_start(samples, length * (times + 1), rng, margin=8)
    again = np.array(samples[start : start + length])
    fade = _fade(rate_hz, length // 4, rng)
    rise = _rise(fade)
    follows = samples[start + length : start + length + fade]
    again[:fade] = (1 - rise) * follows + rise * again[:fade]
    repeated = np.tile(again, (times, 1))
    at, stop = start + length, start + length * (times + 1)
    if rng.random() < 0.5:
        out = np.concatenate([samples[:at], repeated, samples[at:]])
        return Degraded(
            samples=out,
            events=events_of("stutter", [(at, stop)], rate_hz),
            reference=samples,
            moved_from_s=at / rate_hz,
        )
    out = samples.copy()
    if fade:
        repeated[-fade:] = (1 - rise) * repeated[-fade:] + rise * samples[stop - fade : stop]
    out[at:stop] = repeated
    return Degraded(samples=out, events=events_of("stutter", [(at, stop)], rate_hz), reference=samples)


def _fade(rate_hz: int, most: int, rng: Rng) -> int:
    return min(round(float(rng.choice([0.0, 0.0, rng.uniform(0.0005, LONGEST_FADE_S)])) * rate_hz), most)


def _rise(frames: int) -> FloatArray:
    return (np.arange(1, frames + 1, dtype=np.float32) / np.float32(frames + 1))[:, None]


def skip(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """A stretch taken out of all channels; the file is shorter by it."""
    length = min(round(lasting(strength, *MISSING_S, rng) * rate_hz), len(samples) // 3)
    fade = _fade(rate_hz, length, rng)
    at = heard_start(samples, length + fade, rng, margin=8)
    rise = _rise(fade)
    joint = (1 - rise) * samples[at : at + fade] + rise * samples[at + length : at + length + fade]
    return Degraded(
        samples=np.concatenate([samples[:at], joint, samples[at + length + fade :]]),
        events=events_of("skip", [(at, at + max(fade, 1))], rate_hz),
        reference=samples,
        moved_from_s=at / rate_hz,
    )


def abrupt_edge(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """The beginning, the end or both cut off in the midst of the music; the file is shorter by them."""
    which = str(rng.choice(["start", "start", "end", "end", "both"]))
    edge = round(EDGE_S * rate_hz)
    third = len(samples) // 3
    loud = rms(samples) * 10 ** ((between(strength, *EDGE_DB) + rng.uniform(-2, 2)) / 20)
    first = _cut(samples, edge, 1, third, loud, rng) if which != "end" else 0
    last = _cut(samples, -edge, len(samples) - third, len(samples), loud, rng) if which != "start" else len(samples)
    spans = [(0, edge)] if first else []
    if last < len(samples):
        spans.append((last - first - edge, last - first))
    return Degraded(
        samples=np.ascontiguousarray(samples[first:last]),
        events=events_of("abrupt_edge", spans, rate_hz),
        reference=samples,
        moved_from_s=0.0 if first else last / rate_hz,
    )


def _cut(samples: FloatArray, edge: int, lowest: int, highest: int, loud: float, rng: Rng) -> int:
    """The place among TRIES beside which, `edge` frames on, the level is nearest to `loud`."""
    places = rng.integers(lowest, highest, TRIES)
    levels = [rms(samples[min(at, at + edge) : max(at, at + edge)]) for at in places]
    return int(places[int(np.argmin(np.abs(np.log(np.maximum(levels, 1e-9) / loud))))])
