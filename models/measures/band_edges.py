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
import numpy.typing as npt

from models.measures.blocks import Array, Places, Samples
from models.measures.compiled import compiled

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


@compiled
def edges(rise: Samples) -> Samples:
    """How far levels rise at each cell, [channels, cells], dB summed over bands; 0 where too few do."""
    found = np.zeros(rise.shape[:2], np.float32)
    for channel in range(len(rise)):
        for cell in range(rise.shape[1]):
            total, count = np.float32(0), 0
            for band in range(rise.shape[2]):
                own = rise[channel, cell, band]
                if own > STEP_DB:
                    total, count = total + min(own, np.float32(MOST_DB)), count + 1
            if count >= FEWEST:
                found[channel, cell] = total
    return found


@compiled
def _is_top(values: Samples, place: int, reach: int, least: float) -> bool:
    """Whether the value at a place is over `least`, and the first of the highest within reach."""
    if values[place] <= least:
        return False
    for away in range(1, reach + 1):
        if values[place] <= values[place - away] or values[place] < values[place + away]:
            return False
    return True


@compiled
def tops(values: Samples, reach: int, least: float) -> Places:
    """Places from `reach` on, and so many before the end, of the highest within reach, if they are over `least`."""
    found, count = np.empty(len(values), np.int64), 0
    for place in range(reach, len(values) - reach):
        if _is_top(values, place, reach, least):
            found[count] = place
            count += 1
    return found[:count].copy()


def paired(cells: Cells, of: Places, stops: Places) -> Iterator[Pair]:
    """The rises that go best with the falls at `stops`, in order, of the channels `of`."""
    first = max(0, int(stops[0]) - LONGEST - 1)  # no rise before it is near enough to any of them
    rises = edges(cells.rise[:, first : stops[-1]].copy())
    starts = _starts(cells.level, cells.rise, cells.before, cells.after, rises, first, of, stops)
    for number, place in np.argwhere(starts >= 0).tolist():
        pair = _pair(cells, int(of[number]), int(starts[number, place]), int(stops[number]))
        if pair is not None:
            yield pair


@compiled
def _starts(
    level: Samples,
    rise: Samples,
    before: Samples,
    after: Samples,
    rises: Samples,
    first: int,
    of: Places,
    stops: Places,
) -> Places:
    """The rises that go best with each fall, the best first, [stops, MOST_PAIRED]; -1 for none.

    Args:
        level, rise, before, after: as in Cells.
        rises: `edges` [channels, cells] from cell `first` on.
        of, stops: channels and cells of the falls.
    """
    found, sums = np.full((len(stops), MOST_PAIRED), -1, np.int64), np.empty(level.shape[2], np.float64)
    for number in range(len(stops)):
        channel, stop, steps = of[number], stops[number], rises[of[number]]
        totals, sums[:] = np.zeros(MOST_PAIRED, np.float64), 0  # over what is between
        for start in range(stop - 1, max(first, stop - LONGEST - 1), -1):
            length = stop - start - 1
            if length >= SHORTEST and _is_top(steps, start - first, 1, LEAST_DB):
                ends = before[channel, start], after[channel, stop]
                total = _total(sums, length, rise[channel, start], rise[channel, stop], ends)
                _note(total, start, totals, found[number])
            for band in range(len(sums)):
                sums[band] += level[channel, start, band]
    return found


@compiled
def _total(sums: Array, length: int, rise: Samples, fall: Samples, ends: tuple[Samples, Samples]) -> float:
    """How far what is between stands out at both ends, dB summed over bands; 0 if it does in none by enough."""
    total, highest, (before, after) = 0.0, 0.0, ends
    for band in range(len(sums)):
        above = sums[band] / length - max(before[band], after[band])
        least = _least(above, rise[band], fall[band], abs(before[band] - after[band]))
        if least > STEP_DB:
            total, highest = total + min(least, MOST_DB), max(highest, above)
    return total if highest >= HIGHEST_DB else 0.0


@compiled
def _least(above: float, rise: float, fall: float, unlike: float) -> float:
    """How far one band stands out at both ends, dB; 0 if these are too unlike."""
    return min(above, rise, -fall) if unlike < UNLIKE_DB else 0.0


@compiled
def _note(total: float, start: int, totals: Array, starts: Places) -> None:
    """Puts a rise among the best of a fall if it is one; it is earlier than all that were noted."""
    place = len(totals)
    while total > LEAST_DB and place and totals[place - 1] <= total:
        place -= 1
        if place + 1 < len(totals):
            totals[place + 1], starts[place + 1] = totals[place], starts[place]
        totals[place], starts[place] = total, start


def _pair(cells: Cells, channel: int, start: int, stop: int) -> Pair | None:
    """A rise and a fall with the bands that are filled between; None if these are too few."""
    before, after, level = (
        cells.before[channel, start],
        cells.after[channel, stop],
        cells.level[channel, start + 1 : stop],
    )
    inside, bands, total = _filled(level, cells.rise[channel, start], cells.rise[channel, stop], before, after)
    if np.count_nonzero(bands) < FEWEST or total <= LEAST_DB:
        return None
    return Pair(channel, start, stop, bands, inside, before, after)


@compiled
def _filled(
    level: Samples, rise: Samples, fall: Samples, before: Samples, after: Samples
) -> tuple[Array, npt.NDArray[np.bool_], float]:
    """Levels [bands] of what is between, which bands stand out and are filled, and by how much they do, dB together."""
    inside, bands, total = np.zeros(len(rise), np.float64), np.zeros(len(rise), np.bool_), 0.0
    for band in range(len(rise)):
        filled = 0
        for cell in range(len(level)):
            inside[band] += level[cell, band]
            filled += level[cell, band] > after[band] + np.float32(ABOVE_DB)
        inside[band] /= len(level)
        above, unlike = inside[band] - max(before[band], after[band]), abs(before[band] - after[band])
        least = _least(above, rise[band], fall[band], unlike)
        bands[band] = least > STEP_DB and filled > FILLED * len(level)
        if bands[band]:
            total += min(least, MOST_DB)
    return inside, bands, total


def decibels_of(power: Array) -> Array:
    """Of float32 powers; in one precision, for the logarithm is what takes time here."""
    return np.asarray(np.log(power + FAINTEST) * np.float32(10 / np.log(10)))
