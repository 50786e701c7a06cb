"""Skips: a stretch is missing, and two places meet that do not belong together, from one sample to the next.

What is played begins from nothing above what still sounds. At a cut one sound ends and another is there at once, amid
its course. Where the wave leaps (models/measures/leaps.py), one linear prediction is fitted to the sound before and
another one, backwards in time, to the sound after. It is a cut if there is a moment up to which the first one foresees
every sample and from which on the second one does, while each fails at once beyond it, and what the one would have gone
on with is another sound than what came. An impulse that was added belongs to neither side; a stroke begins with a
sample that is hardly off, or rises, and leaves the sound before it going on. Leaps in company are those of crackle, of
a stutter or of a concealed packet, and none is told. Cuts under a crossfade, and cuts in noise, leave no leap and are
not found.

Godsill and Rayner, Digital Audio Restoration, 1998, chapter 4 (autoregressive models, Burg's method) and chapter 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder, rms
from models.measures.leaps import GUARD, hop_of, leaping, leaps

ORDER, FITTED_S, BASE = 64, 0.02, 400  # of predictions; samples whose error is the measure
NEAR = 20  # samples on either side that must be foreseen
BEYOND = 8  # samples that must not be
FAILS, FAILS_AT_ONCE = 5.0, 3.0  # of the error's measure
FORESEES = (0.5, 1.8)
OFF = (0.2, 3.0)  # of the level, of the first sample: less is a kink, more a click
OTHER, OTHER_S = 0.25, 0.002  # 0: the sound goes on, 1: another sound, 2: the same one turned over
CHANNEL_FAILS = 2.0
FAINTEST = 10 ** (-54 / 20)
LEVEL_S, CLOSE_S, FADED, LOUDER = 0.02, 0.002, 0.4, 20.0
HELD = 0.3  # of the samples within CLOSE_S that are as the one before: silence, or one value
ALONE_S, SMALLER, MOST_BESIDE = 0.5, 0.5, 1  # leaps of half the height at least: more are a texture
SURELY_FAILS = 2.5  # about the leap: less spares the second prediction
ROUGHLY_FAILS = 1.9  # by a rough one, which tells 0.8 of that or more: less spares both
LIKE_FAILS, LIKE_FORESEES = 3.0, 3.0  # of a leap that is enough like a cut to make both of them a pattern


class Leap(NamedTuple):
    """Samples that differ from what is beside."""

    at: int  #: frame of the recording
    height: float
    like_cut: bool


class Joint(NamedTuple):
    """What two predictions say of a leap; the first of each pair is that of the sound before."""

    place: int  #: first sample of the sound after
    foresees: tuple[float, float]  #: error on its own side, of its measure
    fails: tuple[float, float]  #: error beyond, of its measure
    at_once: tuple[float, float]  #: that of the first sample
    off: float  #: by how much the first sample is off, of the level
    other: tuple[float, float]  #: how far the sound beyond is another one than would have gone on, 0..2
    least: float  #: error beyond of the channel that has least, of its measure


class SpliceFinder(Finder):
    """Hard cuts, of all channels at the same sample."""

    name = "skip"
    context_s = 0.05

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._hop = hop_of(sample_rate_hz)
        self._leaps: list[Leap] = []  # of the last second
        self._open: list[tuple[Leap, Joint]] = []  # cuts whose company is not yet known

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        heights = leaps(planes)
        for place in leaping(heights, self._hop, core):
            joint = self._joint(planes, place)
            leap = Leap(at + place, float(heights[place]), joint is not None and _is_like_cut(joint))
            self._leaps.append(leap)
            if joint is not None and _is_cut(joint):
                self._open.append((leap, joint._replace(place=at + joint.place)))
        self._settle(at + core.stop)

    def _joint(self, planes: Samples, place: int) -> Joint | None:
        """The joint beside a leap in full sound; None if there is none."""
        reach = round(FITTED_S * self.sample_rate_hz) + GUARD
        start = max(0, place - reach)
        channels, centre = planes[:, start : place + reach].astype(np.float64), place - start
        around = channels.sum(axis=0)
        if min(centre, len(around) - centre) < reach // 2 or not self._sounds(around, centre):
            return None
        joint = self._met(around, channels, centre)
        return joint._replace(place=start + joint.place) if joint is not None else None

    def _sounds(self, around: Array, centre: int) -> bool:
        """Whether there is sound of its own on both sides, close to the leap as well."""
        far, close = (round(of_s * self.sample_rate_hz) for of_s in (LEVEL_S, CLOSE_S))
        levels = []
        for side in (around[: centre - GUARD][::-1], around[centre + GUARD :]):
            level, held = rms(side[:far]), float(np.mean(np.diff(side[:close]) == 0))
            if level < FAINTEST or rms(side[:close]) < FADED * level or held > HELD:
                return False
            levels.append(level)
        return max(levels) < LOUDER * min(levels)

    def _met(self, around: Array, channels: Array, centre: int) -> Joint | None:
        if _fails_roughly(around[::-1], len(around) - centre) < ROUGHLY_FAILS:
            return None
        back, error_back = _predicted(around[::-1], len(around) - centre)
        error_back = error_back[::-1]
        if rms(error_back[centre - GUARD : centre + GUARD]) < SURELY_FAILS:  # most that is struck
            return None
        ahead, error_ahead = _predicted(around, centre)
        place = _meeting(error_ahead, error_back, centre)
        length = round(OTHER_S * self.sample_rate_hz)
        level = rms(around[centre - round(LEVEL_S * self.sample_rate_hz) :][: 2 * round(LEVEL_S * self.sample_rate_hz)])
        first = around[place] + ahead[1:] @ around[place - ORDER : place][::-1]
        return Joint(
            place,
            (rms(error_ahead[place - NEAR : place]), rms(error_back[place : place + NEAR])),
            (rms(error_ahead[place : place + BEYOND]), rms(error_back[place - BEYOND : place])),
            (abs(float(error_ahead[place])), abs(float(error_back[place - 1]))),
            abs(float(first)) / level,
            (_other(around, ahead, place, length), _other(around[::-1], back, len(around) - place, length)),
            min(_fails(channel, ahead, place) for channel in channels),
        )

    def _settle(self, until: int) -> None:
        """Tells the cuts that are alone, of those whose company before `until` is known."""
        alone = ALONE_S * self.sample_rate_hz
        known = [cut for cut in self._open if cut[0].at + alone <= until]
        self._open = [cut for cut in self._open if cut[0].at + alone > until]
        for leap, joint in known:
            others = [other for other in self._leaps if 0 < abs(other.at - leap.at) < alone]
            beside = sum(other.height > SMALLER * leap.height for other in others)
            if beside <= MOST_BESIDE and not any(other.like_cut for other in others):
                fails = min(joint.fails)
                words = f"one sound gives way to another at once, {fails:.0f} times what either leaves unforeseen"
                self.tell(joint.place, joint.place + 1, None, fails / (fails + 4), words)
        self._leaps = [leap for leap in self._leaps if leap.at > until - 2 * alone]

    def _close(self) -> None:
        self._settle(self.frames + self.sample_rate_hz)


def _burg(wave: Array) -> Array:
    """The prediction error filter [ORDER + 1] of a wave, by Burg's method: stable, and sharp for short waves."""
    ahead, back = wave[1:], wave[:-1]
    power = float(ahead @ ahead) + float(back @ back)
    weights = np.zeros(ORDER + 1)
    weights[0] = 1.0
    for order in range(1, ORDER + 1):
        reflection = -2 * float(ahead @ back) / (power + 1e-20)
        weights[1 : order + 1] += reflection * weights[order - 1 :: -1]
        ahead, back = ahead + reflection * back, back + reflection * ahead
        power = (1 - reflection**2) * power - float(ahead[0]) ** 2 - float(back[-1]) ** 2  # of what is left
        ahead, back = ahead[1:], back[:-1]
    return weights


