"""Clipping: flat tops, whatever level they have been brought to afterwards.

A flat top is a run of at least three samples within 1.5 steps of 16 bit of its extreme that is entered or left more
steeply than a smooth crest can be: a parabola that stays within `t` of its top for L samples has fallen to
t (1 + 2m/L)^2 m samples later, and a flat top has fallen at least three times as far one or two samples later. So the
crest of a clean bass note, flat to 16 bits for milliseconds, does not count. In a recording of coarse steps (8 bit) `t`
is one of its steps. Only what lies within 1 dB of the channel's largest value of that polarity counts: clipping happens
at one level. A square wave cannot be told from clipping and counts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import NamedTuple

import numpy as np

from models.measures.blocks import Array, Meter, Samples, Value, measured

TOLERANCE = np.float32(1.5 / 32768)
SHORTEST_RUN_SAMPLES = 3
FINE_BITS = 15  # from here on the tolerance covers the source's own steps
LONGEST_RUN_S = 0.1  # longer ones are no clipped waves, and bounding them bounds the memory
STEEPER_THAN_SMOOTH = 3.0
WITHIN_DB = 1.0
_WITHIN = np.float32(10 ** (-(WITHIN_DB + 0.2) / 20))  # a little more: the bins below are 0.05 dB wide
_BINS_PER_DB = 20
_CONTEXT = 2


class FlatTop(NamedTuple):
    """A flat top: `channel` from 0, samples `start` (included) to `stop` (excluded)."""

    channel: int
    start: int
    stop: int


class Runs(NamedTuple):
    """Candidates for flat tops of one channel and polarity, arrays of one length."""

    start: Array  # first sample
    stop: Array  # one behind the last
    level: Array  # magnitude of the extreme
    steepness: Array  # fall beside it over that of a smooth crest, in full scale


_NO_RUNS = Runs(np.empty(0, int), np.empty(0, int), np.empty(0), np.empty(0))


def _runs(wave: Samples, threshold: np.float32) -> Runs:
    """The level runs among the positive crests of `wave` [frames] above `threshold`, smooth crests among them."""
    high = np.flatnonzero(wave[1:] >= threshold)  # few: so little is looked at twice
    near = high[np.abs(wave[high + 1] - wave[high]) <= TOLERANCE]  # pairs (i, i + 1)
    if len(near) < SHORTEST_RUN_SAMPLES - 1:
        return _NO_RUNS
    breaks = np.flatnonzero(np.diff(near) > 1)
    firsts, lasts = near[np.r_[0, breaks + 1]], near[np.r_[breaks, len(near) - 1]] + 1
    long_enough = lasts - firsts >= SHORTEST_RUN_SAMPLES - 1
    return _crests(wave, firsts[long_enough], lasts[long_enough])


def _crests(wave: Samples, firsts: Array, lasts: Array) -> Runs:
    """Of each slow run, the part within tolerance of its extreme, where it is a crest with samples on either side."""
    if not len(firsts):
        return _NO_RUNS
    lengths = lasts - firsts + 1
    offsets = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) + np.repeat(firsts - offsets, lengths)  # of all samples in runs, in a row
    level = np.maximum.reduceat(wave[places], offsets)
    flat = wave[places] >= np.repeat(level - TOLERANCE, lengths)
    start = np.minimum.reduceat(np.where(flat, places, len(wave)), offsets)
    stop = np.maximum.reduceat(np.where(flat, places, -1), offsets) + 1
    inside = (stop - start >= SHORTEST_RUN_SAMPLES) & (start >= _CONTEXT) & (stop + _CONTEXT <= len(wave))
    start, stop, level = start[inside], stop[inside], level[inside]
    crest = np.maximum(wave[start - 1], wave[stop]) < level
    start, stop, level = start[crest], stop[crest], level[crest]
    return Runs(start, stop, level, _steepness(wave, start, stop, level))


def _steepness(wave: Samples, start: Array, stop: Array, level: Array) -> Array:
    """Fall beside a run over that of a smooth crest, one or two samples on: clipping often cuts the first short."""
    falls = [
        (level - np.minimum(wave[start - beside], wave[stop - 1 + beside])) / (1 + 2 * beside / (stop - start)) ** 2
        for beside in range(1, _CONTEXT + 1)
    ]
    return np.asarray(np.max(falls, axis=0))


class TopMeter(Meter[Value]):
    """Meets the flat tops of a recording, as far as they can be told by then.

    Neither the channel's peak nor the recording's step is known before its end. So samples are counted by level and by
    steepness, in bins, and what is too low or too flat is left out at the end.
    """

    def __init__(self, sample_rate_hz: int, channels: int, *, block_samples: int | None = None) -> None:
        super().__init__(sample_rate_hz, channels, block_samples=block_samples)
        self._overlap = int(LONGEST_RUN_S * sample_rate_hz)
        self._before = np.zeros((channels, 0), np.float32)
        self._peaks = np.zeros((2, channels), np.float32)  # by polarity
        self._bits = 1  # resolution found so far, sign excluded
        self._folded = 0  # frames

    def lowest_level(self, polarity: int, channel: int) -> int:
        """The bin of the lowest level at which that channel, given its largest value, may be clipped."""
        return level_bins(self._peaks[polarity, channel : channel + 1])[0] - int(WITHIN_DB * _BINS_PER_DB)

    def _fold(self, planes: Samples) -> None:
        joined = np.concatenate([self._before, planes], axis=1)
        self._joined_at = self._folded - self._before.shape[1]
        self._folded += planes.shape[1]
        self._bits = _resolution_bits(planes, self._bits)
        settled = self._before.shape[1]  # runs that stop before this, less the context, have been counted
        for channel in range(self.channels):
            self._count(0, channel, joined[channel], settled - _CONTEXT)
            self._count(1, channel, -joined[channel], settled - _CONTEXT)
        self._before = joined[:, -(self._overlap + _CONTEXT) :].copy()

    def _count(self, polarity: int, channel: int, wave: Samples, settled: int) -> None:
        peak = self._peaks[polarity, channel] = max(self._peaks[polarity, channel], wave.max())
        if peak <= 0:
            return
        runs = _runs(wave, peak * _WITHIN)
        if not len(runs.start):
            return
        new = (runs.stop > settled) & (runs.stop <= len(wave) - _CONTEXT)
        new &= (runs.stop - runs.start <= self._overlap) & (runs.steepness > STEEPER_THAN_SMOOTH * TOLERANCE)
        if not new.any():
            return
        self._keep(polarity, channel, Runs(*(column[new] for column in runs)))

    @abstractmethod
    def _keep(self, polarity: int, channel: int, runs: Runs) -> None:
        """Takes runs that nothing but a larger peak or a coarser step can turn out to be no flat tops.

        They start at `self._joined_at` frames of the recording.
        """


class ClippingMeter(TopMeter[float]):
    """Share of the samples that lie in flat tops, the worst channel's, 0..1."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._counts: dict[tuple[int, int], Counter[tuple[int, int]]] = {}

    def _keep(self, polarity: int, channel: int, runs: Runs) -> None:
        lengths = (runs.stop - runs.start).tolist()
        counter = self._counts.setdefault((polarity, channel), Counter())
        for level, steepness, samples in zip(level_bins(runs.level), level_bins(runs.steepness), lengths, strict=True):
            counter[level, steepness] += samples

    def _conclude(self) -> float:
        steepest = level_bins(np.array([steepest_smooth(self._bits)]))[0]
        clipped = np.zeros(self.channels, int)
        for (polarity, channel), counter in self._counts.items():
            lowest = self.lowest_level(polarity, channel)
            for (level, steepness), samples in counter.items():
                clipped[channel] += samples * (level >= lowest and steepness >= steepest)
        return float(clipped.max() / max(self.frames, 1))


