"""From frames to events: what is amiss, from when to when, in which channel, and how surely.

Conventions. Times are seconds (float64) from the first sample of the recording. Frame i of `probabilities` stands for
the stretch from i to i + 1 times `frame_hop_s`. Scores are 0..1. Events of one fusion do not overlap and are in order.
Metrics for events are in models/event_metrics.py.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

FloatArray = npt.NDArray[np.floating]

#: The classes of defects, in the order in which they are told.
CLASSES = (
    "click",
    "crackle",
    "dropout",
    "clipping",
    "codec_damage",
    "concealment",
    "stutter",
    "skip",
    "hum",
    "noise_burst",
    "hiss",
    "speed_jump",
    "abrupt_edge",
    "channel_fault",
    "digital_noise",
)
IMPULSIVE = ("click",)  #: classes whose events are shorter than a frame


class Event(NamedTuple):
    """One stretch, or one moment, of a recording."""

    name: str  #: the class
    start_s: float
    end_s: float  #: not before start_s
    channel: int | None = None  #: from 0; None: all of them
    score: float = 1.0  #: 0..1
    words: str = ""  #: the evidence, with its figure


class Fusion(BaseModel):
    """How one class's probabilities become segments; lives in a model's card."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    median_s: float = Field(default=0.0, ge=0, le=10, description="length of the median filter; 0: none")
    high: float = Field(default=0.5, gt=0, le=1, description="a segment needs a frame of at least this")
    low: float = Field(default=0.5, gt=0, le=1, description="and reaches as far as frames are at least this")
    shortest_s: float = Field(default=0.0, ge=0, description="shorter segments are dropped")
    merge_s: float = Field(default=0.0, ge=0, description="segments no farther apart than this are one")
    padding_s: float = Field(default=0.0, ge=0, description="added before and after each segment")

    @model_validator(mode="after")
    def _ordered(self) -> Fusion:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}: high starts a segment, low extends it")
        return self


def fuse(probabilities: npt.ArrayLike, frame_hop_s: float, fusion: Fusion) -> list[tuple[float, float, float]]:
    """Segments (start_s, end_s, score) of one class, in order; the score is the highest filtered probability within.

    Args:
        probabilities: [frames], 0..1.
        frame_hop_s: from one frame to the next, seconds.

    Raises:
        ValueError: if there is more than one axis, a value outside 0..1, or no positive hop.

    >>> fuse([0, 0.4, 0.9, 0.4, 0], 0.5, Fusion(high=0.8, low=0.3))
    [(0.5, 2.0, 0.9)]
    """
    frames = _checked(probabilities, frame_hop_s)
    smooth = _median(frames, round(fusion.median_s / frame_hop_s))
    runs = [(a, b) for a, b in runs_of(smooth >= fusion.low) if smooth[a:b].max() >= fusion.high]
    joined = _merged(runs, fusion.merge_s / frame_hop_s)
    long_enough = [(a, b) for a, b in joined if (b - a) * frame_hop_s >= fusion.shortest_s - 1e-9]
    return _padded(long_enough, smooth, frame_hop_s, fusion.padding_s)


def _checked(probabilities: npt.ArrayLike, frame_hop_s: float) -> npt.NDArray[np.float64]:
    frames = np.asarray(probabilities, np.float64)
    if frames.ndim != 1:
        raise ValueError(f"probabilities have the shape {frames.shape}; one class at a time, [frames], is wanted")
    if not frame_hop_s > 0:
        raise ValueError(f"frame_hop_s is {frame_hop_s}; seconds, more than 0")
    if len(frames) and not (frames.min() >= 0 and frames.max() <= 1):
        raise ValueError(f"probabilities reach from {frames.min()} to {frames.max()}; is a sigmoid missing?")
    return frames


def _median(frames: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Median over an odd number of frames, about `width`; edges repeat."""
    half = width // 2
    if half < 1 or not len(frames):
        return frames
    from scipy.ndimage import median_filter  # slow to import, and the command line comes by here

    return np.asarray(median_filter(frames, 2 * half + 1, mode="nearest"))


def runs_of(true: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches (start, stop) of `true` [n] in which it is true.

    >>> runs_of(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _merged(runs: Sequence[tuple[int, int]], gap_frames: float) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] <= gap_frames + 1e-9:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _padded(
    runs: Sequence[tuple[int, int]], smooth: npt.NDArray[np.float64], frame_hop_s: float, padding_s: float
) -> list[tuple[float, float, float]]:
    """Runs as seconds; padding stops at the recording's ends and half-way to a neighbour."""
    end_s = len(smooth) * frame_hop_s
    segments = []
    for i, (start, stop) in enumerate(runs):
        floor_s = (runs[i - 1][1] + start) / 2 * frame_hop_s if i else 0.0
        roof_s = (stop + runs[i + 1][0]) / 2 * frame_hop_s if i + 1 < len(runs) else end_s
        first_s, last_s = max(floor_s, start * frame_hop_s - padding_s), min(roof_s, stop * frame_hop_s + padding_s)
        segments.append((first_s, last_s, float(smooth[start:stop].max())))
    return segments


def peaks(
    probabilities: npt.ArrayLike, frame_hop_s: float, *, threshold: float, apart_s: float = 0.01
) -> list[tuple[float, float]]:
    """Moments (time_s, score) of an impulsive class: highest frames of at least `threshold`, `apart_s` from each other.

    A moment is the middle of its frame, or where a parabola through it and its neighbours is highest.

    Raises:
        ValueError: as `fuse`.
    """
    frames = _checked(probabilities, frame_hop_s)
    padded = np.pad(frames, 1, constant_values=-1.0)
    tops = np.flatnonzero((frames >= threshold) & (padded[:-2] < frames) & (padded[2:] <= frames))
    kept: list[int] = []
    for top in sorted(tops.tolist(), key=lambda i: (-frames[i], i)):
        place = bisect.bisect(kept, top)  # crackle of hours has many: each looks at its neighbours alone
        if all(abs(top - other) * frame_hop_s >= apart_s for other in kept[max(place - 1, 0) : place + 1]):
            kept.insert(place, top)
    return [((top + 0.5 + _vertex(frames, top)) * frame_hop_s, float(frames[top])) for top in kept]


def _vertex(frames: npt.NDArray[np.float64], top: int) -> float:
    """How far the vertex of a parabola lies from `top`, -0.5..0.5 frames."""
    if not 0 < top < len(frames) - 1:
        return 0.0
    left, middle, right = frames[top - 1 : top + 2]
    bend = left - 2 * middle + right
    return 0.0 if bend == 0 else float(np.clip((left - right) / (2 * bend), -0.5, 0.5))


def merged(events: Sequence[Event], gap_s: float = 0.0) -> list[Event]:
    """Events with those of one class and channel joined that overlap or lie no more than `gap_s` apart, by start."""
    joined: dict[tuple[str, int | None], list[Event]] = {}
    for event in sorted(events, key=lambda e: (e.start_s, e.end_s)):
        line = joined.setdefault((event.name, event.channel), [])
        if line and event.start_s - line[-1].end_s <= gap_s:
            last = line[-1]
            best = max(last, event, key=lambda e: e.score)
            line[-1] = best._replace(start_s=last.start_s, end_s=max(last.end_s, event.end_s))
        else:
            line.append(event)
    return sorted((event for line in joined.values() for event in line), key=order)


def order(event: Event) -> tuple[float, float, str, int]:
    """A key by which events are told in order of time."""
    return event.start_s, event.end_s, event.name, -1 if event.channel is None else event.channel
