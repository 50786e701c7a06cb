"""Clicks: what a linear prediction from the sound around it cannot foresee, over within 3 ms, and alone.

The residual of a prediction of order 16, in frames of about 46 ms, is set against its median. A click stands far out of
it. So do a singer's glottal pulses, but those come again with each period; and so does a note's beginning, but that is
followed by more than there was before. Neither is told: a click must be alone within 25 ms on either side, and leave
the level as it was.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder

ORDER = 16
FRAME_S = 0.046
FAR_OUT = 40.0  # of the residual's scale
WIDEST_S, ALONE_S = 0.003, 0.025
ALONE_BELOW = 0.25  # of the click's peak is all that may lie beside it
LOUDER_AFTER = 2.0  # in amplitude, of residual and of sound: a note began
FAINTEST = 10 ** (-54 / 20)  # of the residual
STANDS_OUT = 8.0  # of the median of second differences, before a prediction is worth its time
MOST_PER_S = 200  # candidates that are looked at, the farthest out first


class ClickFinder(Finder):
    """Single clicks, by channel."""

    name = "click"
    context_s = 0.1

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        size = 2 ** round(np.log2(FRAME_S * self.sample_rate_hz))
        if planes.shape[1] < 2 * size:
            return
        for channel in range(self.channels):
            residual, scale = _residual(planes[channel].astype(np.float64), size)
            for first, last, peak in self._bursts(residual / scale, core):
                if self._is_click(planes[channel], residual, first, last, peak):
                    far = float(residual[peak] / scale[peak])
                    words = f"{far:.0f} times what the sound around it leaves unforeseen"
                    self.tell(at + first, at + last + 1, channel, far / (far + 6), words)

    def _bursts(self, ratio: Array, core: slice) -> list[tuple[int, int, int]]:
        """First, last and highest sample of what stands out, at most MOST_PER_S a second."""
        out = np.flatnonzero(ratio > FAR_OUT)
        if not len(out):
            return []
        cuts = np.flatnonzero(np.diff(out) > WIDEST_S * self.sample_rate_hz) + 1
        groups = [(int(g[0]), int(g[-1]), int(g[0] + ratio[g[0] : g[-1] + 1].argmax())) for g in np.split(out, cuts)]
        inside = [group for group in groups if core.start <= group[0] < core.stop]
        most = int(MOST_PER_S * (core.stop - core.start) / self.sample_rate_hz) + 1
        return sorted(sorted(inside, key=lambda group: -ratio[group[2]])[:most])

    def _is_click(self, wave: Samples, residual: Array, first: int, last: int, peak: int) -> bool:
        widest, alone = round(WIDEST_S * self.sample_rate_hz), round(ALONE_S * self.sample_rate_hz)
        if last - first > widest or residual[peak] < FAINTEST:
            return False
        before, after = slice(max(0, first - alone), first), slice(last + widest, last + widest + alone)
        beside = max(residual[before].max(initial=0.0), residual[after].max(initial=0.0))
        if beside > ALONE_BELOW * residual[peak]:
            return False
        quiet = 0.01 * residual[peak]
        return all(_rms(of[after]) <= LOUDER_AFTER * _rms(of[before]) + quiet for of in (residual, wave))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if len(values) else 0.0


def _residual(wave: Array, size: int) -> tuple[Array, Array]:
    """What each sample is off its prediction, and the scale of that around it, both [frames]."""
    count = -(-len(wave) // size)
    padded = np.pad(wave, (size // 2 + ORDER, count * size - len(wave) + size))
    windows = np.lib.stride_tricks.sliding_window_view(padded[ORDER:], 2 * size)[: count * size : size]
    rows = np.lib.stride_tricks.sliding_window_view(padded, size)
    busy = np.flatnonzero(_busy(np.pad(wave, (0, count * size - len(wave))).reshape(count, size)))
    weights = _predictors(windows[busy] * np.hanning(2 * size))
    errors = np.zeros((len(busy), size))
    for lag in range(ORDER + 1):
        errors += weights[:, lag, None] * rows[size // 2 + ORDER - lag + busy * size]
    residual, scale = np.zeros((count, size)), np.zeros(count)
    residual[busy] = np.abs(errors)
    scale[busy] = np.median(residual[busy], axis=1) / 0.6745 + 1e-7
    scale = np.maximum(scale, np.maximum(np.r_[scale[1:], 0], np.r_[0, scale[:-1]]))  # stricter where sound begins
    scale[scale == 0] = 1.0
    return residual.reshape(-1)[: len(wave)], np.repeat(scale, size)[: len(wave)]


def _busy(frames: Array) -> Array:
    """Frames [rows, samples] in or beside which a sample stands out of the second differences: others have no click."""
    bends = np.abs(np.diff(frames, 2, axis=1))
    busy = bends.max(1) > STANDS_OUT * np.median(bends, axis=1) + 1e-6
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
