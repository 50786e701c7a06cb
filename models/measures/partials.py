"""Partials of music, frame by frame, and how many of them two frames share if one is played at another speed.

Conventions. The recording is mixed to one channel and brought to about 11 kHz. Frames of 93 ms with a Hann window begin
every 20 ms. Of each, up to MOST peaks between 150 and 4800 Hz are kept that are as narrow as a steady tone: their
places in cents from 440 Hz, right to a few cents by a parabola through the logarithms of three bins (J. O. Smith and
X. Serra, "PARSHL", ICMC 1987), and their levels in decibels. On this axis a change of speed shifts all places alike.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from models.measures.blocks import Array, Samples

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
_CHUNK = 100  # frames at once, which fit a cache


class Partials:
    """Takes a recording in blocks [frames] of one channel, gives the partials of the frames that they complete."""

    def __init__(self, sample_rate_hz: int) -> None:
        from scipy.signal import firwin  # here and below, since scipy.signal takes a second to import

        self._step = max(1, round(sample_rate_hz / SLOW_HZ))
        self.rate_hz = sample_rate_hz / self._step
        self._taps = firwin(8 * self._step + 1, 0.9 / self._step).astype(np.float32)
        self._unfiltered = np.zeros(len(self._taps) // 2, np.float32)
        self._size, self._hop = 2 * round(WINDOW_S * self.rate_hz / 2), round(HOP_S * self.rate_hz)
        self.hop_s, self.middle_s = self._hop / self.rate_hz, self._size / 2 / self.rate_hz  #: of the first frame
        window = np.hanning(self._size + 1)[:-1]
        self._window = (window * 2 / window.sum()).astype(np.float32)
        self._slow = np.empty(0, np.float32)
        bins = np.array([LOWEST_HZ, min(HIGHEST_HZ, 0.45 * self.rate_hz)]) * self._size / self.rate_hz
        self._low, self._high = int(bins[0]), int(bins[1])

    def add(self, wave: Samples) -> tuple[Samples, Samples]:
        """Places and levels, each [frames, MOST]; places of no partial are NONE."""
        self._slow = np.concatenate([self._slow, self._decimated(wave)])
        count = max(0, (len(self._slow) - self._size) // self._hop + 1)
        if not count:
            return np.empty((0, MOST), np.float32), np.empty((0, MOST), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(self._slow, self._size)[: count * self._hop : self._hop]
        spectra = rfft(frames * self._window, axis=1)[:, self._low - 2 : self._high + 2]
        self._slow = self._slow[count * self._hop :]
        levels = 10 * np.log10(np.maximum(spectra.real**2 + spectra.imag**2, np.float32(1e-20)))
        return self._peaks(levels)

    def _decimated(self, wave: Samples) -> Samples:
        from scipy.signal import upfirdn

        if self._step == 1:
            return wave
        joined = np.concatenate([self._unfiltered, wave])
        outputs = max(0, (len(joined) - len(self._taps)) // self._step + 1)
        self._unfiltered = joined[outputs * self._step :].copy()
        first = (len(self._taps) - 1) // self._step  # outputs before that lack some of their input
        return np.asarray(upfirdn(self._taps, joined, 1, self._step)[first : first + outputs], np.float32)

    def _peaks(self, levels: Samples) -> tuple[Samples, Samples]:
        """Of levels [frames, bins], two bins more at either side."""
        middle, left, right = levels[:, 2:-2], levels[:, 1:-3], levels[:, 3:-1]
        floor = np.maximum(middle.max(axis=1, keepdims=True) - RANGE_DB, FAINTEST_DB)
        is_peak = (middle > left) & (middle >= right) & (middle > floor)
        is_peak &= middle - np.maximum(levels[:, :-4], levels[:, 4:]) > NARROW_DB
        heights = np.where(is_peak, middle, -np.inf)
        at = np.argpartition(-heights, MOST - 1, axis=1)[:, :MOST]
        rows = np.arange(len(levels))[:, None]
        heights, left, right = heights[rows, at], left[rows, at], right[rows, at]
        found = np.isfinite(heights)
        heights = np.where(found, heights, FAINTEST_DB)
        bend = np.where(found, 2 * heights - left - right, 1)
        place = (self._low + at + (right - left) / (2 * bend)) * (self.rate_hz / self._size / 440)
        cents = 1200 * np.log2(np.where(found, place, 1))
        return np.where(found, cents, NONE).astype(np.float32), heights.astype(np.float32)


def shared(places: Samples, levels: Samples, lag: int) -> Samples:
    """How many partials each frame shares with that `lag` frames later, were this shifted, [frames - lag, shifts].

    Shifts are -REACH..REACH steps of STEP_CENTS; partials count by how alike their levels are.
    """
    count = max(0, len(places) - lag)
    chunks = [
        _shared(places[at : min(at + _CHUNK, count) + lag], levels[at : min(at + _CHUNK, count) + lag], lag)
        for at in range(0, count, _CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.empty((0, 2 * REACH + 1), np.float32)


def _shared(places: Samples, levels: Samples, lag: int) -> Samples:
    shifts = np.rint((places[lag:, None, :] - places[:-lag, :, None]) / STEP_CENTS)
    near = (np.abs(shifts) <= REACH) & (places[:-lag, :, None] > NONE)
    frames, one, other = np.nonzero(near)
    alike = 1 - np.abs(levels[frames + lag, other] - levels[frames, one]) / np.float32(ALIKE_DB)
    width = 2 * REACH + 1
    cells = frames * width + shifts[near].astype(np.int64) + REACH
    votes = np.bincount(cells, np.maximum(alike, 0), (len(places) - lag) * width)
    padded = np.pad(votes.reshape(-1, width).astype(np.float32), ((0, 0), (2, 2)))
    inner = padded[:, 1:-3] + padded[:, 2:-2] + padded[:, 3:-1]
    return np.asarray(inner + (padded[:, :-4] + padded[:, 4:]) / 2, np.float32)


def usual_places(places: Samples) -> Samples:
    """How much more often than its surroundings each place is taken, as a logarithm.

    Music takes the same pitches again and again. The index of a place is that of `steps_of`; at both ends REACH places
    more are 0, and so is what stands for no partial.
    """
    steps = steps_of(places)
    counts = np.bincount(steps[steps >= 0], minlength=_PLACES).astype(np.float32)
    taken = np.convolve(counts, np.array([1, 2, 3, 2, 1], np.float32) / 9, "same")
    around = np.convolve(taken, np.full(41, 1 / 41, np.float32), "same")
    usual = np.log((taken + 0.1 * around + 0.5) / (1.1 * around + 0.5))
    return np.pad(np.clip(usual, -1.5, 1.5), (REACH, 3 * REACH + 1)).astype(np.float32)


_LOWEST_CENTS, _PLACES = -1900, 1230  # 147 to 5140 Hz


def steps_of(places: Samples) -> Array:
    """Places as whole steps of STEP_CENTS from the lowest, int64; -1 for no partial."""
    steps = np.rint((places - _LOWEST_CENTS) / STEP_CENTS)
    return np.where((steps >= 0) & (steps < _PLACES), steps, -1).astype(np.int64)


def fits(places: Samples, usual: Samples) -> Samples:
    """How well each frame's partials lie at usual places, were they shifted back by each shift, [frames, shifts]."""
    steps = steps_of(places)
    starts = np.where(steps >= 0, steps, _PLACES + REACH)  # where all is 0
    windows = np.lib.stride_tricks.sliding_window_view(usual, 2 * REACH + 1)
    chunks = [windows[starts[at : at + _CHUNK]].sum(axis=1) for at in range(0, len(starts), _CHUNK)]
    backwards = np.concatenate(chunks) if chunks else np.empty((0, 2 * REACH + 1), np.float32)
    return np.asarray(backwards[:, ::-1], np.float32)  # from the place minus REACH upwards is the shift downwards
