"""A channel whose gain steps: turned in polarity, or at another level, from one sample to the next, and back.

A prediction from the samples before a step foresees what would have come without it. Behind a step by the gain g it is
wrong, but right again once what came later is divided by g: one number must then explain a dozen samples of the
residual. No sound does that: what begins or ends adds something, it does not multiply what is there. (The prediction is
linear, so that 1 / g is a least-squares fit.) A step that all channels make is an edit or an effect, and none of a
channel. It is a fault from the step to the one that takes it back, or to the end. What was coded lossily since has no
steps left, and a channel that falls silent is told by models/measures/gaps.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import irfft, rfft
from scipy.ndimage import maximum_filter1d

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder, decibels, rms

ORDER = 24
SIDE, NEAR = 1024, 256  # samples before and after a step: for the prediction, for what is usual
FRAME = 32  # samples that are looked at first, together
STANDS_OUT = 2.5  # of second differences, over their root mean square of BESIDE frames before and after
BESIDE = 12
ALONE_S = 0.03  # the sharpest bend within so much on either side is looked at
FAR_OUT = 2.0  # of the residual, over that before and after
UNEXPLAINED = 0.02  # of its energy, with the right gain
UNSURE = 0.1  # if another step takes it back
LEAST_DB = 3.0
SAME_DB = 1.5  # a step that takes another one back
FAINTEST = 10 ** (-66 / 20)
_HANN = np.hanning(SIDE)
_IS_NEW = (
    np.arange(ORDER + 1)[None, :] >= ORDER - np.arange(ORDER)[:, None]
)  # of windows that end further and further on
_APART = np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))


class _Step(NamedTuple):
    frame: int
    gain: float
    sure: bool  # by itself; or only if another one takes it back


class StepFinder(Finder):
    """Faults of one channel among several."""

    name = "channel_fault"
    context_s = 0.2

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._steps: list[list[_Step]] = [[] for _ in range(channels)]

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        if self.channels < 2:
            return
        bent = [self._places(wave, core, at) for wave in planes]
        for channel, wave in enumerate(planes):
            others = np.concatenate([bent[other] for other in range(self.channels) if other != channel])
            apart = np.abs(bent[channel][:, None] - others[None, :]).min(axis=1, initial=FRAME) > 1
            steps = _steps(wave, bent[channel][apart])
            self._steps[channel] += [step._replace(frame=at + step.frame) for step in steps]

    def _places(self, wave: Samples, core: slice, at: int) -> Array:
        """Samples of the core at which the wave bends as it does nowhere near."""
        begin = (-at) % FRAME + FRAME  # frames lie at multiples of their size, however blocks fall
        count = (len(wave) - begin - 1) // FRAME
        if count < 2 * BESIDE + 3:
            return np.zeros(0, np.int64)
        part = wave[begin - 1 : begin + count * FRAME + 1]
        frames = np.square(part[2:] - 2 * part[1:-1] + part[:-2]).reshape(-1, FRAME)
        beside = sliding_window_view(frames.mean(axis=1), BESIDE).mean(axis=1)  # of BESIDE frames from each on
        usual = np.maximum(beside[: -BESIDE - 3], beside[BESIDE + 3 :])
        own = slice(BESIDE + 1, BESIDE + 1 + len(usual))
        ratio = frames[own].max(axis=1) / np.maximum(usual, FAINTEST**4)
        alone = round(ALONE_S * self.sample_rate_hz / FRAME)
        rows = np.flatnonzero((ratio > STANDS_OUT**2) & (ratio == maximum_filter1d(ratio, 2 * alone + 1)))
        places = begin + (own.start + rows) * FRAME + frames[own][rows].argmax(axis=1)
        first, last = max(core.start, SIDE + 2), min(core.stop, len(wave) - SIDE - 2)
        return np.asarray(places[(places >= first) & (places < last)])

    def _close(self) -> None:
        for channel, steps in enumerate(self._steps):
            left = sorted(steps)
            while left:
                step = left.pop(0)
                back = next((other for other in left if _takes_back(step, other)), None)
                if back is not None:
                    left.remove(back)
                if step.sure or (back is not None and back.sure):
                    self._fault(step.frame, self.frames if back is None else back.frame, channel, step.gain)

    def _fault(self, start: int, end: int, channel: int, gain: float) -> None:
        turned = "is turned in polarity" if gain < 0 else "steps"
        words = f"the channel {turned}, by {decibels(abs(gain)):+.0f} dB, from one sample to the next"
        self.tell(start, end, channel, 0.95, words)


def _takes_back(one: _Step, other: _Step) -> bool:
    gain = one.gain * other.gain
    return gain > 0 and abs(decibels(gain)) < SAME_DB


def _steps(wave: Samples, places: Array) -> list[_Step]:
    """The steps of the gain within two samples of `places`, those that there are."""
    if not len(places):
        return []
    around = sliding_window_view(wave, 2 * SIDE + 4)[places - SIDE - 2].astype(np.float64)
    weights = _predictors(around)
    rows = np.flatnonzero(_far_out(around, weights) > FAR_OUT)
    around, weights, places = around[rows], weights[rows], places[rows]
    firsts = range(SIDE + 1, SIDE + 5)
    tried = np.array([_explained(around, first, weights) for first in firsts])  # [firsts, 2, rows]
    steps = []
    for row, place in enumerate(places.tolist()):
        best = int(tried[:, 0, row].argmin())
        unexplained, gain = tried[best, :, row].tolist()
        first = firsts[best]
        level = min(rms(around[row, first - 256 : first]), rms(around[row, first : first + 256]))
        if unexplained < UNSURE and (gain < 0 or abs(decibels(gain)) >= LEAST_DB) and level > FAINTEST:
            steps.append(_Step(place - SIDE - 2 + first, gain, unexplained < UNEXPLAINED))
    return steps


def _predictors(around: Array) -> Array:
    """Prediction error filters [rows, ORDER + 1] for both sides, whatever their levels."""
    sides = np.stack([around[:, :SIDE], around[:, -SIDE:]], axis=1)
    sides = sides * _HANN / np.maximum(np.sqrt(np.mean(sides**2, axis=2, keepdims=True)), 1e-12)
    spectra = rfft(sides, 2 * SIDE, axis=2)
    lags = irfft(np.sum(spectra.real**2 + spectra.imag**2, axis=1), axis=1)[:, : ORDER + 1]
    lags[:, 0] = lags[:, 0] * (1 + 1e-9) + 1e-9
    return np.concatenate(
        [np.ones((len(lags), 1)), np.linalg.solve(lags[:, _APART], -lags[:, 1:, None])[..., 0]], axis=1
    )


def _far_out(around: Array, weights: Array) -> Array:
    """How far the residual in the middle is out of that before and after, [rows]."""
    middle = slice(SIDE, SIDE + ORDER + 4)
    parts = (slice(SIDE - NEAR, SIDE), middle, slice(middle.stop, middle.stop + NEAR))
    levels = []
    for part in parts:
        residual = np.zeros((len(around), part.stop - part.start))
        for lag in range(ORDER + 1):
            residual += weights[:, lag : lag + 1] * around[:, part.start - lag : part.stop - lag]
        levels.append(np.sqrt(np.mean(residual**2, axis=1)))
    return np.asarray(levels[1] / np.maximum(np.maximum(levels[0], levels[2]), FAINTEST**2))


def _explained(around: Array, first: int, weights: Array) -> tuple[Array, Array]:
    """How the old sound, as foreseen from frame `first` on, and the new one agree but for a gain: shares amiss, gains.

    A window ends with each of the ORDER frames from `first` on. What is old in it and what is new add up to the
    residual: without a step they all but cancel.
    """
    windows = sliding_window_view(around[:, first - ORDER : first + ORDER], ORDER + 1, axis=1)  # to the newest
    newest_first = weights[:, ::-1, None]
    by_new = np.matmul(windows * _IS_NEW, newest_first)[..., 0]
    by_old = np.matmul(windows, newest_first)[..., 0] - by_new
    together, old, new = (np.sum(a * b, axis=1) for a, b in ((by_old, by_new), (by_old, by_old), (by_new, by_new)))
    together = np.where(together == 0, 1e-30, together)
    return 1 - together**2 / np.maximum(old * new, 1e-30), -new / together


def find_steps(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Faults of channels of a whole recording, [frames] or [frames, channels]."""
    return measured(StepFinder, samples, sample_rate_hz)
