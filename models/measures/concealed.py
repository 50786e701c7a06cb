"""Concealment: packets that were lost, and that a receiver filled with what came before, louder or softer.

A copy repeats the waveform at a lag of 5 to 60 ms but for a gain: the periods of ITU-T G.711 Appendix I, or the packet
before of GSM 06.11. Recorded sound does so to -25 dB at best once low frequencies are taken away, here by the second
difference; a copy does so to the rounding, if its gain may rise or fall. Places are found by models/measures/again.py.
What is periodic by itself, as a synthesiser's tone is, does not count: just before a copy, and just after it, the same
lag must fail; it begins with no stroke; what is copied was in full sound before; and little nearby repeats itself.

Between this and stutter (models/measures/repeats.py) the gain and the lag decide: what comes again at the same level
is a stutter from a lag of 15 ms on, unless the lag is a packet's length to the sample and the whole lasts 0.12 s at
most. Noise in place of a packet, what fades from one side to the other, and all that went through a lossy codec
afterwards repeat nothing, and are not found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.events import Event, runs_of
from models.measures.again import FAINTEST, Pairs, pairs_in, unlike, unlike_faded, whitened
from models.measures.blocks import Array, Places, Samples, measured
from models.measures.finding import Finder, decibels

FRAME_S, FRAME = 0.001, 16  # or as many samples, if these last longer
SHORTEST_FRAMES = 4
JOINT_S = 0.004  # at most, before and after a copy
AROUND_S = 0.01  # that are looked at before and after
LONGEST_S = 0.45
PAIRS_APART_S = 0.03  # within a copy
EXACT, APART = 10 ** (-30 / 10), 10 ** (-20 / 10)  # power of what a gain does not explain, of all: within, around
CONTRAST = 10 ** (22 / 10)  # of the same, just before and after, to that within
LAW = 10 ** (-62 / 10)  # the same in half of the frames, of what a gain that rises or falls does not explain
STEPS = 2**15  # of 16 bits, up to full scale
DITHERED = 3.0  # power of rounding with dither, of that without
CLEAR = 30  # of the power of rounding: what is softer tells nothing
SOUNDING = 0.03  # power just before a copy, and before what is copied, of what follows: no stroke
SPARSE = 0.03  # of the level, in the middle of all samples: less is a wave of a few steps
GONE = 0.05  # power, of what is copied: faded out
NEARBY_S, PERIODIC = 0.35, 0.05  # share of the milliseconds nearby that may repeat something
MOST_COPIES = 40  # that are looked at in a block; more is music
SAME_GAIN, FADED = 0.02, 0.1  # share of the frames that have another
PACKETS_S = (0.01, 0.02, 0.03, 0.04, 0.06)
STUTTER_LAG_S, STUTTER_S = 0.015, 0.12  # at one level: longer ones


class _Copy(NamedTuple):
    start: int
    stop: int
    lag: int
    error: float  # power, of the sound's
    faded: bool


class _Frames(NamedTuple):
    """Frames around a copy, beside those that lie a lag before."""

    rate_hz: int
    begin: int
    sources: Samples  # [frames, size]
    rises: Samples  # of the sound, as `unlike_faded` takes them
    copies: Samples
    error: Array  # of the power, that no gain explains
    power: Array  # of the copies, summed
    rounding: float  # power, summed likewise

    @property
    def size(self) -> int:
        return int(self.copies.shape[1])

    def count(self, seconds: float) -> int:
        return math.ceil(seconds * self.rate_hz / self.size - 0.1)

    def same(self) -> npt.NDArray[np.bool_]:
        """Whether rounding may be all that differs."""
        rounded = (self.error * self.power < 2 * self.rounding) & (self.power > CLEAR * self.rounding)
        return ((self.error < EXACT) | rounded) & (self.power > self.size * FAINTEST**2)


class ConcealmentFinder(Finder):
    """Stretches that are what came before, at another level."""

    name = "concealment"
    context_s = 0.5

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        left = list(range(self.channels))
        while left:
            wave = planes[left[0]]
            twins = [left[0], *(other for other in left[1:] if np.array_equal(wave, planes[other]))]
            left = [other for other in left if other not in twins]
            for copy in _losses(wave, core, self.sample_rate_hz):
                error_db = round(decibels(float(np.sqrt(copy.error))))
                words = f"{1000 * copy.lag / self.sample_rate_hz:.1f} ms again, but for {error_db} dB"
                for twin in twins:
                    self.tell(at + copy.start, at + copy.stop, twin, 0.97, words)

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        """All that overlaps is one loss, of all channels if it is of more than one."""
        losses: list[Event] = []
        for event in sorted(events, key=lambda event: (event.start_s, event.end_s)):
            if losses and event.start_s <= losses[-1].end_s + FRAME_S:
                last = losses[-1]
                channel = last.channel if last.channel == event.channel else None
                losses[-1] = last._replace(end_s=max(last.end_s, event.end_s), channel=channel)
            else:
                losses.append(event)
        return [loss._replace(channel=None) if self.channels == 1 else loss for loss in losses]


def _losses(sound: Samples, core: slice, rate_hz: int) -> list[_Copy]:
    """What is copied in the core of a sound [frames], and is no music."""
    pairs = pairs_in(sound, core, rate_hz)
    groups = _groups(pairs, rate_hz) if len(pairs.copies) else []
    if not 0 < len(groups) <= MOST_COPIES:
        return []
    rises, wave = sound[1:] - sound[:-1], whitened(sound)
    found = [_copy(rises, wave, *group, rate_hz) for group in groups]
    losses = [copy for copy in found if copy and _is_loss(copy, rate_hz)]
    if not losses:
        return []
    within = np.any([(pairs.copies >= copy.start) & (pairs.copies <= copy.stop) for copy in losses], axis=0)
    repeating = np.unique(pairs.copies[~within] // round(FRAME_S * rate_hz))
    return [copy for copy in losses if not _is_periodic(copy, repeating, rate_hz)]


def _groups(pairs: Pairs, rate_hz: int) -> list[tuple[int, int, int]]:
    """Lags, and the first and the last place of copies that follow each other at that lag."""
    lags = pairs.copies - pairs.sources
    order = np.lexsort((pairs.copies, lags))
    lags, places = lags[order], pairs.copies[order]
    parted = (np.diff(lags) != 0) | (np.diff(places) > PAIRS_APART_S * rate_hz)
    firsts = np.flatnonzero(np.r_[True, parted])
    lasts = np.r_[firsts[1:], len(lags)] - 1
    return list(zip(lags[firsts].tolist(), places[firsts].tolist(), places[lasts].tolist(), strict=True))


def _copy(rises: Samples, wave: Samples, lag: int, first: int, last: int, rate_hz: int) -> _Copy | None:
    """The stretch around the places from `first` to `last` that is a copy at `lag`, if it begins and ends at once."""
    frames = _frames(rises, wave, lag, first, last, rate_hz)
    a, b = _run(frames, first, last) if frames else (0, 0)
    if frames is None or b == a or not _is_cut(frames, a, b, -1):
        return None
    start, stop = frames.begin + a * frames.size, frames.begin + b * frames.size
    error, faded = _law(frames, np.flatnonzero(frames.error[a:b] < EXACT) + a)
    gone = GONE * _power(wave[start - lag : start])
    back = _sounds_again(wave, stop, gone, frames.size) if faded else stop
    silent = back > stop + round(JOINT_S * rate_hz)
    ended = back + frames.size <= len(wave) if silent else _is_cut(frames, a, b, 1)
    if error is None or not ended or not _is_sound(wave, start - lag, start, round(AROUND_S * rate_hz)):
        return None
    return _Copy(start, back, lag, error, faded)


def _law(frames: _Frames, exact: Places) -> tuple[float | None, bool]:
    """Of the frames that are `exact`: what no steady gain explains, None if it is too much; and whether that moves."""
    errors, gains = unlike_faded(frames.sources[exact], frames.rises[exact], frames.copies[exact])
    error = float(np.median(errors))
    allowed = max(LAW, DITHERED * frames.rounding / float(np.median(frames.power[exact])))
    return error if error <= allowed else None, bool(np.mean(np.abs(gains - 1) > SAME_GAIN) > FADED)


def _frames(rises: Samples, wave: Samples, lag: int, first: int, last: int, rate_hz: int) -> _Frames | None:
    size, reach = max(FRAME, round(FRAME_S * rate_hz)), round(LONGEST_S * rate_hz)
    begin = max(lag, first - reach)
    count = (min(len(wave), last + reach) - begin) // size
    if last - first > reach or count < 1:
        return None
    starts = (wave, begin - lag), (rises, begin - lag + 1), (wave, begin)
    sources, risen, copies = (of[start : start + count * size].reshape(count, size) for of, start in starts)
    rounding = size * _rounding(copies)
    return _Frames(rate_hz, begin, sources, risen, copies, *unlike(sources, copies), rounding)


def _rounding(wave: Samples) -> float:
    """Power that rounding to 16 bits has in the difference of two; 0 if the samples are finer."""
    steps = wave * np.float32(STEPS)
    return 1.0 / STEPS**2 if np.array_equal(steps, np.rint(steps)) else 0.0


def _run(frames: _Frames, first: int, last: int) -> tuple[int, int]:
    """Frames from which and up to which the copy is exact, joints aside; none if these are too few."""
    joined: list[tuple[int, int]] = []
    for start, stop in runs_of(frames.same()):
        if joined and start - joined[-1][1] <= frames.count(JOINT_S) + 1:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    from_, to = (first - frames.begin) // frames.size, (last - frames.begin) // frames.size
    exact = frames.error < EXACT
    runs = [(int(exact[a:b].sum()), a, b) for a, b in joined if a <= to + 1 and b >= from_]
    count, a, b = max(runs, default=(0, 0, 0))
    return (a, b) if count >= SHORTEST_FRAMES else (0, 0)


def _is_cut(frames: _Frames, first: int, stop: int, side: int) -> bool:
    """Whether beside a run, before it if `side` is -1, is another sound, and not a much softer one, as at a stroke."""
    joint, around = frames.count(JOINT_S), frames.count(AROUND_S)
    edge, far = (first, max(0, first - around)) if side < 0 else (stop, stop + around)
    outside, near = slice(*sorted((edge, far))), slice(*sorted((edge, max(0, edge + side * (joint + 2)))))
    error, within = frames.error[outside], frames.error[first:stop]
    if len(error) < around // 2 or error.mean() < max(APART, CONTRAST * float(np.median(within))):
        return False
    power = frames.power[first:stop][:joint] if side < 0 else frames.power[first:stop][-joint:]
    return bool((frames.error * frames.power)[near].mean() > SOUNDING * power.mean())


def _sounds_again(wave: Samples, stop: int, power: float, size: int) -> int:
    """The frame from `stop` on that has so much power."""
    while stop + size <= len(wave) and _power(wave[stop : stop + size]) < power:
        stop += size
    return stop


def _is_sound(wave: Samples, start: int, stop: int, around: int) -> bool:
    """Whether what is copied was there before, and is no wave of a few steps."""
    source = wave[start:stop]
    lasting = _power(wave[max(0, start - around) : start]) > SOUNDING * _power(source[:around])
    return lasting and float(np.median(np.abs(source))) > SPARSE * np.sqrt(_power(source))


def _power(wave: Samples) -> float:
    return float(np.mean(np.square(wave))) if len(wave) else 0.0


def _is_loss(copy: _Copy, rate_hz: int) -> bool:
    """Whether it lasts as long as a packet does, and is no stutter."""
    length = copy.stop - copy.start
    least = max(copy.lag / 2, copy.lag - 2 * JOINT_S * rate_hz) - 3 * FRAME_S * rate_hz
    if copy.faded:
        return least <= length <= LONGEST_S * rate_hz
    short = copy.lag < STUTTER_LAG_S * rate_hz or is_packet(copy.lag, rate_hz)
    return short and least <= length <= STUTTER_S * rate_hz


def is_packet(lag: int, rate_hz: int) -> bool:
    """Whether so many samples are a packet's length, or one off it."""
    return any(abs(lag - seconds * rate_hz) <= 1 for seconds in PACKETS_S)


def _is_periodic(copy: _Copy, repeating: Places, rate_hz: int) -> bool:
    """Whether much of what is near repeats itself, too; `repeating` are the milliseconds that do, in order."""
    frame, near = round(FRAME_S * rate_hz), round(NEARBY_S * rate_hz)
    spans = np.array([[copy.start - near, copy.start], [copy.stop, copy.stop + near]]) // frame
    ends = np.searchsorted(repeating, spans)
    return bool((ends[:, 1] - ends[:, 0]).sum() > PERIODIC * 2 * near / frame)


def find_concealed(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Concealment of a whole recording, [frames] or [frames, channels]."""
    return measured(ConcealmentFinder, samples, sample_rate_hz)
