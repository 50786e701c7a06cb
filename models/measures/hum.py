"""Mains hum: 50 or 60 Hz and its harmonics, found as lines that never pause.

The recording is brought down to 1.5 to 2.5 kHz and looked at in windows of 4 s, fine enough to tell 50 Hz from a low G
(49.0 Hz), 60 Hz from a B (61.7 Hz). Per frequency, the level that nine in ten windows exceed is kept: notes come and
go, hum stays. A line counts if it stands out from everything within 2.5 Hz; hum is a series of at least two lines at
whole multiples of one frequency within 0.4 % of 50 or 60 Hz. A drone of another pitch is none. Levels are dBFS (mean
square). Where dense music covers the mains' lines all the time, hum is neither heard nor found.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.fft import rfft

from models.measures.blocks import Array, Meter, Samples, Value, measured, power_db, within_float32
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
    peaks, levels = _peaks(still, bin_hz, mains_hz)
    rows = np.flatnonzero(np.count_nonzero(_may_stand_out(levels), axis=1) > 1)
    found: list[Hum | None] = [None] * len(still)
    if not len(rows):
        return found
    lines = _lines(peaks[rows], levels[rows], bin_hz, mains_hz)
    enough = np.count_nonzero(lines.stands_out & lines.is_peak, axis=1) > 1
    for n in np.flatnonzero(enough).tolist():
        found[rows[n]] = _series(_listed(lines, n), mains_hz)
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


class _Lines(NamedTuple):
    """The highest bins at the harmonics of several spectra, arrays [n, harmonics]; as _Line."""

    fundamental_hz: Array
    power: Array
    prominence_db: Array
    stands_out: Array
    is_peak: Array  # of its own, and near enough to the mains


def _listed(lines: _Lines, n: int) -> list[_Line]:
    columns = (column[n].tolist() for column in lines)
    return [_Line(harmonic, *line[:-1]) for harmonic, line in enumerate(zip(*columns, strict=True), 1) if line[-1]]


@cache
def _near(bin_hz: float, mains_hz: int) -> tuple[Array, Array]:
    """Bins near the harmonics, [harmonics, n]; and whether they are so near that the mains' line may be there."""
    near_hz = mains_hz * _harmonics(mains_hz)
    reach, middle = np.ceil(near_hz * MAINS_WITHIN / bin_hz).astype(int) + 1, np.rint(near_hz / bin_hz).astype(int)
    window = np.arange(-reach.max(), reach.max() + 1)
    return middle[:, None] + window, np.abs(window) <= reach[:, None]


def _peaks(still: Array, bin_hz: float, mains_hz: int) -> tuple[Array, Array]:
    """The highest bins at the harmonics, [n, harmonics]; and what is within NEIGHBOURS_HZ, [n, harmonics, bins]."""
    places, is_near = _near(bin_hz, mains_hz)
    highest = np.where(is_near, still[:, places], -1.0).argmax(axis=2)
    peaks, around = places[np.arange(len(places)), highest], int(NEIGHBOURS_HZ / bin_hz)
    rows = np.arange(len(still))[:, None, None]
    return peaks, still[rows, peaks[..., None] + np.arange(-around, around + 1)]


def _beside(levels: Array) -> Array:
    """Of what is within NEIGHBOURS_HZ of a line, [..., bins], that which is not its own; an even number."""
    around = levels.shape[-1] // 2
    return levels[..., np.abs(np.arange(-around, around + 1)) > _LINE_BINS + 1]


def _may_stand_out(levels: Array) -> Array:
    """Whether a line is about as high as it must be, [n, harmonics], by a bound that takes little time."""
    return np.asarray(
        levels[..., levels.shape[-1] // 2] > 0.99 * 10 ** (OVER_NEIGHBOURS_DB / 10) * _beside(levels).max(2)
    )


@np.errstate(divide="ignore", invalid="ignore")  # of a difference of channels that are the same, all is 0
def _lines(peaks: Array, levels: Array, bin_hz: float, mains_hz: int) -> _Lines:
    """Of the highest bins and what is around them, as `_peaks` gives them."""
    harmonics, around = _harmonics(mains_hz), levels.shape[2] // 2
    beside, top = _beside(levels), levels[..., around]
    line = levels[..., around - _LINE_BINS : around + _LINE_BINS + 1]
    frequency_hz = (peaks + _offset_bins(levels[..., around - 1 : around + 2])) * bin_hz
    prominence_db, power = 10 * np.log10(top / beside.max(axis=2)), line.sum(axis=2)
    ordered, half = np.sort(beside, axis=2), beside.shape[2] // 2  # of an even number
    over_median_db = 10 * np.log10(top / (0.5 * (ordered[..., half - 1] + ordered[..., half])))
    stands_out = (prominence_db >= OVER_NEIGHBOURS_DB) & (over_median_db >= OVER_MEDIAN_DB) & (power > FAINTEST_POWER)
    is_peak = top >= levels[..., around - 1 : around + 2].max(axis=2)
    is_peak &= np.abs(frequency_hz - mains_hz * harmonics) <= mains_hz * harmonics * MAINS_WITHIN
    return _Lines(frequency_hz / harmonics, power, prominence_db, stands_out, is_peak)


def _harmonics(mains_hz: int) -> Array:
    return np.arange(1, int(HIGHEST_HZ / mains_hz) + 1)


def _offset_bins(around: Array) -> Array:
    """How far lines lie from their highest bins [..., 3]: of a Hann window, (2 r - 1) / (r + 1), r of amplitudes."""
    left, top, right = np.moveaxis(np.sqrt(around), -1, 0)
    ratio = np.maximum(left, right) / top
    return np.asarray(np.sign(right - left) * (2 * ratio - 1) / (ratio + 1))


def find_hum(samples: Samples, sample_rate_hz: int) -> Hum | None:
    """Mains hum of a whole recording, [frames] or [frames, channels]; None if there is none or below 10 s of sound."""
    return measured(HumMeter, samples, sample_rate_hz)
