"""The spectral pass that the noise floor and the bandwidth share: one STFT, boiled down to statistics over time.

Frames of about 90 ms with a Hann window overlap by half; eight of them make a moment (0.4 s). In each moment, each band
of 16 bins (about 170 Hz) has a level (mean over its bins) and a background (their lower quartile, brought to the mean
that noise with such a quartile has: a tone fills a few bins only, so it does not raise it). Histograms over the moments
keep both, so memory does not grow. Powers are mean squares per bin: their sum over the bins is the signal's mean
square. Channels are averaged. Moments with digital silence are left out: they say nothing about the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft
from scipy.special import gammaincinv

from models.measures.blocks import Array, Meter, Samples, measured, within_float32

FRAME_S = 0.093  # rounded to a power of two: 4096 samples at 44.1 and 48 kHz
FRAMES_PER_MOMENT = 8
BINS_PER_BAND = 16
FIRST_BIN = 2  # the window spreads DC over bins 0 and 1
DIGITAL_SILENCE = 1e-14  # mean square of half a frame, -140 dBFS
BACKGROUND_QUANTILE = 0.25  # over the bins of a band
STILL_QUANTILE, LOUD_QUANTILE = 0.05, 0.97  # over time
_NEW_PER_FRAME = 0.944  # of frames overlapping by half: the powers of neighbours correlate by 1/36
_SPREAD = 0.155  # of a moment's background about its mean, relative; between one channel's and two channels'


class LevelHistogram:
    """Counts of levels for many rows at once, in steps of half a decibel from -250 to +250 dBFS."""

    LOWEST_DB, STEP_DB, STEPS = -250.0, 0.5, 1000

    def __init__(self, rows: int) -> None:
        self._counts = np.zeros((rows, self.STEPS), np.int32)
        self._rows = np.arange(rows)
        self.moments = 0

    def add(self, powers: Array) -> None:
        """Counts a power for each row, [rows]."""
        steps = (10 * np.log10(np.maximum(powers, 1e-25)) - self.LOWEST_DB) / self.STEP_DB
        self._counts[self._rows, np.clip(steps, 0, self.STEPS - 1).astype(int)] += 1
        self.moments += 1

    def quantile(self, share: float) -> Array:
        """Powers [rows] that `share` of the moments do not exceed, interpolated within a step."""
        below = np.cumsum(self._counts, axis=1)
        wanted = share * self.moments
        step = (below >= max(wanted, 1e-9)).argmax(1)
        count = self._counts[self._rows, step]
        within = np.clip((wanted - (below[self._rows, step] - count)) / np.maximum(count, 1), 0, 1)
        return np.asarray(10 ** ((self.LOWEST_DB + self.STEP_DB * (step + within)) / 10))


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """What the spectral pass found. Arrays are powers (mean squares): [bins] from FIRST_BIN on, or [bands]."""

    bin_hz: float
    mean: Array  #: [bins] mean over time
    background: Array  #: [bands] per bin: stationary background, the tones above it left out
    loud: Array  #: [bands] per bin: level that 3 % of the moments exceed

    @property
    def frequencies_hz(self) -> Array:
        """Centres of the bins, [bins]."""
        return (FIRST_BIN + np.arange(len(self.mean))) * self.bin_hz


class SpectrumMeter(Meter[Spectrum | None]):
    """The spectral pass; None for a recording shorter than a frame or digitally silent all over."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._hop = 2 ** round(np.log2(sample_rate_hz * FRAME_S / 2))
        super().__init__(sample_rate_hz, channels, block_samples=self._hop * FRAMES_PER_MOMENT)
        window = np.hanning(2 * self._hop + 1)[:-1]
        # One-sided, and scaled so that the bins' powers add up to the signal's mean square.
        self._window = (window * np.sqrt(2 / np.sum(window**2) / (2 * self._hop))).astype(np.float32)
        self._bands = (self._hop + 1 - FIRST_BIN) // BINS_PER_BAND
        self._bins = self._bands * BINS_PER_BAND + (self._hop + 1 - FIRST_BIN) % BINS_PER_BAND
        self._before = np.empty((channels, 0), np.float32)
        self._sum = np.zeros(self._bins)
        self._background = LevelHistogram(self._bands)
        self._levels = LevelHistogram(self._bands)

    def _fold(self, planes: Samples) -> None:
        joined = np.concatenate([self._before, within_float32(planes)], axis=1)
        hops = joined.shape[1] // self._hop
        self._before = joined[:, -self._hop :].copy()
        if hops < 2 or (self._background.moments and hops < FRAMES_PER_MOMENT):
            return  # a last moment that is too short to be compared with the others
        halves = joined[:, : hops * self._hop].reshape(self.channels, hops, self._hop)
        if np.einsum("chs,chs->h", halves, halves).min() > DIGITAL_SILENCE * self._hop * self.channels:
            self._take(self._powers(halves), hops - 1)

    def _powers(self, halves: Samples) -> Array:
        """Mean power over the frames, [channels, bins]."""
        frames = np.concatenate([halves[:, :-1], halves[:, 1:]], axis=2)
        spectra = rfft(frames * self._window, axis=2)[:, :, FIRST_BIN:]
        parts = np.ascontiguousarray(spectra).view(np.float32)
        squares = np.einsum("cfk,cfk->ck", parts, parts) / np.float32(frames.shape[1])
        return np.asarray(squares.reshape(self.channels, -1, 2).sum(2, dtype=np.float64))

    def _take(self, powers: Array, frames: int) -> None:
        banded = powers[:, : self._bands * BINS_PER_BAND].reshape(self.channels, self._bands, BINS_PER_BAND)
        rank = int(BACKGROUND_QUANTILE * BINS_PER_BAND)
        quartile = np.partition(banded, rank, axis=2)[:, :, rank].mean(0)
        self._background.add(quartile / _typical(rank, frames))
        self._levels.add(banded.mean((0, 2)))
        self._sum += powers.mean(0)

    def _conclude(self) -> Spectrum | None:
        moments = self._background.moments
        if not moments:
            return None
        return Spectrum(
            bin_hz=self.sample_rate_hz / (2 * self._hop),
            mean=self._sum / moments,
            background=self._background.quantile(STILL_QUANTILE) / _still(moments),
            loud=self._levels.quantile(LOUD_QUANTILE),
        )


def _typical(rank: int, frames: int) -> float:
    """The value of that rank among a band's bins of noise, mean power 1 (gamma distribution, median of the rank)."""
    independent = 1 + (frames - 1) * _NEW_PER_FRAME
    return float(gammaincinv(independent, (rank + 0.7) / (BINS_PER_BAND + 0.4)) / independent)


def _still(moments: int) -> float:
    """How far the quiet moments of stationary noise lie below its mean: 1.645 deviations, fewer of few moments."""
    return float(np.exp(-1.645 * _SPREAD * (1 - 1 / np.sqrt(moments))))


def spectral_statistics(samples: Samples, sample_rate_hz: int) -> Spectrum | None:
    """The spectral statistics of a whole recording, [frames] or [frames, channels]."""
    return measured(SpectrumMeter, samples, sample_rate_hz)
