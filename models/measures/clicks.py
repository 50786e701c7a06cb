"""Clicks: what a linear prediction from the sound around cannot foresee, short, alone, and above the music.

The residual of a prediction of order 16, in frames of about 46 ms, is set against its median. A click stands far out of
it, and out of the music itself. So do a singer's glottal pulses, but those come again with each period; and so does a
note's beginning, but that is followed by more than there was before. Neither is told: a click must be alone within
25 ms on either side, and leave the level as it was, at once or after 45 ms, for a deep scratch throws the stylus. What
is struck (models/measures/strokes.py), or comes as thick as rain, is none.

Below 32 kHz a click has lost much of what tells it from a singer's lips: it must stand alone there, and end at once. At
any rate one to three samples that were added to the sound are told by the trace that they leave
(models/measures/outliers.py), even if they stand little above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.compiled import compiled
from models.measures.finding import MOST_EVENTS, Finder, rms
from models.measures.outliers import added
from models.measures.prediction import LIFT, ORDER, errors_of, hann, lags_of, padded_for, predictors
from models.measures.strokes import Stroke, heard, musical

FRAME_S = 0.046
CELLS = 8  # of a frame, that are looked at first
WIDEST_S, ALONE_S, SETTLED_S, LEVEL_S = 0.003, 0.025, 0.045, 0.03
BULK = 0.25  # of a burst's peak: what is above counts for its width
BUSIER_AFTER, LOUDER_AFTER = 3.0, 2.0  # in amplitude, residual and sound: a note began
FAINTEST = 10 ** (-54 / 20)  # of the residual
BENDS_OVER_LEVEL, BENDS_OVER_MEAN = 1.5, 8.0  # of second differences, before a prediction is worth its time
MOST_BESIDE, BESIDE_S = 3, 0.5  # bursts on either side: more are a texture, of rain or of crackle
LOWER, SMALLER = 0.5, 0.1  # that count beside: by what tells a click, and by its peak


class Bounds(NamedTuple):
    """What a click must reach."""

    far_out: float  #: of the residual's scale
    over_music: float  #: of the level of 25 ms on either side
    alone_below: float  #: of the click's peak is all that may lie beside it
    rings: float  #: is the most that it may ring on, alone, without others beside it that ring


WIDE_BAND = Bounds(12.0, 2.0, 0.35, 1.7)
NARROW_BAND = Bounds(20.0, 2.0, 0.15, 1.0)
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

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._strokes: list[Stroke] = []  # all that are as short as clicks

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        size = 2 ** round(np.log2(FRAME_S * self.sample_rate_hz))
        if planes.shape[1] < 2 * size:
            return
        self._bounds = NARROW_BAND if self.sample_rate_hz < NARROW_BELOW_HZ else WIDE_BAND
        padded, count = padded_for(planes, size), -(-planes.shape[1] // size)
        for channel in range(self.channels):
            frames = padded[channel, size // 2 + ORDER :][: count * size].reshape(count, size)
            own = _busy(frames)
            found = self._residual(padded[channel], frames, own) if own.any() else None
            if found is not None:
                found[0][planes.shape[1] :] = 0.0  # what was padded
                clicks = self._clicks(planes[channel], *found, core, at)
                for burst in clicks + self._impulses(planes[channel], *found, core, clicks):
                    far = float(found[0][burst.peak] / found[1][burst.peak // size])
                    words = f"{far:.0f} times what the sound around it leaves unforeseen"
                    self.tell(at + burst.first, at + burst.last + 1, channel, far / (far + 6), words)

    def _residual(self, padded: Samples, frames: Samples, own: Array) -> tuple[Array, Array] | None:
        """What each sample is off its prediction, [frames], and the scale of that, [rows]; None without a click.

        Rows of samples in which none stands out, nor beside them, have a residual of 0. `own` are those with one.
        """
        count, size = frames.shape
        level = _levels_at_least(frames, round(ALONE_S * self.sample_rate_hz))
        rows = np.flatnonzero(own)
        high = _highest(_bends(frames[rows])) > np.maximum(BENDS_OVER_LEVEL * level[rows], 0.5 * FAINTEST)
        rows = rows[high.any(axis=1)]
        errors = errors_of(padded, size, rows)
        if not len(rows) or not _may_click(errors, level[rows]):
            return None
        busy = _beside(own)
        residual, scale = np.zeros((count, size)), np.zeros(count)
        residual[rows] = errors
        rest = busy.copy()
        rest[rows] = False
        residual[rest] = errors_of(padded, size, np.flatnonzero(rest))
        farthest = min(LOWER * self._bounds.far_out, IMPULSE_FAR_OUT)  # what lies nearer is none of any burst's
        out = np.zeros(count, bool)
        out[busy] = _may_be_out(residual[busy], residual[busy].max(axis=1), farthest)
        asked = np.flatnonzero(_beside(out) & busy)
        scale[asked] = _scales(residual[asked])
        scale = np.maximum(scale, np.maximum(np.r_[scale[1:], 0], np.r_[0, scale[:-1]]))  # stricter where sound begins
        scale[scale == 0] = 1.0
        scale[~out] = np.inf
        return residual.reshape(-1), scale

    def _clicks(self, wave: Samples, residual: Array, scale: Array, core: slice, at: int) -> list[_Burst]:
        bursts = self._bursts(residual, scale, self._bounds.far_out)
        if not any(core.start <= burst.first < core.stop for burst in bursts):
            return []
        beside = self._bursts(residual, scale, LOWER * self._bounds.far_out)
        places = np.array([burst.peak for burst in beside])
        heights = residual[places]
        kept = []
        for burst in bursts:
            away_s = np.abs(places - burst.peak) / self.sample_rate_hz
            near = (away_s > ALONE_S) & (away_s < BESIDE_S) & (heights > SMALLER * residual[burst.peak])
            if core.start <= burst.first < core.stop and self._is_click(wave, residual[: len(wave)], burst):
                stroke = heard(wave, *burst, at, self.sample_rate_hz)
                self._strokes += [stroke] if len(self._strokes) < MOST_EVENTS else []
                kept += [burst] if near.sum() <= MOST_BESIDE and stroke.rings < self._bounds.rings else []
        return kept

    def _impulses(
        self, wave: Samples, residual: Array, scale: Array, core: slice, clicks: list[_Burst]
    ) -> list[_Burst]:
        """Samples that were added to the sound, beside `clicks`; crackle has too many of them for single ones."""
        known = {burst.peak for burst in clicks}
        bursts = [burst for burst in self._bursts(residual, scale, IMPULSE_FAR_OUT) if burst.peak not in known]
        if not any(core.start <= burst.first < core.stop for burst in bursts):
            return []
        found = [impulse for burst in bursts for impulse in self._impulse(wave, burst)]
        places = np.array([impulse.first for impulse in found])
        reach = BESIDE_S * self.sample_rate_hz
        alone = [impulse for impulse in found if (np.abs(places - impulse.first) < reach).sum() <= 1 + MOST_BESIDE]
        return [impulse for impulse in alone if core.start <= impulse.first < core.stop]

    def _impulse(self, wave: Samples, burst: _Burst) -> list[_Burst]:
        """The samples that were added to the sound, if that is what the burst is."""
        first, half = burst.first, 2 ** round(np.log2(FRAME_S * self.sample_rate_hz))
        around = wave[max(0, first - half) : first + half].astype(np.float64)
        at = min(first, half)
        if at < ORDER or len(around) < at + 4 * ORDER:
            return []
        weights = predictors(lags_of((around * hann(len(around)))[None], ORDER), LIFT)[0]
        explained, width, height = added(np.convolve(around, weights)[: len(around)], weights, at)
        alone = round(ALONE_S * self.sample_rate_hz)
        before, after = rms(around[max(0, at - alone) : at]), rms(around[at + width : at + width + alone])
        if explained < IMPULSE_EXPLAINS or height < max(FAINTEST, IMPULSE_OVER_MUSIC * max(before, after)):
            return []
        return [_Burst(first, first + width - 1, burst.peak)] if after < LOUDER_AFTER * before + 0.01 * height else []

    def _bursts(self, residual: Array, scale: Array, far_out: float) -> list[_Burst]:
        """The bulk and the highest sample of what stands `far_out` of its scale."""
        out = _outliers(residual, far_out * scale)
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
        short = last - first <= WIDEST_S * self.sample_rate_hz
        if not short or height < max(
            FAINTEST, self._bounds.over_music * rms(wave[max(0, peak - alone) : peak + alone])
        ):
            return False
        before, after = slice(max(0, first - alone), first), slice(last + widest, last + widest + alone)
        beside = max(residual[before].max(initial=0.0), residual[after].max(initial=0.0))
        if beside > self._bounds.alone_below * height:
            return False
        if rms(residual[after]) > BUSIER_AFTER * rms(residual[before]) + 0.01 * height:
            return False
        later, earlier = wave[last + settled : last + settled + level], wave[max(0, first - level) : first]
        return bool(min(rms(wave[after]), rms(later)) <= LOUDER_AFTER * rms(earlier) + 0.01 * height)

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        found = super()._joined(events)
        struck = musical(np.array([event.start_s for event in found]), self._strokes)
        return [event for event, music in zip(found, struck, strict=True) if not music]


def _may_click(errors: Array, level: Array) -> bool:
    """Whether an error is as high as an impulse must be, the least of clicks, by bounds that take little time."""
    cells = _highest(errors)
    high = cells >= np.maximum(FAINTEST, 0.999 * IMPULSE_OVER_MUSIC * level)
    top = np.where(high, cells, 0).max(axis=1)
    some = np.flatnonzero(top > 0)
    some = some[_may_be_out(errors[some], top[some], IMPULSE_FAR_OUT)]
    return bool(len(some) and (top[some] > IMPULSE_FAR_OUT * _scales(errors[some])).any())


@compiled
def _may_be_out(errors: Array, heights: Array, far_out: float) -> Array:
    """Whether heights [rows] may be so far out of their rows: half of the errors must be below, a cheaper median."""
    may = np.zeros(len(errors), np.bool_)
    for row in range(len(errors)):
        own, least, below = errors[row], 0.6745 * (heights[row] / far_out - 1e-7) * (1 + 1e-9), 0
        for at in range(len(own)):
            below += own[at] <= least
        may[row] = below >= len(own) // 2
    return may


@compiled
def _outliers(residual: Array, bounds: Array) -> Array:
    """The samples above the bound of their row, which is infinite for rows that none looks at."""
    found, count, size = np.empty(len(residual), np.int64), 0, len(residual) // len(bounds)
    for row in range(len(bounds)):
        if bounds[row] < np.inf:
            own, bound = residual[row * size :], bounds[row]
            for at in range(size):
                if own[at] > bound:
                    found[count] = row * size + at
                    count += 1
    return found[:count].copy()


def _scales(errors: Array) -> Array:
    half = errors.shape[1] // 2  # of an even number
    parted = np.partition(errors, half, axis=1)
    return np.asarray((parted[:, :half].max(axis=1) + parted[:, half]) / 2 / 0.6745 + 1e-7)


def _levels_at_least(frames: Samples, reach: int) -> Array:
    """What the level within `reach` of any sample is at least, by CELLS of frames: [rows, CELLS]."""
    grain = frames.shape[1] // CELLS
    cells = frames.reshape(-1, grain)
    beside = max(0, (reach - grain + 1) // grain)
    sums = np.zeros(len(cells) + 2 * beside + 1)
    sums[beside + 1 : beside + 1 + len(cells)] = np.einsum("cs,cs->c", cells, cells)
    np.cumsum(sums, out=sums)
    energy = sums[2 * beside + 1 :] - sums[: len(cells)]
    return np.asarray(np.sqrt(np.maximum(energy, 0) / (2 * reach)).reshape(-1, CELLS))


def _highest(values: Array) -> Array:
    """Of each of the CELLS of frames [rows, size]."""
    return np.asarray(values.reshape(len(values), CELLS, values.shape[1] // CELLS).max(axis=2))


def _bends(rows: Samples) -> Samples:
    """Second differences, upwards and downwards alike, of [rows, samples], 0 for the last two."""
    bends = np.zeros_like(rows)
    np.abs(np.diff(rows, 2), out=bends[:, :-2])
    return bends


@compiled
def _busy(frames: Samples) -> Array:
    """Rows [rows, samples] with a sample out of the second differences: others have no click."""
    rows, size = frames.shape
    busy = np.zeros(rows, np.bool_)
    for row in range(rows):
        wave, energy, bends, out = frames[row], np.float32(0), np.float32(0), 0
        for at in range(size - 2):
            bends += abs(wave[at] - np.float32(2) * wave[at + 1] + wave[at + 2])
            energy += wave[at] * wave[at]
        far_out = BENDS_OVER_LEVEL * math.sqrt(energy / size), BENDS_OVER_MEAN * bends / (size - 2) + 1e-6
        least = np.float32(max(far_out))
        for at in range(size - 2):
            out += abs(wave[at] - np.float32(2) * wave[at + 1] + wave[at + 2]) > least
        busy[row] = out > 0
    return busy


def _beside(frames: Array) -> Array:
    """Frames, and those next to them."""
    beside = frames.copy()
    beside[1:] |= frames[:-1]
    beside[:-1] |= frames[1:]
    return beside


def find_clicks(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Clicks of a whole recording, [frames] or [frames, channels]."""
    return measured(ClickFinder, samples, sample_rate_hz)
