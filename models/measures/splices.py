"""Skips: a stretch is missing, and two places meet that do not belong together, from one sample to the next.

What is played begins from nothing above what still sounds. At a cut one sound ends and another is there at once, amid
its course. Where the wave leaps (models/measures/leaps.py), one linear prediction is fitted to the sound before and
another one, backwards in time, to the sound after (models/measures/joints.py). It is a cut if there is a moment up to
which the first one foresees every sample and from which on the second one does, while each fails at once beyond it, and
what the one would have gone on with is another sound than what came. An impulse that was added belongs to neither side;
a stroke begins with a sample that is hardly off, or rises, and leaves the sound before it going on. Amid cymbals and
noise no leap is seen, but the partials below them break (models/measures/breaks.py): there the same is asked, a little
less of each law. Leaps in company are those of crackle, of a stutter or of a concealed packet, and none is told. Cuts
under a crossfade, and cuts in mere noise, are not found.

Godsill and Rayner, Digital Audio Restoration, 1998, chapter 4 (autoregressive models) and chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.breaks import Stream
from models.measures.finding import SAME_S, Finder, rms
from models.measures.joints import Joint, joint
from models.measures.leaps import BESIDE_HOPS, GUARD, hop_of, leaping, leaps

FITTED_S = 0.02  # of predictions
FORESEES = (0.5, 1.8)
FAILS, FAILS_AT_ONCE = 5.0, 3.0  # of the error's measure
OFF = (0.2, 3.0)  # of the level, of the first sample: less is a kink, more a click
OTHER, OTHER_S = 0.25, 0.002  # 0: the sound goes on, 1: another sound, 2: the same one turned over
CHANNEL_FAILS = 2.0
FAILS_MORE = 3.0  # at a break without a leap: than what is foreseen worse; and what else is asked there
HIDDEN_FORESEES, HIDDEN_AT_ONCE, HIDDEN_OFF, HIDDEN_OTHER = (0.45, 1.7), 1.0, (0.03, 3.0), 0.2
AT_FULL = 0.5  # of the level: a sound that grows, be it in 5 ms, is played
FAINTEST = 10 ** (-54 / 20)
LEVEL_S, CLOSE_S, FADED, LOUDER = 0.02, 0.002, 0.4, 20.0
HELD = 0.3  # of the samples within CLOSE_S that are as the one before: silence, or one value
ALONE_S, SMALLER, MOST_BESIDE = 0.5, 0.5, 1  # leaps of half the height at least: more are a texture
LATE_S = 0.2  # by which breaks are told later than leaps
SURELY_FAILS, BREAK_FAILS = 2.5, 1.5  # about a leap, about a break: less spares the second prediction
LIKE_FAILS, LIKE_FORESEES = 3.0, 3.0  # of a leap that is enough like a cut to make both of them a pattern


class Leap(NamedTuple):
    """Samples that differ from what is beside."""

    at: int  #: frame of the recording
    height: float
    like_cut: bool


class SpliceFinder(Finder):
    """Hard cuts, of all channels at the same sample."""

    name = "skip"
    context_s = 0.12  # twice that is how late breaks are told

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._hop = hop_of(sample_rate_hz)
        self._stream = Stream(sample_rate_hz)
        self._streamed = 0  # frames of the recording
        self._leaps: list[Leap] = []  # of the last second
        self._open: list[tuple[Leap, Joint]] = []  # cuts whose company is not yet known

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        beside = 2 * BESIDE_HOPS * self._hop
        first = max(0, core.start - beside)
        heights = leaps(planes[:, first : core.stop + beside])
        for place in leaping(heights, self._hop, slice(core.start - first, core.stop - first)):
            found = self._joint(planes, first + place, GUARD, SURELY_FAILS)
            self._note(found, at, first + place, float(heights[place]), _is_cut)
        new = planes[:, self._streamed - at :].sum(axis=0)
        self._streamed += len(new)
        wide = 2 * self._stream.step + GUARD
        for frame in self._stream.add(new):
            place = frame * self._stream.step - at
            if not any(abs(leap.at - at - place) < 2 * wide for leap, _ in self._open):
                self._note(self._joint(planes, place, wide, BREAK_FAILS), at, place, 0.0, _is_hidden_cut)
        self._settle(at + core.stop)

    def _note(self, found: Joint | None, at: int, place: int, height: float, is_cut: Callable[[Joint], bool]) -> None:
        leap = Leap(at + place, height, found is not None and _is_like_cut(found))
        if height > 0 or leap.like_cut:
            self._leaps.append(leap)
        if found is not None and is_cut(found):
            self._open.append((leap, found._replace(place=at + found.place)))

    def _joint(self, planes: Samples, place: int, guard: int, least: float) -> Joint | None:
        """The joint beside a place in full sound; None if there is none."""
        reach = round(FITTED_S * self.sample_rate_hz) + guard
        start = max(0, place - reach)
        channels, centre = planes[:, start : place + reach].astype(np.float64), place - start
        around = channels.sum(axis=0)
        if min(centre, len(around) - centre) < reach * 3 // 4 or not self._sounds(around, centre):
            return None
        found = joint(channels, centre, guard, least, round(OTHER_S * self.sample_rate_hz))
        if found is None:
            return None
        level = rms(around[max(0, centre - reach // 2) : centre + reach // 2])
        found = found._replace(off=found.off / level, at_full=self._at_full(around, found.place))
        return found._replace(place=start + found.place)

    def _at_full(self, around: Array, place: int) -> float:
        """How loud both sounds are at the place itself, of the same a little farther away; of the two the less."""
        close = round(CLOSE_S * self.sample_rate_hz)
        sides = (around[:place][::-1], around[place:])
        return min(rms(side[:close]) / (rms(side[: 3 * close]) + 1e-12) for side in sides)

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

    def _settle(self, until: int) -> None:
        """Tells the cuts that are alone, of those whose company before `until` is known."""
        alone = ALONE_S * self.sample_rate_hz
        same = SAME_S * self.sample_rate_hz
        late = alone + LATE_S * self.sample_rate_hz
        known = [cut for cut in self._open if cut[0].at + late <= until]
        self._open = [cut for cut in self._open if cut[0].at + late > until]
        for leap, found in known:
            others = [other for other in self._leaps if same < abs(other.at - leap.at) < alone]
            beside = sum(other.height > SMALLER * leap.height > 0 for other in others)
            if beside <= MOST_BESIDE and not any(other.like_cut for other in others):
                fails = min(found.fails)
                words = f"one sound gives way to another at once, {fails:.0f} times what either leaves unforeseen"
                self.tell(found.place, found.place + 1, None, fails / (fails + 4), words)
        self._leaps = [leap for leap in self._leaps if leap.at > until - 2 * late]

    def _close(self) -> None:
        self._settle(self.frames + 2 * self.sample_rate_hz)


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


def _is_hidden_cut(joint: Joint) -> bool:
    """Where the wave does not leap: a break is the evidence that there is something, so that each law may ask less."""
    foreseen = max(joint.foresees)
    return (
        HIDDEN_FORESEES[0] < min(joint.foresees)
        and foreseen < HIDDEN_FORESEES[1]
        and min(joint.fails) > FAILS_MORE * foreseen
        and min(joint.at_once) > HIDDEN_AT_ONCE
        and HIDDEN_OFF[0] < joint.off < HIDDEN_OFF[1]
        and min(joint.other) > HIDDEN_OTHER
        and joint.at_full > AT_FULL
        and joint.least > CHANNEL_FAILS
    )


def _is_like_cut(joint: Joint) -> bool:
    return min(joint.fails) > LIKE_FAILS and max(joint.foresees) < LIKE_FORESEES


def find_splices(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Hard cuts of a whole recording, [frames] or [frames, channels]."""
    return measured(SpliceFinder, samples, sample_rate_hz)