def _resolution_bits(planes: Samples, at_least: int) -> int:
    """The fewest bits, FINE_BITS at most, whose steps all samples are multiples of: 7 for a file of 8 bits."""
    bits = at_least
    while bits < FINE_BITS:
        steps = planes * np.float32(2**bits)
        if np.array_equal(steps, np.rint(steps)):
            break
        bits += 1
    return bits


def steepest_smooth(bits: int) -> float:
    """What a fall must exceed, over that of a smooth crest, to be that of a flat top."""
    return STEEPER_THAN_SMOOTH * max(float(TOLERANCE), 2.0**-bits if bits < FINE_BITS else 0.0)


def level_bins(values: Array) -> list[int]:
    """Magnitudes as whole twentieths of a decibel."""
    return np.floor(20 * _BINS_PER_DB * np.log10(values.astype(np.float64))).astype(int).tolist()  # type: ignore[no-any-return]


def clipped_share(samples: Samples, sample_rate_hz: int) -> float:
    """Share of the samples of a whole recording, [frames] or [frames, channels], that lie in flat tops, 0..1.

    >>> tone = np.sin(2 * np.pi * 441 * np.arange(44_100) / 44_100).astype(np.float32)
    >>> clipped_share(tone, 44_100), clipped_share(tone.clip(-0.5, 0.5), 44_100) > 0.6
    (0.0, True)
    """
    return measured(ClippingMeter, samples, sample_rate_hz)


def flat_tops(samples: Samples, sample_rate_hz: int) -> list[FlatTop]:
    """Where the flat tops are that `clipped_share` counts, by channel and start."""
    columns = samples[:, None] if samples.ndim == 1 else samples
    steepest = steepest_smooth(_resolution_bits(columns, 1))
    found = []
    for channel, plane in enumerate(np.ascontiguousarray(columns.T, np.float32)):
        for wave in (plane, -plane):
            runs = _runs(wave, wave.max(initial=0.0) * _WITHIN) if wave.max(initial=0.0) > 0 else None
            if runs is not None:
                found += _places(runs, channel, wave.max(), steepest, int(LONGEST_RUN_S * sample_rate_hz))
    return sorted(found)


def _places(runs: Runs, channel: int, peak: np.float32, steepest: float, longest_samples: int) -> list[FlatTop]:
    lowest = level_bins(np.array([peak]))[0] - int(WITHIN_DB * _BINS_PER_DB)
    steep_bin = level_bins(np.array([steepest]))[0]
    kept = (runs.stop - runs.start <= longest_samples) & (runs.steepness > STEEPER_THAN_SMOOTH * TOLERANCE)
    starts, stops, levels, steepness = (column[kept] for column in runs)
    rows = zip(starts.tolist(), stops.tolist(), level_bins(levels), level_bins(steepness), strict=True)
    return [FlatTop(channel, a, b) for a, b, level, steep in rows if level >= lowest and steep >= steep_bin]
