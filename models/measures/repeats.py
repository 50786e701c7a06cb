"""Stutter: a stretch of 15 to 500 ms that comes again at once, to the last bit.

Sound that was recorded never repeats itself to the bit, so a repetition of that kind was made by a machine. Six frames
of 16, about once in a millisecond, are looked for within the next half second, and where they are found, how far both
agree is seen. A repetition counts if it has three quarters of the lag (the rest may be a crossfade). What comes
again within 15 ms is a synthesiser's steady wave, or silence; a sound that dies away over hum leaves a steady wave,
too: just before a stutter, what is a lag apart is not alike. A repetition that is faded to nothing at its joints is an
effect that somebody made. All these are none. After lossy coding nothing is the same to the bit, and nothing is found.

A lag that is a packet's length to the sample is left to models/measures/concealed.py, unless the repetition outlasts
what stands for lost packets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.events import Event, runs_of
from models.measures.blocks import Samples, measured
from models.measures.compiled import compiled
from models.measures.concealed import STUTTER_S, is_packet
from models.measures.finding import Finder, rms

SHORTEST_S, LONGEST_S = 0.015, 0.5
EVERY_S = 0.001  # on average
TAPS = (0, 1, 4, 9, 11, 15)  # frames that are looked for
WORD = TAPS[-1] + 1
AGREEING = 0.75  # of the lag
FAINTEST = 10 ** (-60 / 20)
JOINT_S, FADED = 0.0001, 0.15  # around a joint; of the level
BEFORE_S, APART = 0.005, 0.2  # what differs just before, of the level: less is a sound that dies away over hum
STEADY = 0.9995  # a wave that is so much like itself within SHORTEST_S is a tone
FEWEST_MARKS = 3  # that come again at one lag: of eleven, on average, in the shortest stutter
MOST_LAGS = 64  # that are followed in a second
_KEY_BITS = 12

Places = npt.NDArray[np.integer]


class RepeatFinder(Finder):
    """Stretches that repeat what was just before."""

    name = "stutter"
    context_s = LONGEST_S + 0.02

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._going_on: set[int] = set()  # lags of what was told and was not over at the end of what was seen

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        if planes.shape[1] < 4 * WORD:
            return
        going_on, self._going_on = self._going_on, set()
        longest_loss = STUTTER_S * self.sample_rate_hz
        for lag in self._lags(planes, core)[:MOST_LAGS]:
            same = np.all(planes[:, lag:] == planes[:, :-lag], axis=0)
            for first, stop in runs_of(same):
                touches = first < core.stop and stop > core.start
                if not touches or stop - first < max(AGREEING * lag, SHORTEST_S * self.sample_rate_hz):
                    continue
                begun_before = first == 0 and at > 0
                if not begun_before and stop - first <= longest_loss and is_packet(lag, self.sample_rate_hz):
                    continue
                if lag in going_on if begun_before else self._is_cut(planes, lag, first, stop):
                    words = f"{1000 * lag / self.sample_rate_hz:.0f} ms come again to the bit"
                    self.tell(at + first + lag, at + stop + lag, None, 0.98, words)
                    self._going_on |= {lag} if stop == len(same) else set()

    def _lags(self, planes: Samples, core: slice) -> list[int]:
        """Lags at which a word of the core comes again, and not sooner than SHORTEST_S."""
        mixed = np.add.reduce(planes[:, core.start :], axis=0)
        bits, words = mixed.view(np.int32), _words(mixed.view(np.int32))
        marks = np.flatnonzero(words.view(np.uint32) < np.uint32(2**32 / (EVERY_S * self.sample_rate_hz)))
        marks = marks[np.abs(mixed[marks]) > FAINTEST]
        sources, lags = _again(bits, words, marks, core.stop - core.start)
        shortest, longest = SHORTEST_S * self.sample_rate_hz, LONGEST_S * self.sample_rate_hz
        periodic = np.unique(sources[lags < shortest])
        kept = (lags >= shortest) & (lags <= longest) & ~np.isin(sources, periodic)
        lags, counts = np.unique(lags[kept], return_counts=True)
        return [int(lag) for lag in lags[counts >= FEWEST_MARKS]]

    def _is_cut(self, planes: Samples, lag: int, first: int, stop: int) -> bool:
        """Whether the first joint lies in full sound, and what is repeated begins at once."""
        level = rms(planes[:, first:stop])
        before = slice(max(0, first - round(BEFORE_S * self.sample_rate_hz)), first)
        if first and rms(planes[:, before.start + lag : first + lag] - planes[:, before]) < APART * level:
            return False
        if _steadiness(planes[:, first : first + lag].sum(axis=0), round(SHORTEST_S * self.sample_rate_hz)) > STEADY:
            return False
        near = max(2, round(JOINT_S * self.sample_rate_hz))
        joint = planes[:, max(0, first + lag - near) : first + lag + near]
        return level > FAINTEST and float(np.abs(joint).max()) > FADED * level


def _steadiness(wave: Samples, longest: int) -> float:
    """How like itself a wave is at the best lag up to `longest`, beyond its first fall: 1 of what is periodic."""
    size = len(wave) - longest
    if size < longest:
        return 0.0
    energies = np.cumsum(np.pad(np.square(wave, dtype=np.float64), (1, 0)))
    energies = np.sqrt((energies[size:] - energies[:-size]) * energies[size])
    likeness = np.correlate(wave, wave[:size]) / np.maximum(energies, 1e-12)  # [longest + 1]
    falls = np.flatnonzero(likeness < 0.9)
    return float(likeness[falls[0] :].max()) if len(falls) else 0.0


@compiled
def _words(bits: Places) -> Places:
    """A number for the TAPS from each place on, int32: the same for the same."""
    words = np.zeros(len(bits) - WORD + 1, np.int32)
    for tap in TAPS:
        later = bits[tap:]
        for at in range(len(words)):
            words[at] = (words[at] ^ later[at]) * np.int32(0x2C1B3C6D)  # odd, so that nothing is lost
    return words


@compiled
def _again(bits: Places, words: Places, marks: Places, stop: int) -> Places:
    """Of marks whose word was there before: the first mark with it, before `stop`, and how far that is behind."""
    heads, following = np.full(1 << _KEY_BITS, -1), np.empty(len(marks), np.int64)
    found, count = np.empty((2, len(marks)), np.int64), 0
    for number in range(len(marks)):
        place, key = marks[number], words[marks[number]] >> 14 & (1 << _KEY_BITS) - 1
        known = heads[key]
        while known >= 0 and not _is_same(bits, marks[known], place):
            known = following[known]
        if known >= 0:
            found[0, count], found[1, count] = marks[known], place - marks[known]
            count += 1
        elif place < stop:
            following[number], heads[key] = heads[key], number
    return found[:, :count].copy()


@compiled
def _is_same(bits: Places, one: int, other: int) -> bool:
    """Whether two places have the same word."""
    same = True
    for tap in TAPS:
        same &= bits[one + tap] == bits[other + tap]
    return same


def find_repeats(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stutter of a whole recording, [frames] or [frames, channels]."""
    return measured(RepeatFinder, samples, sample_rate_hz)
