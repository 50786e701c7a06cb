"""Partials of music, frame by frame, and how many of them two frames share if one is played at another speed.

Conventions. The recording is mixed to one channel and brought to about 11 kHz. Frames of 93 ms with a Hann window begin
every 20 ms. Of each, up to MOST peaks between 150 and 4800 Hz are kept that are as narrow as a steady tone: their
places in cents from 440 Hz, right to a few cents by a parabola through the logarithms of three bins (J. O. Smith and
X. Serra, "PARSHL", ICMC 1987), and their levels in decibels. On this axis a change of speed shifts all places alike.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft
from scipy.sparse import csr_array

from models.measures.blocks import Array, Samples
from models.measures.decimate import Decimator

HOP_S, WINDOW_S = 0.02, 0.093
SLOW_HZ = 11_025
LOWEST_HZ, HIGHEST_HZ = 150.0, 4800.0
MOST = 32
NARROW_DB = 6.0  # by which a peak exceeds what is two bins away; that of a steady tone does by more
RANGE_DB = 60.0  # below the strongest
FAINTEST_DB = -140.0  # of full scale
STEP_CENTS = 5
REACH = 120  #: steps by which places may be shifted at the most, either way: 600 cents, a ratio of 1.41
NONE = np.float32(-30_000)  #: the place of no partial
ALIKE_DB = 12.0  # levels of one partial in two frames differ by less
_CHUNK = 32  # frames at once, which fit a cache


class Partials:
    """Takes a recording in blocks [frames] of one channel, gives the partials of the frames that they complete."""

    def __init__(self, sample_rate_hz: int) -> None:
        from scipy.signal import firwin  # here, since scipy.signal takes a second to import

        self._step = max(1, round(sample_rate_hz / SLOW_HZ))
        self.rate_hz = sample_rate_hz / self._step
        taps = firwin(8 * self._step + 1, 0.9 / self._step).astype(np.float32)
        self._decimator = Decimator(taps, self._step, 1, len(taps) // 2) if self._step > 1 else None
        self._size, self._hop = 2 * round(WINDOW_S * self.rate_hz / 2), round(HOP_S * self.rate_hz)
        self.hop_s, self.middle_s = self._hop / self.rate_hz, self._size / 2 / self.rate_hz  #: of the first frame
        window = np.hanning(self._size + 1)[:-1]
        self._window = (window * 2 / window.sum()).astype(np.float32)
        self._slow = np.empty(0, np.float32)
        bins = np.array([LOWEST_HZ, min(HIGHEST_HZ, 0.45 * self.rate_hz)]) * self._size / self.rate_hz
        self._low, self._high = int(bins[0]), int(bins[1])

    def add(self, wave: Samples) -> tuple[Samples, Samples]:
        """Places and levels, each [frames, MOST]; places of no partial are NONE."""
        slow = self._decimator.add(wave[None])[0] if self._decimator else wave
        self._slow = np.concatenate([self._slow, slow])
        count = max(0, (len(self._slow) - self._size) // self._hop + 1)
        if not count:
            return np.empty((0, MOST), np.float32), np.empty((0, MOST), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(self._slow, self._size)[: count * self._hop : self._hop]
        spectra = rfft(frames * self._window, axis=1)[:, self._low - 2 : self._high + 2]
        self._slow = self._slow[count * self._hop :]
        return self._peaks(spectra.real**2 + spectra.imag**2)

    def _peaks(self, powers: Samples) -> tuple[Samples, Samples]:
        """Of powers [frames, bins], two bins more at either side."""
        middle = powers[:, 2:-2]
        floor = np.maximum(middle.max(axis=1, keepdims=True) * _ratio(-RANGE_DB), _ratio(FAINTEST_DB))
        tops = (middle > powers[:, 1:-3]) & (middle >= powers[:, 3:-1]) & (middle > floor)
        tops &= middle > _ratio(NARROW_DB) * np.maximum(powers[:, :-4], powers[:, 4:])
        frames, bins = np.divmod(np.flatnonzero(tops), middle.shape[1])
        around = powers.ravel()[frames * powers.shape[1] + bins + np.arange(1, 4)[:, None]]  # [bins, peaks]
        left, heights, right = 10 * np.log10(np.maximum(around, np.float32(1e-20)))
        bend = 2 * heights - left - right
        place = (self._low + bins + (right - left) / (2 * bend)) * (self.rate_hz / self._size / 440)
        kept = highest_of(frames, heights, len(powers), MOST)  # -1, the last of what follows, is no partial
        cents = np.append(1200 * np.log2(place), NONE).astype(np.float32)
        return cents[kept], np.append(heights, np.float32(FAINTEST_DB))[kept]


def _ratio(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 10))


def highest_of(rows: Array, heights: Samples, count: int, most: int) -> Array:
    """The `most` highest of each row, as indices of `heights` [n], -1 for none: [count, most].

    Args:
        rows: [n], of 0..count - 1, in order.
    """
    columns = np.arange(len(rows)) - np.searchsorted(rows, np.arange(count))[rows]
    table = np.full((count, max(most, int(columns.max(initial=0)) + 1)), -np.inf, np.float32)
    places = np.full(table.shape, -1)
    table[rows, columns], places[rows, columns] = heights, np.arange(len(rows))
    if table.shape[1] == most:
        return places
    return np.take_along_axis(places, np.argpartition(-table, most - 1, axis=1)[:, :most], 1)


def shared(places: Samples, levels: Samples, lag: int) -> Samples:
    """How many partials each frame shares with that `lag` frames later, were this shifted, [frames - lag, shifts].

    Shifts are -REACH..REACH steps of STEP_CENTS; partials count by how alike their levels are.
    """
    votes = np.empty((max(0, len(places) - lag), 2 * REACH + 1), np.float32)
    for at in range(0, len(votes), _CHUNK):
        own = votes[at : at + _CHUNK]
        cells, alike = _pairs(places[at : at + len(own) + lag], levels[at : at + len(own) + lag], lag)
        padded = np.zeros((len(own), own.shape[1] + 4), np.float32)
        padded[:, 2:-2] = np.bincount(cells, alike, own.size).reshape(own.shape)
        own[:] = padded[:, 1:-3] + padded[:, 2:-2] + padded[:, 3:-1] + (padded[:, :-4] + padded[:, 4:]) / 2
    return votes


def _pairs(places: Samples, levels: Samples, lag: int) -> tuple[Array, Samples]:
    """Of each pair of partials `lag` frames apart: its cell of [frames - lag, shifts], and how alike the levels are."""
    later = np.where(places > NONE, places, -NONE)[lag:]  # so that two that are none are far from each other
    apart = (later[:, None] - places[:-lag, :, None]).ravel()
    unlike = np.abs(levels[lag:, None] - levels[:-lag, :, None]).ravel()
    counted = np.flatnonzero((np.abs(apart) <= (REACH + 0.5) * STEP_CENTS) & (unlike < ALIKE_DB))
    shifts = np.rint(apart[counted] / STEP_CENTS).astype(np.int64) + REACH
    alike = 1 - unlike[counted] / np.float32(ALIKE_DB)
    return counted // places.shape[1] ** 2 * (2 * REACH + 1) + shifts, alike


def usual_places(places: Samples) -> Samples:
    """How much more often than its surroundings each place is taken, as a logarithm.

    Music takes the same pitches again and again. The index of a place is that of `steps_of`; at both ends REACH places
    more are 0.
    """
    steps = steps_of(places)
    counts = np.bincount(steps[steps >= 0], minlength=_PLACES).astype(np.float32)
    taken = np.convolve(counts, np.array([1, 2, 3, 2, 1], np.float32) / 9, "same")
    around = np.convolve(taken, np.full(41, 1 / 41, np.float32), "same")
    usual = np.log((taken + 0.1 * around + 0.5) / (1.1 * around + 0.5))
    return np.pad(np.clip(usual, -1.5, 1.5), (REACH, REACH)).astype(np.float32)


_LOWEST_CENTS, _PLACES = -1900, 1230  # 147 to 5140 Hz


def steps_of(places: Samples) -> Array:
    """Places as whole steps of STEP_CENTS from the lowest, int64; -1 for no partial."""
    steps = np.rint((places - _LOWEST_CENTS) / STEP_CENTS)
    return np.where((steps >= 0) & (steps < _PLACES), steps, -1).astype(np.int64)


def fits(places: Samples, usual: Samples) -> Samples:
    """How well each frame's partials lie at usual places, were they shifted back by each shift, [frames, shifts]."""
    steps = steps_of(places)
    heard = steps >= 0
    ends = np.append(0, np.cumsum(heard.sum(axis=1)))
    downwards = np.lib.stride_tricks.sliding_window_view(usual, 2 * REACH + 1)[:, ::-1]  # place plus REACH comes first
    taken = csr_array((np.ones(ends[-1], np.float32), steps[heard], ends), shape=(len(places), len(downwards)))
    return np.asarray(taken @ np.ascontiguousarray(downwards))
