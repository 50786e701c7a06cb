"""Partials of music, frame by frame, and how many of them two frames share if one is played at another speed.

Conventions. The recording is mixed to one channel and brought to about 11 kHz. Frames of 93 ms with a Hann window begin
every 20 ms. Of each, up to MOST peaks between 150 and 4800 Hz are kept that are as narrow as a steady tone: their
places in cents from 440 Hz, right to a few cents by a parabola through the logarithms of three bins (J. O. Smith and
X. Serra, "PARSHL", ICMC 1987), and their levels in decibels. On this axis a change of speed shifts all places alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from models.measures.blocks import Array, Places, Samples
from models.measures.compiled import compiled
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
_SHIFTS = 2 * REACH + 1


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
        """Places and levels, each [frames, MOST]: places in order, and behind them NONE for no partial."""
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
        floors = np.maximum(powers[:, 2:-2].max(axis=1) * _ratio(-RANGE_DB), _ratio(FAINTEST_DB))
        bins, around = _tops(powers, floors, _ratio(NARROW_DB))
        left, heights, right = 10 * np.log10(np.maximum(around, np.float32(1e-20)))
        bend = 2 * heights - left - right
        place = (self._low - 2 + bins + (right - left) / (2 * bend)) * (self.rate_hz / self._size / 440)
        cents = 1200 * np.log2(place)
        cents[bins < 0] = NONE
        return cents.astype(np.float32), heights


def _ratio(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 10))


@compiled
def _tops(powers: Samples, floors: Samples, narrow: np.float32) -> tuple[Places, Samples]:
    """The bins of the MOST highest peaks of each frame that exceed its floor, in order, [frames, MOST]; -1 for none.

    And the powers of these and of the bins beside them, [3, frames, MOST]; those of none are the faintest, and a peak.
    """
    found = np.full((len(powers), MOST), -1, np.int64)
    around = np.full((3, len(powers), MOST), 1e-20, np.float32)
    around[1, :, :] = 10 ** (FAINTEST_DB / 10)
    is_top = np.zeros(powers.shape[1], np.bool_)
    for frame in range(len(powers)):
        row, count, lowest = powers[frame], 0, 0
        _mark(row, floors[frame], narrow, is_top)
        for place in range(len(row)):
            if not is_top[place] or (count == MOST and row[place] <= row[found[frame, lowest]]):
                continue
            if count == MOST:
                for number in range(lowest, MOST - 1):
                    found[frame, number] = found[frame, number + 1]
            count = min(count + 1, MOST)
            found[frame, count - 1] = place
            if count == MOST:
                lowest = _lowest(row, found[frame])
        for number in range(count):
            for beside in range(3):
                around[beside, frame, number] = row[found[frame, number] - 1 + beside]
    return found, around


@compiled
def _mark(row: Samples, floor: np.float32, narrow: np.float32, is_top: npt.NDArray[np.bool_]) -> None:
    """Which of the powers of a frame are peaks; not the two at either end."""
    for at in range(len(row) - 4):  # from 0 on, or Numba looks for negative places at each step
        top, beside = row[at + 2], max(row[at], row[at + 4])
        is_top[at + 2] = (top > row[at + 1]) & (top >= row[at + 3]) & (top > floor) & (top > narrow * beside)


@compiled
def _lowest(row: Samples, found: Places) -> int:
    """Which of the peaks that were found in a frame is the lowest."""
    lowest = 0
    for number in range(1, len(found)):
        if row[found[number]] < row[found[lowest]]:
            lowest = number
    return lowest


@compiled
def shared(places: Samples, levels: Samples, lag: int) -> Samples:
    """How many partials each frame shares with that `lag` frames later, were this shifted, [frames - lag, shifts].

    Shifts are -REACH..REACH steps of STEP_CENTS; partials count by how alike their levels are. Places are in order.
    """
    votes = np.empty((max(0, len(places) - lag), _SHIFTS), np.float32)
    sums, met = np.empty(_SHIFTS + 4, np.float64), np.empty(_SHIFTS + 4, np.float32)
    for frame in range(len(votes)):
        sums[:] = 0
        _meet(places, levels, frame, frame + lag, sums)
        for at in range(len(met)):
            met[at] = sums[at]
        for shift in range(_SHIFTS):
            near = met[shift + 1] + met[shift + 2] + met[shift + 3]
            votes[frame, shift] = near + np.float32(0.5) * (met[shift] + met[shift + 4])
    return votes


@compiled
def _meet(places: Samples, levels: Samples, frame: int, later: int, sums: Array) -> None:
    """Adds each pair of partials of two frames to the shift between them, where they are not too far apart."""
    first, most, farthest = 0, places.shape[1], np.float32((REACH + 0.5) * STEP_CENTS)
    for own in range(most):
        place, level = places[frame, own], levels[frame, own]
        while first < most and places[later, first] > NONE and places[later, first] < place - farthest:
            first += 1
        other = first
        while place > NONE and other < most and NONE < places[later, other] <= place + farthest:
            alike = np.float32(1) - abs(levels[later, other] - level) / np.float32(ALIKE_DB)
            shift = int(np.rint((places[later, other] - place) / np.float32(STEP_CENTS))) + REACH
            sums[shift + 2] += max(alike, np.float32(0))
            other += 1


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


@compiled
def _fits(steps: Places, downwards: Samples) -> Samples:
    """Of steps [frames, MOST], and of usual places from the highest down."""
    found, last = np.zeros((len(steps), _SHIFTS), np.float32), len(downwards) - _SHIFTS
    for frame in range(len(steps)):
        own, heard = found[frame], steps[frame][steps[frame] >= 0]
        for number in range(0, len(heard) - 1, 2):  # two at once take half the time
            one, other = downwards[last - heard[number] :], downwards[last - heard[number + 1] :]
            for shift in range(_SHIFTS):
                own[shift] = own[shift] + one[shift] + other[shift]
        if len(heard) % 2:
            own += downwards[last - heard[-1] :][:_SHIFTS]
    return found


def fits(places: Samples, usual: Samples) -> Samples:
    """How well each frame's partials lie at usual places, were they shifted back by each shift, [frames, shifts]."""
    return _fits(steps_of(places), usual[::-1].copy())  # for loops that go up
