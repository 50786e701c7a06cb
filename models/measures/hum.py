"""Mains hum: 50 or 60 Hz and its harmonics, found as lines that never pause.

The recording is brought down to 1.5 to 2.5 kHz and looked at in windows of 4 s, fine enough to tell 50 Hz from a low G
(49.0 Hz), 60 Hz from a B (61.7 Hz). Per frequency, the level that nine in ten windows exceed is kept: notes come and
go, hum stays. A line counts if it stands out from everything within 2.5 Hz; hum is a series of at least two lines at
whole multiples of one frequency within 0.4 % of 50 or 60 Hz. A drone of another pitch is none. Levels are dBFS (mean
square). Where dense music covers the mains' lines all the time, hum is neither heard nor found.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from models.measures.blocks import Array, Meter, Places, Samples, Value, measured, power_db, within_float32
from models.measures.compiled import compiled
from models.measures.decimate import Decimator
from models.measures.spectrum import DIGITAL_SILENCE, LevelHistogram

WINDOW_S = 4.0
FEWEST_WINDOWS = 4  # 10 s of sound
STILL_QUANTILE = 0.1
MAINS_HZ = (50, 60)
MAINS_WITHIN = 0.004  # how far the mains, or the speed of a tape, may be off
HIGHEST_HZ = 480.0
HARMONICS_HZ = 0.15  # how far a line may lie from its place in the series
OVER_MEDIAN_DB, OVER_NEIGHBOURS_DB = 8.0, 3.0  # of a line
ALL_OVER_NEIGHBOURS_DB = 10.0  # of all lines of a series together
NEIGHBOURS_HZ = 2.5
FAINTEST_POWER = 1e-12  # of a line; below -120 dBFS lie the roundings of float32
_LINE_BINS = 2  # a Hann window spreads a line over two bins on either side


@dataclass(frozen=True, kw_only=True)
class Hum:
    """Mains hum that was found."""

    mains_hz: int  #: 50 or 60
    level_dbfs: float  #: of all its lines together
    frequency_hz: float  #: the fundamental as measured
    harmonics: tuple[int, ...]  #: that stand out
    prominence_db: float  #: of these over what is near them, added up


class HumSpectra(Meter[Value]):
    """Brings a recording down to a slow rate, and hands over the power spectrum of each window."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        from scipy.signal import firwin  # here, since scipy.signal takes a second to import

        super().__init__(sample_rate_hz, channels)
        self._boxcar = max(1, sample_rate_hz // 8000)
        self._step = max(1, round(sample_rate_hz / self._boxcar / 2000))
        self.slow_rate_hz = sample_rate_hz / self._boxcar / self._step
        taps = firwin(16 * self._step + 1, 0.7 / self._step).astype(np.float32)
        self._decimator = Decimator(taps, self._step, channels, len(taps) - 1)
        self._mean = np.full(self._boxcar, 1 / self._boxcar, np.float32)
        self._unboxed = np.empty((channels, 0), np.float32)
        self._size = 2 * round(self.slow_rate_hz * WINDOW_S / 2)
        window = np.hanning(self._size + 1)[:-1]
        # One-sided and scaled so that the bins of a line add up to its mean square.
        self._window = (window * np.sqrt(2 / np.sum(window**2) / self._size)).astype(np.float32)
        self._slow = np.empty((channels, 0), np.float32)
        self._bins = int((HIGHEST_HZ + 10) / self.slow_rate_hz * self._size)

    def _fold(self, planes: Samples) -> None:
        self._slow = np.concatenate([self._slow, self._decimated(within_float32(planes))], axis=1)
        while self._slow.shape[1] >= self._size:
            self._take(self._slow[:, : self._size])
            self._slow = self._slow[:, self._size // 2 :]

    def _decimated(self, planes: Samples) -> Samples:
        """The block at the slow rate, in two steps: means of a few samples, then a filter that needs few taps."""
        joined = np.concatenate([self._unboxed, planes], axis=1) if self._unboxed.size else planes
        whole = joined.shape[1] // self._boxcar * self._boxcar
        self._unboxed = joined[:, whole:].copy()
        means = joined[:, :whole].reshape(self.channels, -1, self._boxcar) @ self._mean
        return self._decimator.add(means)

    def _take(self, slow: Samples) -> None:
        parts = slow[:, : self._size // 8 * 8].reshape(self.channels, 8, -1)  # half seconds
        if np.einsum("cps,cps->p", parts, parts).min() <= DIGITAL_SILENCE * slow.size / 8:
            self._spectrum(None)  # hum pauses with the sound where silence was edited in
            return
        self._spectrum(rfft(slow * self._window, axis=1)[:, : self._bins])  # an offset stays in the first two bins

    @abstractmethod
    def _spectrum(self, spectra: Array | None) -> None:
        """Takes a window's spectra, complex [channels, bins]; None for a window with a pause."""


def power(spectra: Array) -> Array:
    """Squared absolute values."""
    return np.asarray(spectra.real**2 + spectra.imag**2)


class HumMeter(HumSpectra[Hum | None]):
    """Mains hum; None if there is none or the recording has less than 10 s of sound."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._levels = LevelHistogram(self._bins)

    def _spectrum(self, spectra: Array | None) -> None:
        if spectra is not None:
            self._levels.add(power(spectra).mean(0))

    def _conclude(self) -> Hum | None:
        if self._levels.moments < FEWEST_WINDOWS:
            return None
        still = self._levels.quantile(STILL_QUANTILE)
        by_mains = [series(still, self.slow_rate_hz / self._size, mains) for mains in MAINS_HZ]
        found = [hum for hum in by_mains if hum is not None]
        return max(found, key=lambda hum: hum.level_dbfs, default=None)


class _Line(NamedTuple):
    harmonic: int
    fundamental_hz: float
    power: float
    prominence_db: float  # over everything within NEIGHBOURS_HZ
    stands_out: bool


def series(still: Array, bin_hz: float, mains_hz: int) -> Hum | None:
    """The lines of one mains frequency, None unless two or more stand out and agree on the fundamental."""
    return series_of_each(still[None], bin_hz, mains_hz)[0]


def series_of_each(still: Array, bin_hz: float, mains_hz: int) -> list[Hum | None]:
    """As `series`, of several spectra [n, bins] at once."""
    around = int(NEIGHBOURS_HZ / bin_hz)
    peaks, may_stand_out = _peaks(still, _near(bin_hz, mains_hz), around)
    found: list[Hum | None] = [None] * len(still)
    for n in np.flatnonzero(np.count_nonzero(may_stand_out, axis=1) > 1).tolist():
        found[n] = _series(_lines(peaks[n], _measured(still[n], peaks[n], around), bin_hz, mains_hz), mains_hz)
    return found


def _series(peaks: list[_Line], mains_hz: int) -> Hum | None:
    lines = [peak for peak in peaks if peak.stands_out]
    best = max((_agreeing(lines, line.fundamental_hz) for line in lines), key=_power, default=[])
    if len(best) < 2 or best[0].harmonic > 3 or sum(line.prominence_db for line in best) < ALL_OVER_NEIGHBOURS_DB:
        return None
    fundamental_hz = sum(line.fundamental_hz * line.power for line in best) / _power(best)
    level_dbfs = power_db(
        max(_power(_agreeing(peaks, fundamental_hz)), _power(best))
    )  # with lines half hidden by music
    return Hum(
        mains_hz=mains_hz,
        level_dbfs=level_dbfs or 0.0,
        frequency_hz=fundamental_hz,
        harmonics=tuple(line.harmonic for line in best),
        prominence_db=sum(line.prominence_db for line in best),
    )


def _agreeing(lines: list[_Line], fundamental_hz: float) -> list[_Line]:
    """The lines that are whole multiples of a fundamental, none if that is a single one."""
    agreeing = [line for line in lines if abs(line.fundamental_hz - fundamental_hz) * line.harmonic <= HARMONICS_HZ]
    return agreeing if len(agreeing) > 1 else []


def _power(lines: list[_Line]) -> float:
    return sum(line.power for line in lines)


@cache
def _near(bin_hz: float, mains_hz: int) -> Places:
    """The first and the last bin near each harmonic, where the mains' line may be, [harmonics, 2]."""
    near_hz = mains_hz * np.arange(1, int(HIGHEST_HZ / mains_hz) + 1)
    reach, middle = np.ceil(near_hz * MAINS_WITHIN / bin_hz).astype(int) + 1, np.rint(near_hz / bin_hz).astype(int)
    return np.stack([middle - reach, middle + reach], axis=1)


@compiled
def _peaks(still: Array, near: Places, around: int) -> tuple[Places, npt.NDArray[np.bool_]]:
    """The highest bins at the harmonics, [n, harmonics]; and whether each is about as high as a line must be.

    Args:
        still: [n, bins].
        near: [harmonics, 2], as `_near` has them.
        around: bins that are beside a line, to either side.
    """
    peaks = np.empty((len(still), len(near)), np.int64)
    may_stand_out = np.empty(peaks.shape, np.bool_)
    for n in range(len(still)):
        for harmonic in range(len(near)):
            peak = near[harmonic, 0]
            for place in range(peak + 1, near[harmonic, 1] + 1):
                peak = place if still[n, place] > still[n, peak] else peak
            beside = still[n, peak] * 0
            for away in range(_LINE_BINS + 2, around + 1):
                beside = max(beside, still[n, peak - away], still[n, peak + away])
            peaks[n, harmonic] = peak
            may_stand_out[n, harmonic] = still[n, peak] > 0.99 * 10 ** (OVER_NEIGHBOURS_DB / 10) * beside
    return peaks, may_stand_out


def _lines(peaks: Places, measures: Array, bin_hz: float, mains_hz: int) -> list[_Line]:
    """Of the highest bins at the harmonics those that are peaks of their own, and near enough to the mains."""
    lines = []
    for harmonic, (peak, measure) in enumerate(zip(peaks.tolist(), measures.tolist(), strict=True), 1):
        offset, power, prominence_db, over_median_db = measure
        hz = (peak + offset) * bin_hz
        if abs(hz - mains_hz * harmonic) <= mains_hz * harmonic * MAINS_WITHIN:
            stands_out = prominence_db >= OVER_NEIGHBOURS_DB and over_median_db >= OVER_MEDIAN_DB
            lines.append(_Line(harmonic, hz / harmonic, power, prominence_db, stands_out and power > FAINTEST_POWER))
    return lines


@compiled
def _measured(still: Array, peaks: Places, around: int) -> Array:
    """Of the highest bins of a spectrum: offset in bins, power, dB over what is beside, and over its median, [n, 4].

    The offset is that of a Hann window, (2 r - 1) / (r + 1), r of amplitudes; NaN where a bin beside is higher.
    """
    measures, half = np.empty((len(peaks), 4), np.float64), around - _LINE_BINS - 1
    beside = np.empty(2 * half, np.float64)
    for n in range(len(peaks)):
        peak = peaks[n]
        left, top, right = float(still[peak - 1]), float(still[peak]), float(still[peak + 1])
        ratio = math.sqrt(max(left, right) / top) if top >= max(left, right) else math.nan
        measures[n, 0] = np.sign(right - left) * (2 * ratio - 1) / (ratio + 1)
        measures[n, 1] = 0
        for place in range(peak - _LINE_BINS, peak + _LINE_BINS + 1):
            measures[n, 1] += still[place]
        for away in range(half):
            _sort_in(float(still[peak - _LINE_BINS - 2 - away]), beside, 2 * away)
            _sort_in(float(still[peak + _LINE_BINS + 2 + away]), beside, 2 * away + 1)
        measures[n, 2] = 10 * math.log10(top / beside[-1])
        measures[n, 3] = 10 * math.log10(top / (0.5 * (beside[half - 1] + beside[half])))
    return measures


@compiled
def _sort_in(value: float, values: Array, count: int) -> None:
    """Puts a value among the first `count` of others, which are in order."""
    while count and values[count - 1] > value:
        values[count] = values[count - 1]
        count -= 1
    values[count] = value


def find_hum(samples: Samples, sample_rate_hz: int) -> Hum | None:
    """Mains hum of a whole recording, [frames] or [frames, channels]; None if there is none or below 10 s of sound."""
    return measured(HumMeter, samples, sample_rate_hz)
