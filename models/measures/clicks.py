"""Clicks: what a linear prediction from the sound around cannot foresee, short, alone, and above the music.

The residual of a prediction of order 16, in frames of about 46 ms, is set against its median. A click stands far out of
it, and out of the music itself. So do a singer's glottal pulses, but those come again with each period; and so does a
note's beginning, but that is followed by more than there was before. Neither is told: a click must be alone within
25 ms on either side, and leave the level as it was, at once or after 45 ms, for a deep scratch throws the stylus. What
comes in time, as a sample of a click on a beat does, or as thick as rain, is none.

Below 32 kHz a click has lost what tells it from a singer's lips: it must be higher and shorter there. At any rate one
to three samples that were added to the sound are told by the trace that they leave (models/measures/outliers.py), even
if they stand little above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder
from models.measures.outliers import added

ORDER = 16
FRAME_S = 0.046
WIDEST_S, ALONE_S, SETTLED_S, LEVEL_S = 0.003, 0.025, 0.045, 0.03
BULK = 0.25  # of a burst's peak: what is above counts for its width
BUSIER_AFTER, LOUDER_AFTER = 3.0, 2.0  # in amplitude, residual and sound: a note began
FAINTEST = 10 ** (-54 / 20)  # of the residual
BENDS_OVER_LEVEL, BENDS_OVER_MEAN = 1.5, 8.0  # of second differences, before a prediction is worth its time
MOST_PER_S = 12  # bursts in a second, of a third of the peak or more: a texture
RHYTHM_EVENTS, RHYTHM_HZ, RHYTHM_STEADY = 16, (1.5, 16.0), 0.8


class Bounds(NamedTuple):
    """What a click must reach."""

    far_out: float  #: of the residual's scale
    over_music: float  #: of the level of 25 ms on either side
    alone_below: float  #: of the click's peak is all that may lie beside it
    widest_s: float


WIDE_BAND = Bounds(12.0, 2.5, 0.35, 0.003)
NARROW_BAND = Bounds(60.0, 5.0, 0.15, 0.0004)
NARROW_BELOW_HZ = 32_000
IMPULSE_FAR_OUT, IMPULSE_OVER_MUSIC, IMPULSE_EXPLAINS = 10.0, 1.5, 0.9


class _Burst(NamedTuple):
    first: int
    last: int
    peak: int


class ClickFinder(Finder):
    """Single clicks, by channel."""

    name = "click"
    context_s = 0.1

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        size = 2 ** round(np.log2(FRAME_S * self.sample_rate_hz))
        if planes.shape[1] < 2 * size:
            return
        self._bounds = NARROW_BAND if self.sample_rate_hz < NARROW_BELOW_HZ else WIDE_BAND
        for channel in range(self.channels):
            found = _residual(planes[channel], size)
            if found is not None:
                for burst in self._clicks(planes[channel], *found, core):
                    far = float(found[0][burst.peak] / found[1][burst.peak])
                    words = f"{far:.0f} times what the sound around it leaves unforeseen"
                    self.tell(at + burst.first, at + burst.last + 1, channel, far / (far + 6), words)

    def _clicks(self, wave: Samples, residual: Array, scale: Array, core: slice) -> list[_Burst]:
        far = self._alone(residual, residual > self._bounds.far_out * scale, core)
        clicks = [burst for burst in far if self._is_click(wave, residual, burst)]
        less = self._alone(residual, residual > IMPULSE_FAR_OUT * scale, core)
        told = {burst.peak for burst in clicks}
        return clicks + [found for burst in less if burst.peak not in told for found in self._impulse(wave, burst)]

    def _alone(self, residual: Array, stands_out: Array, core: slice) -> list[_Burst]:
        """Bursts that begin within `core` and are no texture."""
        bursts = self._bursts(residual, stands_out)
        heights = np.array([residual[burst.peak] for burst in bursts])
        places = np.array([burst.peak for burst in bursts])
        kept = []
        for burst, height in zip(bursts, heights, strict=True):
            near = (np.abs(places - burst.peak) < self.sample_rate_hz / 2) & (heights > height / 3)
            kept += [burst] if core.start <= burst.first < core.stop and near.sum() <= MOST_PER_S else []
        return kept

    def _impulse(self, wave: Samples, burst: _Burst) -> list[_Burst]:
        """The samples that were added to the sound, if that is what the burst is."""
        half = 2 ** round(np.log2(FRAME_S * self.sample_rate_hz))
        first = burst.first
        around = wave[max(0, first - half) : first + half].astype(np.float64)
        at = min(first, half)
        if at < ORDER or len(around) < at + 4 * ORDER:
            return []
        weights = _predictors((around * np.hanning(len(around)))[None])[0]
        explained, width, height = added(np.convolve(around, weights)[: len(around)], weights, at)
        alone = round(ALONE_S * self.sample_rate_hz)
        before, after = _rms(around[max(0, at - alone) : at]), _rms(around[at + width : at + width + alone])
        if explained < IMPULSE_EXPLAINS or height < max(FAINTEST, IMPULSE_OVER_MUSIC * max(before, after)):
            return []
        return [_Burst(first, first + width - 1, burst.peak)] if after < LOUDER_AFTER * before + 0.01 * height else []

    def _bursts(self, residual: Array, stands_out: Array) -> list[_Burst]:
        """The bulk and the highest sample of what stands out."""
        out = np.flatnonzero(stands_out)
        cuts = np.flatnonzero(np.diff(out) > WIDEST_S * self.sample_rate_hz) + 1
        bursts = []
        for group in np.split(out, cuts) if len(out) else []:
            peak = int(group[residual[group].argmax()])
            bulk = group[residual[group] > BULK * residual[peak]]
            bursts.append(_Burst(int(bulk[0]), int(bulk[-1]), peak))
        return bursts

    def _is_click(self, wave: Samples, residual: Array, burst: _Burst) -> bool:
        alone, widest, settled, level = (
            round(of * self.sample_rate_hz) for of in (ALONE_S, WIDEST_S, SETTLED_S, LEVEL_S)
        )
        first, last, peak = burst
        height = residual[peak]
        short = last - first <= self._bounds.widest_s * self.sample_rate_hz
        if not short or height < max(
            FAINTEST, self._bounds.over_music * _rms(wave[max(0, peak - alone) : peak + alone])
        ):
            return False
        before, after = slice(max(0, first - alone), first), slice(last + widest, last + widest + alone)
        beside = max(residual[before].max(initial=0.0), residual[after].max(initial=0.0))
        if beside > self._bounds.alone_below * height:
            return False
        if _rms(residual[after]) > BUSIER_AFTER * _rms(residual[before]) + 0.01 * height:
            return False
        later, earlier = wave[last + settled : last + settled + level], wave[max(0, first - level) : first]
        return bool(min(_rms(wave[after]), _rms(later)) <= LOUDER_AFTER * _rms(earlier) + 0.01 * height)

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        found = super()._joined(events)
        rhythmic = in_rhythm(np.array([event.start_s for event in found]))
        return [event for event, musical in zip(found, rhythmic, strict=True) if not musical]


def in_rhythm(times_s: Array) -> Array:
    """Which of many moments (in order) come in time: at whole multiples of one period, of 60 to 670 ms.

    Of moments that fall by chance, RHYTHM_EVENTS agree with a period by RHYTHM_STEADY (the length of their mean phase)
    less than once in a hundred times, over all periods that can be told apart. A crack that a record's turn brings back
    comes more slowly.
    """
    musical = np.zeros(len(times_s), bool)
    for first in range(0, max(0, len(times_s) - RHYTHM_EVENTS) + 1, RHYTHM_EVENTS // 2):
        some = times_s[first : first + 2 * RHYTHM_EVENTS] - times_s[first] if len(times_s) else times_s
        if len(some) >= RHYTHM_EVENTS and np.median(np.diff(some)) < 1 / RHYTHM_HZ[0]:
            pitches_hz = np.arange(*RHYTHM_HZ, 0.2 / max(float(some[-1]), 1.0))
            phases = np.abs(np.exp(2j * np.pi * some[:, None] * pitches_hz).mean(axis=0))
            musical[first : first + len(some)] |= phases.max() >= RHYTHM_STEADY
    return musical


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if len(values) else 0.0


def _residual(wave: Samples, size: int) -> tuple[Array, Array] | None:
    """What each sample is off its prediction, and the scale of that around it, both [frames]; None without a click.

    Frames in which no sample stands out, nor beside them, have a residual of 0.
    """
    count = -(-len(wave) // size)
    busy = np.flatnonzero(_busy(np.pad(wave, (0, count * size - len(wave))).reshape(count, size)))
    if not len(busy):
        return None
    padded = np.pad(wave.astype(np.float64), (size // 2 + ORDER, count * size - len(wave) + size))
    windows = np.lib.stride_tricks.sliding_window_view(padded[ORDER:], 2 * size)[busy * size]
    rows = np.lib.stride_tricks.sliding_window_view(padded, size + ORDER)[size // 2 + busy * size]
    weights = _predictors(windows * np.hanning(2 * size))
    errors = np.abs(np.stack([np.convolve(row, filter_, "valid") for row, filter_ in zip(rows, weights, strict=True)]))
    residual, scale = np.zeros((count, size)), np.zeros(count)
    residual[busy] = errors
    scale[busy] = np.median(errors, axis=1) / 0.6745 + 1e-7
    scale = np.maximum(scale, np.maximum(np.r_[scale[1:], 0], np.r_[0, scale[:-1]]))  # stricter where sound begins
    scale[scale == 0] = 1.0
    return residual.reshape(-1)[: len(wave)], np.repeat(scale, size)[: len(wave)]


def _busy(frames: Samples) -> Array:
    """Frames [rows, samples] in or beside which a sample stands out of the second differences: others have no click."""
    bends = np.abs(np.diff(frames, 2, axis=1))
    highest, level = bends.max(1), np.sqrt(np.einsum("rs,rs->r", frames, frames) / frames.shape[1])
    busy = (highest > BENDS_OVER_LEVEL * level) & (highest > BENDS_OVER_MEAN * bends.mean(1) + 1e-6)
    return np.asarray(busy | np.r_[busy[1:], False] | np.r_[False, busy[:-1]])


def _predictors(windows: Array) -> Array:
    """Prediction error filters [rows, ORDER + 1] by Levinson's recursion, all rows at once."""
    length = next_fast_len(windows.shape[1] + ORDER + 1, real=True)  # no lag that is used wraps around
    spectra = rfft(windows, length, axis=1)
    lags = irfft(spectra.real**2 + spectra.imag**2, length, axis=1)[:, : ORDER + 1]
    lags[:, 0] = lags[:, 0] * (1 + 1e-9) + 1e-9
    weights = np.zeros((len(lags), ORDER + 1))
    weights[:, 0] = 1.0
    error = lags[:, 0].copy()
    for order in range(1, ORDER + 1):
        reflection = -np.einsum("rk,rk->r", weights[:, :order], lags[:, order:0:-1]) / error
        weights[:, 1 : order + 1] += reflection[:, None] * weights[:, order - 1 :: -1][:, :order]
        error = error * np.maximum(1 - reflection**2, 1e-12)
    return weights


def find_clicks(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Clicks of a whole recording, [frames] or [frames, channels]."""
    return measured(ClickFinder, samples, sample_rate_hz)
