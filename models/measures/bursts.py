"""Bursts of noise: they come and go from one moment to the next, and are noise between.

Noise that is added fills the spectrum up: within milliseconds the level rises in some bands, stays above what was
there, and falls back at once when it is over, where music goes on as it was. In between it is unforeseeable at every
sample: whitened, it has no autocorrelation, so no pitch; and its level in each band varies from cell to cell as the
power of Gaussian noise does, by a gamma distribution, which steady tones do not reach and speech exceeds. What is
played or spoken shares some of this, but dies away or closes softly, and drums come again.

So each fall of the level in two bands and more is paired with the rises before it, in cells of 6 ms. A sum of evidence,
less for whatever comes again or in a texture of its like, is the log odds of a burst. Its weights are those of a
logistic regression on injected bursts against clean music, speech and effects. Scores below 0.5 are unsure: they need
another witness (models/detection/detector.py). Below 32 kHz a singer's sibilants and plosives end as fast: less sure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft

from models.events import Event
from models.measures.band_edges import (
    FAR,
    LEAST_DB,
    LONGEST,
    REACH,
    Cells,
    Pair,
    bands_of,
    decibels_of,
    edges,
    paired,
    settled,
    tops,
)
from models.measures.blocks import Array, Samples, measured
from models.measures.compiled import compiled
from models.measures.finding import CERTAIN, MOST_EVENTS, Finder
from models.measures.tonality import Tonality

CELL_S = 0.0058
SHARED = 0.5  # of its rise, that other channels have if it is theirs, too
LONG = 25  # cells; beyond, length is no evidence any more
TONAL = (2.5, 8.0)  # of the autocorrelation, over the deviation that noise has: as noise, no noise
SPREAD, USUAL = 3.2, 1.15  # of the levels in a band, over that of noise: at most, and of bursts in music
SWELL_DB = (-14.0, 10.0)  # from the first half to the second
KEPT = LONGEST + 2 * FAR  # cells
WEIGHTS = np.array([-5.1, -3.8, 0.17, 0.2, -0.07, 0.32, 2.0])  # of what _evidence lists, behind that of the pitch
ODDS, LEAST_ODDS = -3.2, -2.0  # before any evidence; of what may come again
EVEN_CREST, TOP, MOST_AT_TOP = 2.4, 0.998, 0.01  # peak over root mean square; share at the peak, unless clipped
LEAST_TOLD, SURE = 0.8, 3.0  # log odds from which a burst is told, and that score 0.5
MOST_SURE = CERTAIN - 0.01  # the score that none exceeds: what is alike to the ear may have another origin
NARROW_BELOW_HZ, NARROW = 32_000, 5.0  # log odds less
SIBILANT_HZ, SIBILANT_DB, SIBILANT = 2500, 15.0, 4.5  # and where there is so much less below
AGAIN, TEXTURE = 2.0, 0.7  # log odds less for each that is like it, and for each beyond two beside it
MOST_AGAIN, BESIDE = 4, 2
AGAIN_S, BESIDE_S, APART_S = 20.0, 3.0, 0.02
LIKE_DB, AS_LONG = 3.5, 1.4
WEAKER = 4.0  # log odds by which what comes again may be less evident
CELLS_OF = 8  # a second that are told apart where it is counted what comes again


class _Found(NamedTuple):
    start: int  # frames
    stop: int
    channel: int | None
    odds: float  # logarithm
    bands: Array
    inside: Array
    rise: float  # dB


class BurstFinder(Finder):
    """Bursts of noise, by channel."""

    name = "noise_burst"
    context_s = 0.2

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._size = 2 * max(16, round(CELL_S * sample_rate_hz / 2))
        self._edges_hz, self._matrix, self._spread = bands_of(self._size, sample_rate_hz)
        self._window = np.hanning(self._size + 1)[:-1].astype(np.float32)
        faint = np.zeros((channels, FAR, len(self._spread)), np.float32)
        self._first = -FAR  # the cell that is held first
        self._power, self._cells = faint, Cells(*[decibels_of(faint)] * 4)
        self._cells = self._cells._replace(rise=faint)
        self._tonality = Tonality(sample_rate_hz, self._edges_hz)
        self._noise: list[_Found] = []

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        begin = (self._first + self._power.shape[1]) * self._size - at
        self._power = np.concatenate([self._power, self._powers(planes[:, begin:])], axis=1)
        known = self._cells.level.shape[1]
        self._cells = settled(self._power, self._cells)
        for pair in self._pairs(max(known - REACH, REACH)):
            self._weigh(pair, planes, at)
        self._forget()

    def _powers(self, planes: Samples) -> Array:
        count = planes.shape[1] // self._size
        cells = planes[:, : count * self._size].reshape(self.channels, count, self._size)
        parts = scipy.fft.rfft(cells * self._window, axis=2).view(np.float32)
        return np.asarray(np.square(parts, out=parts) @ self._matrix)

    def _forget(self) -> None:
        spare = max(self._cells.level.shape[1] - KEPT, 0)
        self._first += spare
        self._power = self._power[:, spare:].copy()
        self._cells = Cells(*(values[:, spare:].copy() for values in self._cells))

    def _pairs(self, first: int) -> Iterator[Pair]:
        """Rises and falls, of those that end from cell `first` on; the last ones are left for later."""
        falls = edges(-self._cells.rise[:, first - REACH :])
        stops = tops(falls.max(axis=0), REACH, LEAST_DB) + first - REACH
        return paired(self._cells, falls.argmax(axis=0)[stops - first + REACH], stops) if len(stops) else iter(())

    def _weigh(self, pair: Pair, planes: Samples, at: int) -> None:
        """Notes the pair, of `planes` that begin at frame `at`, if it may be a burst."""
        odds, best = self._odds(pair), float(WEIGHTS[0]) * math.log(TONAL[0])
        if odds + best < LEAST_ODDS or len(self._noise) >= MOST_EVENTS:
            return
        start, stop = (round((self._first + cell + 0.5) * self._size) for cell in (pair.start, pair.stop))
        wave = planes[pair.channel, max(start - at, 0) : stop - at]
        tonal = self._tonality.of(wave, pair.bands)
        odds += min(float(WEIGHTS[0]) * math.log(max(tonal, 1.0)), best)
        if odds > LEAST_ODDS and tonal < TONAL[1] and not _is_even(wave):
            rise = float((pair.inside - pair.outside)[pair.bands].mean())
            channel = None if self._rises(pair).min() > SHARED * rise else pair.channel
            self._noise.append(_Found(start, stop, channel, odds, pair.bands, pair.inside, rise))

    def _odds(self, pair: Pair) -> float:
        """That it is noise that was added, if it should be unforeseeable."""
        levels = self._cells.level[pair.channel, pair.start + 1 : pair.stop]
        odds = ODDS + _evidence(pair, levels, self._spread)
        if self.sample_rate_hz < NARROW_BELOW_HZ:
            low = pair.inside[: np.searchsorted(self._edges_hz, SIBILANT_HZ)]
            odds -= NARROW + SIBILANT * float(low.max() < pair.inside.max() - SIBILANT_DB)
        return odds

    def _rises(self, pair: Pair) -> Array:
        """How far each channel stands out of what is before and after, dB [channels]."""
        cells = self._cells
        outside = np.maximum(cells.before[:, pair.start], cells.after[:, pair.stop])
        inside = cells.level[:, pair.start + 1 : pair.stop].mean(axis=1)
        return np.asarray((inside - outside)[:, pair.bands].mean(axis=1))

    def _close(self) -> None:
        self._noise.sort(key=lambda found: found.start)
        for found, odds in zip(self._noise, _alone(self._noise, self.sample_rate_hz), strict=True):
            if odds > LEAST_TOLD:
                ms = 1000 * (found.stop - found.start) / self.sample_rate_hz
                words = f"noise for {ms:.0f} ms, {found.rise:.0f} dB above what was there before and after"
                self.tell(found.start, found.stop, found.channel, min(MOST_SURE, 1 / (1 + np.exp(SURE - odds))), words)

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        """Of those that overlap the surest."""
        kept: list[Event] = []
        for event in sorted(events, key=lambda event: event.start_s):
            if kept and event.start_s < kept[-1].end_s:
                kept[-1] = max(kept[-1], event, key=lambda event: event.score)
            else:
                kept.append(event)
        return kept


def _evidence(pair: Pair, levels: Array, spread: Array) -> float:
    """What speaks for noise, but for its being unforeseeable, of `levels` [cells, bands] within; -inf for none."""
    varies, swells = _varied(levels, pair.bands, pair.inside, spread)
    if varies > SPREAD or not SWELL_DB[0] < swells < SWELL_DB[1]:
        return -math.inf
    lost = float((pair.inside - np.minimum(pair.before, pair.after)).min())
    below = float(pair.inside.max() - pair.inside[pair.bands].max())
    highest = float((pair.inside - pair.outside)[pair.bands].max())
    length = math.log(min(len(levels) + 1, LONG))
    unlike = abs(math.log(max(varies, 1e-3) / USUAL))
    found = unlike, min(swells, 0.0), min(max(lost, -8), 2), min(below, 20.0), min(highest, 30.0), length
    return float(np.dot(WEIGHTS[1:], found))


@compiled
def _varied(levels: Samples, bands: npt.NDArray[np.bool_], inside: Array, spread: Array) -> tuple[float, float]:
    """How far levels [cells, bands] vary in each band, over what noise does; and by how much all swell, dB.

    Args:
        bands: those that count.
        inside: their means.
        spread: how far noise varies, dB by band.
    """
    cells, weights, squares, count = len(levels), 0.0, 0.0, 0
    for band in range(len(bands)):
        if bands[band]:
            weights, count = weights + spread[band] ** -2, count + 1
    halves = np.zeros(2, np.float64)
    for cell in range(cells):
        mean = 0.0
        for band in range(len(bands)):
            if bands[band]:
                mean += (levels[cell, band] - inside[band]) * spread[band] ** -2 / weights
        for band in range(len(bands)):
            if bands[band]:
                squares += ((levels[cell, band] - inside[band] - mean) / spread[band]) ** 2
        halves[int(cell >= cells // 2)] += mean
    varies = math.sqrt(squares / (cells * (count - 1)))
    return varies, halves[1] / (cells - cells // 2) - halves[0] / (cells // 2)


def _is_even(wave: Samples) -> bool:
    """Whether all values are alike, as those of data are: digital noise (models/measures/static.py)."""
    heights = np.abs(wave[len(wave) // 8 : -len(wave) // 8])
    peak = heights.max(initial=0.0)
    even = peak < EVEN_CREST * np.sqrt(np.mean(np.square(heights)))
    return bool(even and np.count_nonzero(heights >= TOP * peak) < MOST_AT_TOP * len(heights))


def _alone(noise: Sequence[_Found], rate_hz: int) -> list[float]:
    """The odds of each, in order of time, less what comes again and what there is beside it."""
    if not noise:
        return []
    starts, stops, odds = (
        np.array(values) for values in [*list(zip(*noise, strict=True))[:2], [found.odds for found in noise]]
    )
    inside = np.array([found.inside for found in noise])
    left = []
    for found in noise:
        near = slice(*np.searchsorted(starts, [found.start - AGAIN_S * rate_hz, found.start + AGAIN_S * rate_hz]))
        apart = (starts[near] > found.stop + APART_S * rate_hz) | (stops[near] < found.start - APART_S * rate_hz)
        apart &= odds[near] > found.odds - WEAKER
        unlike = np.abs(inside[near] - found.inside)[:, found.bands].mean(axis=1)
        longer = np.abs(np.log((stops - starts)[near] / (found.stop - found.start)))
        again = apart & (unlike < LIKE_DB) & (longer < np.log(AS_LONG))
        beside = apart & (np.abs(starts[near] - found.start) < BESIDE_S * rate_hz)
        times = [len(np.unique(starts[near][those] * CELLS_OF // rate_hz)) for those in (again, beside)]
        left.append(found.odds - AGAIN * min(times[0], MOST_AGAIN) - TEXTURE * max(times[1] - BESIDE, 0))
    return left


def find_bursts(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Bursts of noise of a whole recording, [frames] or [frames, channels]."""
    return measured(BurstFinder, samples, sample_rate_hz)
