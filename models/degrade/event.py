"""What the injector says of a defect, and what all its families share: strengths, channels, places, levels.

Conventions. Samples are float32 [frames, channels], full scale +-1.0; inside a family they may be float64. An event
lasts from its first altered sample, `start_s`, to behind its last, `end_s`: both are whole samples over the rate,
measured in the degraded samples. `channel` counts from 0; None is all of them, and of a mono recording always.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator

#: The three strengths that tables tell values for. Between them values are interpolated, beyond them they stay.
STRENGTHS = {"faint": 0.2, "middle": 0.5, "strong": 0.9}
AUDIBLE = 10 ** (-25 / 20)  #: of the recording's level: something is lost where the music is louder than this
TRIES = 32


@dataclass(frozen=True, order=True)
class Event:
    """One defective stretch."""

    name: str
    start_s: float
    end_s: float
    channel: int | None = None


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """A recording with a defect.

    Args:
        events: in order of time.
        reference: what `samples` would be without the defect: the clean ones, levelled or coded as they were. It has
            the length of `samples` unless `moved_from_s` is set.
        told: what a decoder itself reported as damaged (for `codec_damage` alone).
        moved_from_s: from here on samples stand elsewhere in time than in `reference`, or the speed is another.
    """

    samples: FloatArray
    events: tuple[Event, ...]
    reference: FloatArray
    told: tuple[Event, ...] = ()
    moved_from_s: float | None = None


def between(strength: float, faint: float, middle: float, strong: float) -> float:
    """The value for a strength, from those of the three named strengths.

    >>> between(0.5, 6.0, 14.0, 22.0), between(0.0, 6.0, 14.0, 22.0), between(0.7, 6.0, 14.0, 22.0)
    (14.0, 6.0, 18.0)
    """
    return float(np.interp(strength, [*STRENGTHS.values()], [faint, middle, strong]))


def factor(
    strength: float, faint_db: float, middle_db: float, strong_db: float, rng: Rng, width_db: float = 2
) -> float:
    """A gain for a strength from decibels at the three named strengths, varied by up to `width_db` up and down."""
    level_db = between(strength, faint_db, middle_db, strong_db) + rng.uniform(-width_db, width_db)
    return float(10 ** (level_db / 20))


def lasting(strength: float, faint_s: float, middle_s: float, strong_s: float, rng: Rng, spread: float = 2.0) -> float:
    """A duration in seconds, log-uniform within a factor `spread` of the one interpolated (over its logarithm)."""
    centre = between(strength, np.log(faint_s), np.log(middle_s), np.log(strong_s))
    return float(np.exp(centre + np.log(spread) * rng.uniform(-1, 1)))


def some_channel(channels: int, rng: Rng, one: float = 0.4) -> int | None:
    """One channel with the chance `one`, else all."""
    return int(rng.integers(channels)) if channels > 1 and rng.random() < one else None


def columns(channel: int | None) -> slice:
    """Picks the event's channels of samples [frames, channels]."""
    return slice(None) if channel is None else slice(channel, channel + 1)


def rms(samples: npt.NDArray[np.floating]) -> float:
    """Root mean square over everything; 0.0 of nothing."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def level_near(
    samples: FloatArray, at: int, rate_hz: int, channel: int | None = None, whole: float | None = None
) -> float:
    """RMS of the 50 ms around frame `at`, at least 30 dB below that of the whole recording, `whole` if known."""
    half = round(0.025 * rate_hz)
    near = rms(samples[max(at - half, 0) : at + half, columns(channel)])
    return max(near, (rms(samples) if whole is None else whole) * 10 ** (-30 / 20))


def heard_start(samples: FloatArray, frames: int, rng: Rng, channel: int | None = None, margin: int = 0) -> int:
    """Where a stretch of `frames` frames may begin so that its loss is heard: where there is music.

    `margin` frames are kept free before and after. Of TRIES places the first with music at its beginning, in its
    middle and at its end is taken, or else the loudest.
    """
    last = max(len(samples) - frames - 2 * margin, 0)
    loud = rms(samples[:, columns(channel)]) * AUDIBLE
    starts = margin + rng.integers(0, last + 1, TRIES)
    edge = max(min(frames, 256), 2)
    levels = []
    for start in starts:
        stops = (start, start + (frames - edge) // 2, start + frames - edge)
        levels.append(min(rms(samples[max(at, 0) : at + edge, columns(channel)]) for at in stops))
        if levels[-1] > loud:
            return int(start)
    return int(starts[int(np.argmax(levels))])


def apart(spans: Iterable[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Spans in order of time, those that overlap or lie within `gap` frames of each other joined.

    >>> apart([(30, 40), (0, 10), (12, 20)], 5)
    [(0, 20), (30, 40)]
    """
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start - joined[-1][1] <= gap:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return joined


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where `mask` [frames] holds: first frames, and those behind the last.

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def events_of(
    name: str, spans: Iterable[tuple[int, int]], rate_hz: int, channel: int | None = None
) -> tuple[Event, ...]:
    """Spans of frames as events."""
    return tuple(Event(name, start / rate_hz, stop / rate_hz, channel) for start, stop in spans)
