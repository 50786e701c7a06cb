"""Strokes of music that are as short as clicks: castanets, sticks, samples of clicks on a beat.

What is struck rings: 4 to 7 ms on, its higher partials are still far above what was there before, when a click is over.
A stroke that hardly rings is known by its company, since most strokes beside it do. What a machine plays comes
in time, and few are enough to tell that if they have one shape; a record's clicks come by chance, or once a turn.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from models.measures.blocks import Array, Samples

RINGS_S = (0.0035, 0.007)  # after its first sample
RINGS_OVER_BEFORE, RINGS_OVER_PEAK = 1.8, 0.02  # of the differences of samples, that leave low tones aside
NEARLY_RINGS = 0.7  # and others of its shape beside it are enough
COMPANY_S, FEWEST_RINGING = 1.0, 2
SHAPE_S = (0.0003, 0.0015)  # before and after its onset
SLACK = 2  # samples, in placing it
SPREAD = 0.8  # of a shape's energy, that lies in its three highest samples at most: single samples are all alike
LIKE, FEWEST_ALIKE, ALIKE_APART_S = 0.92, 5, 1.2  # in time
THICK_S, FEWEST_THICK = 0.75, 2  # others of one shape so near, on either side: drops of rain
PITCHES_HZ = (0.4, 16.0)
APART_S = 0.7  # of beats, at most: a record of 33 or 45 turns a minute takes 1.8 or 1.33 s
FEWEST_IN_TIME = 8
BY_CHANCE = 0.002  # for each second that the moments last


class Stroke(NamedTuple):
    """A sound as short as a click, as it was heard in one channel."""

    at_s: float
    rings: float  #: 1 and more: it rings
    shape: Array | None  #: of differences, of length 1; None of what has none but a single step or sample


def heard(wave: Samples, first: int, last: int, peak: int, at: int, sample_rate_hz: int) -> Stroke:
    """The short sound from `first` to `last` in `wave`, which begins at frame `at` of the recording."""
    edges = [round(of * sample_rate_hz) for of in RINGS_S]
    beside = wave[max(0, first - round(0.025 * sample_rate_hz)) : first + edges[1] + 1].astype(np.float64)
    steps, own = np.abs(np.diff(beside)), len(beside) - 1 - edges[1]
    before, after = _rms(steps[: max(0, own - 2)]), _rms(steps[own + edges[0] :])
    highest = float(steps[max(0, own - 1) : max(own + last - first, own) + edges[0] // 3].max(initial=0.0))
    rings = after / max(RINGS_OVER_BEFORE * before, RINGS_OVER_PEAK * highest, 1e-9)
    return Stroke((at + first) / sample_rate_hz, rings, _shape(wave, first, peak, sample_rate_hz))


def _shape(wave: Samples, first: int, peak: int, sample_rate_hz: int) -> Array | None:
    before, after = (round(of * sample_rate_hz) for of in SHAPE_S)
    steps = np.diff(wave[max(0, first - before - SLACK) : peak + after + SLACK].astype(np.float64))
    onset = np.abs(steps[before:-after])
    if not len(onset):  # at an end of the recording
        return None
    begin = int(np.argmax(onset >= 0.5 * onset.max()))
    around = steps[begin : begin + before + after]
    energy = np.sort(around**2)
    if len(around) < before + after or energy[-3:].sum() >= SPREAD * energy.sum():
        return None
    return np.asarray(around / np.sqrt(energy.sum()))


def musical(times_s: Array, strokes: list[Stroke]) -> Array:
    """Which of the moments (in order) are strokes of music, by all short sounds of the recording."""
    known = sorted(strokes, key=lambda stroke: stroke.at_s)
    places = [stroke.at_s for stroke in known]
    company = np.array([_in_company(at_s, known, places) for at_s in times_s.tolist()], bool)
    alike = _alike(known)
    same = [
        bool(alike[bisect_left(places, at_s - 0.001) : bisect_left(places, at_s + 0.001)].any()) for at_s in times_s
    ]
    return np.asarray(company | np.array(same, bool) | in_rhythm(times_s))


def _in_company(at_s: float, known: list[Stroke], places: list[float]) -> bool:
    near = known[bisect_left(places, at_s - COMPANY_S) : bisect_left(places, at_s + COMPANY_S)]
    ringing = sum(stroke.rings > 1 for stroke in near)
    return ringing >= FEWEST_RINGING and 3 * ringing >= len(near)


def _alike(known: list[Stroke]) -> Array:
    """Which have the shape of others, to within SLACK, and come in time with them, or as thick as rain."""
    shaped = [(i, stroke.at_s, stroke.shape) for i, stroke in enumerate(known) if stroke.shape is not None]
    alike = np.zeros(len(known), bool)
    if not shaped:
        return alike
    times_s, shapes = np.array([at_s for _, at_s, _ in shaped]), np.stack([shape for *_, shape in shaped])
    size = shapes.shape[1]
    for i, _, shape in shaped:
        moved = [shapes[:, SLACK + d : size - SLACK + d] @ shape[SLACK:-SLACK] for d in range(-SLACK, SLACK + 1)]
        like = times_s[np.max(moved, axis=0) > LIKE]
        like = like[np.diff(like, prepend=-1.0) > 0.001]  # of two channels
        thick = np.count_nonzero(np.abs(like - known[i].at_s) < THICK_S) > FEWEST_THICK
        thick |= known[i].rings > NEARLY_RINGS and len(like) > FEWEST_THICK
        alike[i] = thick or in_rhythm(like, FEWEST_ALIKE, ALIKE_APART_S).any()
    return alike


def in_rhythm(times_s: Array, fewest: int = FEWEST_IN_TIME, apart_s: float = APART_S) -> Array:
    """Which of many moments (in order) come in time: at whole multiples of one period, of 60 ms to `apart_s`.

    How well n moments agree with a period tells the length r of their mean phase. Of moments that fall by chance, one
    in a hundred has a period with (1 - r^2)^((n - 1) / 2) below BY_CHANCE / duration (found by trying; the power is
    that of n - 1 phases within the same small distance of one).

    Args:
        fewest: moments that tell.
        apart_s: a longer period is no rhythm: a crack that a record's turn brings back.
    """
    musical = np.zeros(len(times_s), bool)
    for first in range(0, max(0, len(times_s) - fewest) + 1, max(1, fewest // 2)):
        some = times_s[first : first + 4 * fewest] - times_s[first] if len(times_s) else times_s
        if len(some) >= fewest:
            lasts_s = max(float(some[-1]), 1.0)
            pitches_hz = np.arange(max(PITCHES_HZ[0], 2 / lasts_s), PITCHES_HZ[1], 0.2 / lasts_s)
            steady = np.abs(np.exp(2j * np.pi * some[:, None] * pitches_hz).mean(axis=0))
            agree = (1 - np.minimum(steady, 1.0) ** 2) ** ((len(some) - 1) / 2) < BY_CHANCE / lasts_s
            musical[first : first + len(some)] |= agree.any() and pitches_hz[agree][0] > 1 / apart_s
    return musical


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0
