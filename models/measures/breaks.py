"""Breaks: places at which the pattern of a wave ends and another one is there, seen from the past and from the future.

Conventions. The sum of the channels is taken down to about RATE_HZ, where music is a few partials that a prediction
foresees well, whatever noise there is above; frames here are of that rate, counted from the recording's first one. Rows
of ROW_S are foreseen by a prediction that is fitted to the two rows before, and backwards in time by one that is fitted
to the two rows after. What is struck or plucked surprises the first one; at a cut both fail at the same moment, the
second one for what is just before. `Stream` tells the places where both do, out of what is usual beside; whether it is
a cut is for models/measures/splices.py to say.

Kay, Modern Spectral Estimation, 1988, chapter 7 (the autocorrelation and the modified covariance method).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import firwin

from models.measures.blocks import Array, Samples
from models.measures.decimate import Decimator
from models.measures.prediction import filtered, hann, lags_of, predictors

RATE_HZ = 2756
ORDER, ROW_S, FITTED_ROWS = 32, 0.06, 2
FAILS_S, USUAL_S = 0.0035, 0.010  # beyond a place, and on the side that is foreseen
BREAK = 6.0  # of the errors, over what is usual
APART_S = 0.02  # of two breaks, the one that is less is none
HALF_TAPS = 4  # of the filter, in steps
LIFT = 1e-7  # of the power, that noise is taken to have at least


class Stream:
    """The recording at the lower rate, as far as it came."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.step = round(sample_rate_hz / RATE_HZ)  # 3 at the least
        self.rate_hz = sample_rate_hz / self.step
        self._decimator = Decimator(_taps(self.step), self.step, 1, HALF_TAPS * self.step)
        self._row = round(ROW_S * self.rate_hz)
        self._wave = np.zeros(0, np.float64)
        self._start = 0  # frame at which what is kept begins
        self._next = (FITTED_ROWS + 1) * self._row  # to be looked at

    def add(self, mono: Samples) -> list[int]:
        """Takes the next samples [frames] of the recording; the breaks, of this rate, that can be told now."""
        self._forget()
        new = self._decimator.add(mono[None])[0].astype(np.float64)
        self._wave = np.concatenate([self._wave, new])
        told, row = [], self._row
        margin = FITTED_ROWS * row + round(APART_S * self.rate_hz)
        rows = (self._start + len(self._wave) - self._next - margin - row) // row
        if rows > 0:
            told = self._breaks(self._next - self._start, rows)
            self._next += rows * row
        return told

    def _forget(self) -> None:
        """Leaves what the next rows need: those of the window before one row more."""
        past = max(0, self._next - (FITTED_ROWS + 2) * self._row - self._start)
        self._wave, self._start = self._wave[past:], self._start + past

    def _breaks(self, first: int, rows: int) -> list[int]:
        """Of `rows` rows from the place `first` of what is kept."""
        apart = round(APART_S * self.rate_hz)
        row = self._row
        fails = _fails(self._wave, first - row, rows + 2, row, self.rate_hz)
        inside = np.flatnonzero(fails[row : (rows + 1) * row] > BREAK) + row
        tops = [t for t in inside.tolist() if fails[t] == fails[max(0, t - apart) : t + apart + 1].max()]
        return [self._start + first - row + top for top in tops]


def _fails(wave: Array, first: int, rows: int, row: int, rate_hz: float) -> Array:
    """How far both predictions fail at each frame of some rows, of what is usual, the lesser one above all.

    [rows * row], from the place `first` on, with FITTED_ROWS rows and some more on either side.
    """
    size, beyond, usual = FITTED_ROWS * row, round(FAILS_S * rate_hz), round(USUAL_S * rate_hz)
    windows = sliding_window_view(wave[first - size :], size)[::row][: rows + FITTED_ROWS + 1]
    filters = predictors(lags_of(windows * hann(size), ORDER), LIFT)
    errors = np.empty((2, rows, row + 2 * usual))  # ahead, and from behind
    for number in range(rows):
        around = wave[first + number * row - usual - ORDER :][: errors.shape[2] + 2 * ORDER]
        filtered(around[:-ORDER], filters[number], errors[0, number])
        filtered(around[ORDER:], filters[number + FITTED_ROWS + 1, ::-1].copy(), errors[1, number])
    sums = np.zeros((2, rows, row + 2 * usual + 1))
    np.cumsum(errors * errors, axis=2, out=sums[:, :, 1:])
    here, left, right, near = (sums[:, :, at : at + row] for at in (usual, 0, 2 * usual, usual + beyond))
    just_before = sums[1, :, usual - beyond :][:, :row]
    ahead = (near[0] - here[0]) / (here[0] - left[0] + usual * 1e-9)
    behind = (here[1] - just_before) / (right[1] - here[1] + usual * 1e-9)
    return np.asarray(np.sqrt(np.minimum(ahead, behind) * np.sqrt(ahead * behind)) * (usual / beyond)).ravel()


@cache
def _taps(step: int) -> Samples:
    """Of the filter, [2 * HALF_TAPS * step + 1]."""
    return np.asarray(firwin(2 * HALF_TAPS * step + 1, 0.8 / step), np.float32)