def _fails_roughly(around: Array, centre: int) -> float:
    """The error of `_predicted` about a leap by a prediction that is rougher, and far sooner made; more if unsure."""
    before = around[: centre - GUARD]
    if len(before) < BASE + ORDER:
        return np.inf
    window = before * np.hanning(len(before))
    lags = np.correlate(np.append(window, np.zeros(ORDER)), window)
    lags[0] = lags[0] * (1 + 1e-9) + 1e-12
    weights = np.append(1.0, solve_toeplitz(lags[:-1], -lags[1:]))
    error = np.convolve(around[centre - GUARD - BASE : centre + GUARD], weights, "valid")
    return rms(error[-2 * GUARD :]) / (rms(error[: -2 * GUARD]) + 1e-9)


def _predicted(around: Array, centre: int) -> tuple[Array, Array]:
    """The prediction of what is before `centre`, and its error everywhere, of its root mean square just before."""
    weights = _burg(around[: centre - GUARD])
    error = np.convolve(around, weights)[: len(around)]
    return weights, error / (rms(error[max(ORDER, centre - BASE) : centre - GUARD]) + 1e-9)


def _meeting(ahead: Array, back: Array, centre: int) -> int:
    """The place up to which the one error and from which on the other one are least, in sum."""
    first, last = centre - 2 * GUARD, centre + GUARD
    before = np.concatenate([[0.0], np.cumsum(ahead[first:last] ** 2)])
    after = np.concatenate([[0.0], np.cumsum(back[first:last][::-1] ** 2)])[::-1]
    return first + int((before + after).argmin())


def _other(around: Array, weights: Array, place: int, length: int) -> float:
    """How far what comes from `place` on is another sound than what would have gone on: 0..2."""
    error = np.convolve(around[: place + length], weights)[: place + length]
    error[place:] = 0.0
    foreseen, came = lfilter([1.0], weights, error)[place:], around[place : place + length]
    return float(np.sum((came - foreseen) ** 2) / (np.sum(came**2) + np.sum(foreseen**2) + 1e-20))


def _fails(channel: Array, weights: Array, place: int) -> float:
    """By how much the prediction of all channels fails in one, of its error there before."""
    error = np.convolve(channel[: place + BEYOND], weights)[: place + BEYOND]
    usual = rms(error[max(ORDER, place - BASE) : place - GUARD])
    return rms(error[place:]) / usual if usual > 1e-7 else FAILS


def _is_cut(joint: Joint) -> bool:
    return (
        FORESEES[0] < min(joint.foresees)
        and max(joint.foresees) < FORESEES[1]
        and min(joint.fails) > FAILS
        and min(joint.at_once) > FAILS_AT_ONCE
        and OFF[0] < joint.off < OFF[1]
        and min(joint.other) > OTHER
        and joint.least > CHANNEL_FAILS
    )


def _is_like_cut(joint: Joint) -> bool:
    return min(joint.fails) > LIKE_FAILS and max(joint.foresees) < LIKE_FORESEES


def find_splices(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Hard cuts of a whole recording, [frames] or [frames, channels]."""
    return measured(SpliceFinder, samples, sample_rate_hz)
