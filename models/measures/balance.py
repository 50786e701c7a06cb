"""Steps of the balance between two channels: a level that changes by one factor at all frequencies, and stays.

Music moves in the stereo picture by its voices: as one comes or goes, lows and highs change their balance each by its
own. A channel whose gain steps changes all of it alike. So the ratio of two channels' energies, over SIDE_S before and
after each moment, must change by the same decibels in the wave, in its differences and in its second differences
(which weigh highs ever more), must do so within a few hundredths of a second, and leave the correlation of the channels
as it was. Where a channel is turned over, the correlation changes its sign. That places a step to 10 ms, whatever a
lossy codec has made of it since; what it was like to the sample tells models/measures/steps.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.measures.blocks import Array, Samples
from models.measures.compiled import compiled

FRAME_S = 0.01
SIDE_S, SHORT_S = 0.3, 0.03
LEAST_DB, SURE_DB = 4.0, 8.0
ALIKE_DB, ALIKE = 3.0, 0.35  # by which emphases may differ at most, and as a share of the step
AT_ONCE = 0.35  # share of the step by which that of SHORT_S may differ
CORRELATION = 0.4  # by which that may differ, before and after
COMMON = 0.3  # of the correlations of some emphasis, the smaller: or a voice may have come that is alone in its channel
TURNED, FEWEST_TURNED = 0.2, 2  # product of the correlations, below 0; of so many emphases, if none contradicts
FAINTEST = 1e-7  # mean square of the softer channel
CHUNK = 6000  # frames that are looked at together
APART_FRAMES = 20


#: What each emphasis adds of the sample before, and of the one before that: the wave, its first and second differences.
_EMPHASES = np.array([[0, 0], [-1, 0], [-2, 1]], np.float32)


class BalanceStep(NamedTuple):
    """One channel's gain changes."""

    frame: int  #: of the recording, to 10 ms
    channel: int
    gain: float
    sure: bool


class Balance:
    """Takes two channels of a recording in order, gives the steps of their balance."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._hop = round(FRAME_S * sample_rate_hz)
        self._side, self._short = round(SIDE_S / FRAME_S), round(SHORT_S / FRAME_S)
        self._left = np.zeros((2, 2), np.float32)  # two samples more, for the differences
        self._sums: list[Array] = []  # energies of both and their product, of each emphasis: [3, 3, frames]
        self._at = 0  # the frame where they start
        self._found: list[BalanceStep] = []

    def add(self, planes: Samples) -> None:
        """Takes the next samples, [2, samples]."""
        wave = np.concatenate([self._left, planes], axis=1)
        count = (wave.shape[1] - 2) // self._hop
        self._left = wave[:, count * self._hop :].copy()
        sums = _products(wave, _EMPHASES, self._hop, count)
        self._sums.append(sums)
        if sum(sums.shape[2] for sums in self._sums) >= CHUNK:
            self._look()

    def result(self) -> list[BalanceStep]:
        """All steps, in order."""
        self._look()
        return self._found

    def _look(self) -> None:
        sums = np.concatenate([np.empty((3, 3, 0)), *self._sums], axis=2)
        known = self._found[-1].frame // self._hop + APART_FRAMES if self._found else -1
        for step in _steps(sums / self._hop, self._side, self._short):
            if self._at + step.frame > known:
                self._found.append(step._replace(frame=(self._at + step.frame) * self._hop))
        keep = max(0, sums.shape[2] - 2 * self._side)
        self._sums, self._at = [sums[:, :, keep:]], self._at + keep


@compiled
def _products(wave: Samples, emphases: Samples, hop: int, count: int) -> Samples:
    """Energies of both channels [2, 2 + count * hop] and their product in each hop, of each emphasis: [3, 3, count]."""
    sums = np.empty((3, 3, count), np.float32)
    for frame in range(count):
        a, b = wave[0, frame * hop :], wave[1, frame * hop :]
        for emphasis in range(3):
            last, first = emphases[emphasis]
            own = other = both = np.float32(0)
            for at in range(hop):
                x, y = a[at + 2] + last * a[at + 1] + first * a[at], b[at + 2] + last * b[at + 1] + first * b[at]
                own, other, both = own + x * x, other + y * y, both + x * y
            sums[emphasis, 0, frame], sums[emphasis, 1, frame], sums[emphasis, 2, frame] = own, other, both
    return sums


class _Sides(NamedTuple):
    """What lies before and after each moment `at`, arrays [emphases, ..., moments]."""

    at: Array
    changes_db: Array  # [emphases, channels, moments]
    at_once_db: Array  # of the balance, [moments]
    earlier: Array  # correlations
    later: Array
    heard: Array  # [moments], both channels on both sides


def _sides(powers: Array, side: int, short: int) -> _Sides:
    sums = np.concatenate([np.zeros((3, 3, 1)), np.cumsum(powers, axis=2, dtype=np.float64)], axis=2)
    at = np.arange(side, powers.shape[2] - side + 1)
    before, after = sums[..., at] - sums[..., at - side], sums[..., at + side] - sums[..., at]
    quick = _level_db(sums[..., at + short] - sums[..., at]) - _level_db(sums[..., at] - sums[..., at - short])
    return _Sides(
        at,
        _level_db(after) - _level_db(before),
        np.median(quick[:, 0] - quick[:, 1], axis=0),
        _correlation(before),
        _correlation(after),
        np.minimum(before[0, :2].min(axis=0), after[0, :2].min(axis=0)) > FAINTEST * side,
    )


def _steps(powers: Array, side: int, short: int) -> list[BalanceStep]:
    """Steps by frames of energies [emphases, (first, second, product), frames]; turns are both channels'."""
    if powers.shape[2] <= 2 * side:
        return []
    sides = _sides(powers, side, short)
    steps_db = sides.changes_db[:, 0] - sides.changes_db[:, 1]
    step_db = np.median(steps_db, axis=0)
    return sorted(_gains(sides, steps_db, step_db) + _turns(sides, step_db))


