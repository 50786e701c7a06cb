"""A channel whose gain steps: turned in polarity, or at another level, from one sample to the next, and back.

A prediction from the samples before a step foresees what would have come without it. Behind a step by the gain g it is
wrong, but right again once what came later is divided by g: one number must then explain a dozen samples of the
residual. No sound does that: what begins or ends adds something, it does not multiply what is there. (The prediction is
linear, so that 1 / g is a least-squares fit.) A step that all channels make is an edit or an effect, and none of a
channel. It is a fault from the step to the one that takes it back, or to the end. What was coded lossily since has no
such steps left; of two channels, large ones are seen in their balance all the same (models/measures/balance.py), and
smaller ones count there if they take another one back. A channel that falls silent is told by models/measures/gaps.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from models.events import Event
from models.measures.balance import Balance
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder, decibels, rms
from models.measures.leaps import BESIDE_HOPS, GUARD, hop_of, leaping, leaps
from models.measures.prediction import LIFT, filtered, hann, lags_of, predictors

ORDER = 24
SIDE, NEAR = 1024, 256  # samples before and after a step: for the prediction, for what is usual
FIRSTS = 4  # samples about a leap that may be the first of a step
BENDS, LEAP = 2, 1.3  # order of the differences, and how far they leap out
FAR_OUT = 2.0  # of the residual, over that before and after
UNEXPLAINED = 0.03  # share amiss with the right gain
LEFT = 0.2  # how much what is left of the residual counts beside that
UNSURE = 0.1  # if another step takes it back
LEAST_DB = 3.0
GOES_ON = 2.0  # the residual of other channels is no farther out
LEVELS_DB = 8.0  # by which levels beside a step may differ from what its gain says: music goes on meanwhile
SAME_DB, SAME_BALANCE_DB = 1.5, 3.0  # a step that takes another one back
SAME_S = 0.1  # steps to the sample, and of the balance, so near are one
FAINTEST = 10 ** (-66 / 20)
#: Of windows that end further and further on, which samples lie behind the step.
_IS_NEW = np.arange(ORDER + 1)[None, :] >= ORDER - np.arange(ORDER)[:, None]


class _Step(NamedTuple):
    frame: int
    gain: float
    sure: bool  # by itself; or only if another one takes it back
    exact: bool = True  # to the sample; or of the balance


class StepFinder(Finder):
    """Faults of one channel among several."""

    name = "channel_fault"
    context_s = 0.2

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._hop = hop_of(sample_rate_hz)
        needed = SIDE + 2 * BESIDE_HOPS * self._hop
        self.context -= max(0, self.context - needed) // self._hop * self._hop  # at high rates it is far too long
        self._steps: list[list[_Step]] = [[] for _ in range(channels)]
        self._balance = Balance(sample_rate_hz) if channels == 2 else None

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        if self.channels < 2:
            return
        if self._balance:
            self._balance.add(planes[:, core])
        places = [leaping(leaps(wave[None], BENDS), self._hop, core, LEAP) for wave in planes]
        alone = [
            (channel, place)
            for channel, those in enumerate(places)
            for place in those
            if not any(abs(place - there) < GUARD for other in places if other is not those for there in other)
        ]
        for channel, step in _steps(planes, alone):
            if _is_alone(planes, channel, step):
                self._steps[channel].append(step._replace(frame=at + step.frame))

    def _close(self) -> None:
        near = SAME_S * self.sample_rate_hz
        for frame, channel, gain, sure in self._balance.result() if self._balance else ():
            if all(abs(step.frame - frame) > near for step in self._steps[channel]):
                self._steps[channel].append(_Step(frame, gain, sure, exact=False))
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
        words = f"the channel {turned}, by {decibels(abs(gain)):+.0f} dB, at once"
        self.tell(start, end, channel, 0.95, words)


def _takes_back(one: _Step, other: _Step) -> bool:
    gain = one.gain * other.gain
    return gain > 0 and abs(decibels(gain)) < (SAME_DB if one.exact and other.exact else SAME_BALANCE_DB)


def _steps(planes: Samples, places: list[tuple[int, int]]) -> list[tuple[int, _Step]]:
    """The steps of the gain within two samples of `places` (channel, frame), with their channels."""
    inside = [(c, at) for c, at in places if SIDE + 2 <= at < planes.shape[1] - SIDE - 2]
    if not inside:
        return []
    around: Array = np.stack([planes[c, at - SIDE - 2 : at + SIDE + 2] for c, at in inside]).astype(np.float64)
    weights = _predictors(around)
    rows = np.flatnonzero(_far_out(around, weights) > FAR_OUT)
    tried = _explained(around[rows], weights[rows])  # [2, rows, FIRSTS]
    steps = []
    for of, row in enumerate(rows.tolist()):
        best = int(tried[0, of].argmin())
        unexplained, gain = tried[:, of, best].tolist()
        first, (channel, place) = SIDE + 1 + best, inside[row]
        level = min(rms(around[row, first - 256 : first]), rms(around[row, first : first + 256]))
        if unexplained < UNSURE and (gain < 0 or abs(decibels(gain)) >= LEAST_DB) and level > FAINTEST:
            steps.append((channel, _Step(place - SIDE - 2 + first, gain, unexplained < UNEXPLAINED)))
    return steps


def _is_alone(planes: Samples, channel: int, step: _Step) -> bool:
    """Whether the other channels go on as foreseen, and this one is louder or softer than they are by the gain."""
    around = planes[:, step.frame - SIDE - 2 : step.frame + SIDE + 2].astype(np.float64)
    others = np.delete(around, channel, axis=0)
    others = others[np.abs(others).max(axis=1) > FAINTEST]
    if len(others) and _far_out(others, _predictors(others)).max() > GOES_ON:
        return False
    changes_db = [
        decibels(rms(side[:, SIDE + 2 :]) / max(rms(side[:, : SIDE + 2]), 1e-9))
        for side in (around[channel : channel + 1], others)
    ]
    return abs(changes_db[0] - (changes_db[1] if len(others) else 0) - decibels(abs(step.gain))) < LEVELS_DB


def _predictors(around: Array) -> Array:
    """Prediction error filters [rows, ORDER + 1] for both sides, whatever their levels."""
    sides = np.stack([around[:, :SIDE], around[:, -SIDE:]], axis=1)
    sides = sides * hann(SIDE) / np.maximum(np.sqrt(np.mean(sides**2, axis=2, keepdims=True)), 1e-12)
    lags = lags_of(sides.reshape(-1, SIDE), ORDER)
    return predictors(lags[::2] + lags[1::2], LIFT)


def _far_out(around: Array, weights: Array) -> Array:
    """How far the residual in the middle is out of that before and after, [rows]."""
    middle = slice(NEAR, NEAR + ORDER + 4)
    seen = around[:, SIDE - NEAR - ORDER : SIDE + ORDER + 4 + NEAR]
    errors = np.empty((len(seen), seen.shape[1] - ORDER))
    for wave, filter_, error in zip(seen, weights, errors, strict=True):
        filtered(wave, filter_, error)
    squares = errors**2
    before, level, after = (
        np.sqrt(part.mean(axis=1)) for part in (squares[:, :NEAR], squares[:, middle], squares[:, middle.stop :])
    )
    return np.asarray(level / np.maximum(np.maximum(before, after), FAINTEST**2))


def _explained(around: Array, weights: Array) -> Array:
    """How the old sound, as foreseen from a frame on, and the new one agree but for a gain: shares amiss, and gains.

    Of each of FIRSTS frames about the middle, [2, rows, FIRSTS]. A window ends with each of the ORDER frames from that
    one on. What is old in it and what is new add up to the residual: without a step they all but cancel.
    """
    to_newest = sliding_window_view(around[:, SIDE + 1 - ORDER : SIDE + FIRSTS + ORDER], ORDER + 1, axis=1)
    windows = sliding_window_view(to_newest, ORDER, axis=1).swapaxes(2, 3)  # [rows, FIRSTS, ORDER, ORDER + 1]
    newest_first = weights[:, None, ::-1, None]
    by_new = np.matmul(windows * _IS_NEW, newest_first)[..., 0]
    by_old = np.matmul(windows, newest_first)[..., 0] - by_new
    together, old, new = (np.sum(a * b, axis=2) for a, b in ((by_old, by_new), (by_old, by_old), (by_new, by_new)))
    turn = -together / np.maximum(new, 1e-30)
    unlike = 1 - together**2 / np.maximum(old * new, 1e-30)
    whole = np.maximum(np.sum((by_old + by_new) ** 2, axis=2), 1e-30)
    left = np.sum((by_old + turn[..., None] * by_new) ** 2, axis=2) / whole
    return np.stack([np.maximum(unlike, LEFT * left), 1 / np.where(turn == 0, 1e-9, turn)])


def find_steps(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Faults of channels of a whole recording, [frames] or [frames, channels]."""
    return measured(StepFinder, samples, sample_rate_hz)
