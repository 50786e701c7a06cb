"""Where levels rise and fall in many bands at once, and which rise goes with which fall.

Conventions. Cells follow each other without overlap; their powers are float32 [channels, cells, bands], full scale 1.0,
levels are dB. An edge is at a cell if the level differs between the cells before and after that one: what begins
within a cell makes it neither. Edges of noise in 6 ms are sure to about 2 dB in each band.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from models.measures.blocks import Array, Samples

EDGES_HZ = (350, 1000, 1700, 2500, 3300, 4200, 5200, 6400, 8000, 10_000, 12_500, 16_000, 21_000)
FAINTEST = np.float32(1e-10)  # power
NEAR, FAR = 3, 6  # cells beside an edge: for the edge, for the level
STEP_DB, MOST_DB = 4.0, 15.0  # from which a band has an edge, and up to which it counts
LEAST_DB = 20.0  # summed over bands: of a rise, of a fall and of both, which is no more than either
HIGHEST_DB = 11.0  # that one of the bands stands out of what is before and after
FEWEST = 2  # bands
REACH = 2  # cells within which there is one fall
SHORTEST, LONGEST = 8, 145  # cells
FILLED, ABOVE_DB = 0.8, 2.0  # share of a band's cells that lie so far above what comes after
UNLIKE_DB = 20.0  # a band before and after
MOST_PAIRED = 2  # rises that are paired with a fall


class Cells(NamedTuple):
    """What lies in each band before and after each cell, [channels, cells, bands], dB."""

    level: Array
    rise: Array
    before: Array
    after: Array


class Pair(NamedTuple):
    """A rise and a fall."""

    channel: int
    start: int  # cells, of those that are held
    stop: int
    bands: Array  # that both have, bool [bands]
    inside: Array  # dB [bands]
    before: Array
    after: Array

    @property
    def outside(self) -> Array:
        """What it must stand out of, dB [bands]."""
        return np.asarray(np.maximum(self.before, self.after))


def bands_of(size: int, rate_hz: int) -> tuple[list[float], Samples, Array]:
    """Edges in Hz; what sums the squares of a spectrum over bands; how far the level of noise varies, dB by band."""
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    edges = [float(edge) for edge in EDGES_HZ if edge < 0.46 * rate_hz]
    if len(edges) < len(EDGES_HZ):
        edges.append(min(EDGES_HZ[len(edges)], 0.495 * rate_hz))
    places = np.searchsorted(hz, edges)
    matrix = np.zeros((len(hz), len(edges) - 1), np.float32)
    for band, (low, high) in enumerate(pairwise(places)):
        matrix[low:high, band] = 1 / (0.375 * size**2)
    shape = np.diff(places) / 1.5 + 0.3  # of a gamma distribution; neighbours are alike under a Hann window
    return edges, np.repeat(matrix, 2, axis=0), 4.343 * np.sqrt(1 / shape + 0.5 / shape**2)


def settled(power: Array, cells: Cells) -> Cells:
    """`cells` with those added that have as many behind them as it takes."""
    known = cells.level.shape[1]
    near = power[:, known - FAR :]
    three = (near[:, 2:] + near[:, 1:-1] + near[:, :-2]) / np.float32(NEAR)
    count = power.shape[1] - known - FAR
    if count < 1:
        return cells
    means = [three[:, FAR + shift :][:, :count] for shift in (-NEAR, 1, -FAR, 1 + NEAR)]
    before, after = means[0], means[1]
    level = power[:, known:][:, :count]
    made = decibels_of(np.stack([level, before, after, (before + means[2]) / 2, (after + means[3]) / 2]))
    added = made[0], made[2] - made[1], np.minimum(made[1], made[3]), np.minimum(made[2], made[4])
    return Cells(*(np.concatenate(pair, axis=1) for pair in zip(cells, added, strict=True)))


def edges(rise: Array) -> Array:
    """How far levels rise at each cell, dB summed over bands; 0 where too few do."""
    is_edge = (rise > STEP_DB).astype(np.float32)
    ones = np.ones(rise.shape[-1], np.float32)  # a product of matrices is faster than short sums
    return np.asarray(((np.minimum(rise, MOST_DB) * is_edge) @ ones) * (is_edge @ ones >= FEWEST))


def tops(values: Array, reach: int, least: float) -> Array:
    """Places from `reach` on, and so many before the end, of the highest within reach, if they are over `least`."""
    places = np.flatnonzero(values[reach : len(values) - reach] > least) + reach
    if not len(places):
        return places
    beside = values[places[:, None] + np.arange(-reach, reach + 1)]
    return np.asarray(places[beside.argmax(axis=1) == reach])


def paired(cells: Cells, of: Array, stops: Array) -> Iterator[Pair]:
    """The rises that go best with the falls at `stops`, in order, of the channels `of`."""
    first = max(0, int(stops[0]) - LONGEST - 1)  # no rise before it is near enough to any of them
    starts = [tops(rise, 1, LEAST_DB) + first for rise in edges(cells.rise[:, first : stops[-1]])]
    own = np.repeat(np.arange(len(starts)), [len(places) for places in starts])
    length = stops[:, None] - np.concatenate(starts) - 1
    which, begun = np.nonzero((length >= SHORTEST) & (length < LONGEST) & (of[:, None] == own))
    if not len(which):
        return
    channel, start, stop, length = of[which], np.concatenate(starts)[begun], stops[which], length[which, begun]
    sums = np.cumsum(cells.level[:, first : stops[-1]].astype(np.float64), axis=1)
    inside = (sums[channel, stop - 1 - first] - sums[channel, start - first]) / length[:, None]
    before, after = cells.before[channel, start], cells.after[channel, stop]
    above = inside - np.maximum(before, after)
    rise = np.minimum(np.minimum(cells.rise[channel, start], -cells.rise[channel, stop]), above)
    bands = (rise > STEP_DB) & (np.abs(before - after) < UNLIKE_DB)
    rise = np.where(bands, np.minimum(rise, MOST_DB), 0)
    totals = rise.sum(axis=1)
    totals[np.where(bands, above, 0).max(axis=1) < HIGHEST_DB] = 0
    best = np.flatnonzero(totals > LEAST_DB)
    best = best[np.lexsort((-totals[best], which[best]))]
    best = best[np.arange(len(best)) - np.searchsorted(which[best], which[best]) < MOST_PAIRED]
    for one in best.tolist():
        within = cells.level[channel[one], start[one] + 1 : stop[one]] > after[one] + ABOVE_DB
        own = bands[one] & (np.count_nonzero(within, axis=0) > FILLED * length[one])
        if np.count_nonzero(own) >= FEWEST and rise[one, own].sum() > LEAST_DB:
            place = int(channel[one]), int(start[one]), int(stop[one])
            yield Pair(*place, own, inside[one], before[one], after[one])


def decibels_of(power: Array) -> Array:
    """Of float32 powers; in one precision, for the logarithm is what takes time here."""
    return np.asarray(np.log(power + FAINTEST) * np.float32(10 / np.log(10)))