def _gains(sides: _Sides, steps_db: Array, step_db: Array) -> list[BalanceStep]:
    size = np.abs(step_db)
    told = (
        sides.heard
        & (size >= LEAST_DB)
        & (np.abs(steps_db - step_db).max(axis=0) <= np.minimum(ALIKE * size, ALIKE_DB))
        & (np.abs(sides.at_once_db - step_db) <= AT_ONCE * size)
        & (np.abs(sides.later - sides.earlier).max(axis=0) < CORRELATION)
    )
    common = np.minimum(np.abs(sides.earlier), np.abs(sides.later)).max(axis=0) >= COMMON
    found = []
    for best in _best(told, np.abs(sides.at_once_db)):
        channel = int(np.argmax(np.abs(np.median(sides.changes_db[:, :, best], axis=0))))
        own_db = float(step_db[best]) * (1 if channel == 0 else -1)
        sure = bool(abs(own_db) >= SURE_DB and common[best])
        found.append(BalanceStep(int(sides.at[best]), channel, float(10 ** (own_db / 20)), sure))
    return found


def _turns(sides: _Sides, step_db: Array) -> list[BalanceStep]:
    products = sides.earlier * sides.later
    told = sides.heard & (np.abs(step_db) < LEAST_DB) & ((products < -TURNED).sum(axis=0) >= FEWEST_TURNED)
    places = _best(told & (products < TURNED).all(axis=0), np.abs(sides.later - sides.earlier).sum(axis=0))
    return [BalanceStep(int(sides.at[best]), channel, -1.0, False) for best in places for channel in (0, 1)]


def _best(told: Array, height: Array) -> list[int]:
    """Where `height` [frames] is greatest, of each group of frames that are told."""
    places = np.flatnonzero(told)
    groups = np.split(places, np.flatnonzero(np.diff(places) > APART_FRAMES) + 1) if len(places) else []
    return [int(group[height[group].argmax()]) for group in groups]


def _level_db(sums: Array) -> Array:
    return np.asarray(10 * np.log10(np.maximum(sums[:, :2], 1e-20)))


def _correlation(sums: Array) -> Array:
    return np.asarray(sums[:, 2] / np.sqrt(np.maximum(sums[:, 0] * sums[:, 1], 1e-30)))
