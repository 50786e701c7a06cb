"""Gaps that nobody played: silence or a held value that begins and ends within a millisecond, amid sound.

Sound decays: an instrument or a room takes far longer than a millisecond to fall by 40 dB, and so does a gate's
release. A gap begins where the level falls below 3 % of that of the 20 ms before, from 30 % or more, within a
millisecond, and ends as abruptly, with sound that lasts on both sides: silence between clicks or claps is none, and
neither is what lies between the steps of a wave of few bits. Rests that come in time are those of a gate that somebody
set. A held value is the same sample again for 2 ms or more, away from the crests (those are clipping) and not again and
again (that is a synthesiser's waveform). What one channel lacks for a second while another goes on is a fault of the
channel; a hard stop that nothing follows is an edge cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder, rms
from models.measures.strokes import in_rhythm

FRAME_S = 0.0005
BEFORE_FRAMES = 40  # 20 ms
SHORTEST_FRAMES = 3  # whole frames of a gap of 2 ms
SHORTEST_HELD_S = 0.002
LONGEST_S = 10.0  # longer ones are silence between pieces
FAINTEST = 10 ** (-50 / 20)  # of the sound before and after
HARD, QUIET, RESUMED = 0.1, 0.03, 0.08  # of the level before
SUDDEN = 0.3  # of the level before, in the last millisecond: a fade of 8 ms has less
SUSTAINED = 0.7  # of the frames before and after in which there is sound: a click in silence has no gap behind it
FAINT, FAINT_S = 10 ** (-38 / 20), 0.02  # what is softer and shorter is a sound's own crumbling at coarse steps
STEPPED = 0.2  # of the samples before and after that are as the one before: a wave in steps holds values itself
MUSICAL_S, MUSICAL_APART_S = 0.05, 3.0  # rests of gated drums, that come in time, at the most once a bar
CHANNEL_FAULT_S = 1.0
MOST_HELD_PER_S = 3


class _Gap(NamedTuple):
    start: int  # frame of the recording
    level: float  # root mean square of the 20 ms before
    others: bool  # whether another channel goes on meanwhile
    stepped: float  # share of the samples before that are as the one before


class GapFinder(Finder):
    """Dropouts, with faults of channels and cut ends that show as gaps."""

    name = "dropout"
    also = ("channel_fault", "abrupt_edge")
    context_s = 0.2

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._hop = max(4, round(FRAME_S * sample_rate_hz))
        self._open: list[_Gap | None] = [None] * channels
        self._held_on: dict[int, int] = {}  # by channel: where an event in self.found holds on

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        for channel in range(self.channels):
            self._gaps(planes, channel, core, at)
            self._held_values(planes[channel], channel, core, at)

    def _gaps(self, planes: Samples, channel: int, core: slice, at: int) -> None:
        """Follows an open gap, and those that start in the core."""
        wave, hop = planes[channel], self._hop
        frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
        powers = np.einsum("fs,fs->f", frames, frames) / hop
        before = _level_before(powers)
        open_gap, reached = self._open[channel], 0
        if open_gap is None and not _may_be_quiet(powers, before).any():
            return
        peaks = np.abs(frames).max(1, initial=0.0)
        if open_gap is not None:
            reached = self._follow(planes, channel, open_gap, peaks, core.start // hop, at)
        for start in _starts(peaks, before):
            inside = core.start <= start * hop < core.stop
            if inside and start >= reached and self._open[channel] is None and _sustained(peaks, start, before[start]):
                first = self._first_quiet(wave, start, float(before[start]))
                gap = _Gap(
                    at + first,
                    float(before[start]),
                    self._others(planes, channel, first, before[start]),
                    _stepped(wave[max(0, first - BEFORE_FRAMES * hop) : first]),
                )
                reached = self._follow(planes, channel, gap, peaks, start, at)

    def _first_quiet(self, wave: Samples, frame: int, level: float) -> int:
        begin = max(0, frame - 2) * self._hop
        loud = np.flatnonzero(np.abs(wave[begin : frame * self._hop]) > 2 * QUIET * level)
        return begin + (int(loud[-1]) + 1 if len(loud) else 0)

    def _others(self, planes: Samples, channel: int, start: int, level: float) -> bool:
        rest = np.delete(planes[:, start : start + self.context // 2], channel, axis=0)
        return any(rms(other) > max(HARD * level, FAINTEST) for other in rest)

    def _follow(self, planes: Samples, channel: int, gap: _Gap, peaks: Array, start: int, at: int) -> int:
        """Ends `gap` where sound resumes, or leaves it open; the frame up to which it was followed."""
        resumed = np.flatnonzero(peaks[start:] > RESUMED * gap.level)
        if not len(resumed):
            self._open[channel] = gap
            return len(peaks)
        self._open[channel] = None
        frame = start + int(resumed[0])
        wave = planes[channel, frame * self._hop :]
        first = int(np.argmax(np.abs(wave) > 2 * QUIET * gap.level))
        if _sustained(peaks, frame + BEFORE_FRAMES + 1, gap.level):
            self._end(gap, channel, at + frame * self._hop + first, wave[first:])
        return frame

    def _end(self, gap: _Gap, channel: int, end: int, after: Samples) -> None:
        level = rms(after[: BEFORE_FRAMES * self._hop])
        hard = float(np.abs(after[: 2 * self._hop]).max(initial=0.0)) >= HARD * level
        length_s = (end - gap.start) / self.sample_rate_hz
        faintest = FAINT if length_s < FAINT_S else FAINTEST
        if not hard or level < max(faintest, HARD / 2 * gap.level) or gap.level < faintest or length_s > LONGEST_S:
            return
        if max(gap.stepped, _stepped(after[: BEFORE_FRAMES * self._hop])) > STEPPED:
            return
        name = "channel_fault" if gap.others and length_s >= CHANNEL_FAULT_S else None
        self.tell(gap.start, end, channel, 0.95, f"silence of {1000 * length_s:.1f} ms with hard edges", name=name)

    def _held_values(self, wave: Samples, channel: int, core: slice, at: int) -> None:
        shortest = max(8, round(SHORTEST_HELD_S * self.sample_rate_hz))
        few = wave[:: shortest // 4]  # a value that is held for so long is met thrice and more among these
        if channel not in self._held_on and not np.any((few[1:-1] == few[:-2]) & (few[2:] == few[1:-1])):
            return
        runs = [(a, b) for a, b in _held(wave, shortest) if b > core.start]
        if channel in self._held_on:
            self._hold_on(runs[0][1] if runs and runs[0][0] < core.start else 0, len(wave), channel, at)
        held = [(a, b) for a, b in runs if core.start <= a < core.stop and self._is_held(wave, a, b)]
        if len(held) <= MOST_HELD_PER_S * max(1.0, (core.stop - core.start) / self.sample_rate_hz):
            for a, b in held:
                if b == len(wave):
                    self._held_on[channel] = len(self.found)
                self.tell(at + a, at + b, channel, 0.95, "one value held")

    def _hold_on(self, stop: int, seen: int, channel: int, at: int) -> None:
        """Lengthens the event that reached the end of what was seen before."""
        place = self._held_on[channel] if stop == seen else self._held_on.pop(channel)
        if stop and place < len(self.found):
            self.found[place] = self.found[place]._replace(end_s=(at + stop) / self.sample_rate_hz)

    def _is_held(self, wave: Samples, start: int, stop: int) -> bool:
        reach = BEFORE_FRAMES * self._hop
        around = np.concatenate([wave[max(0, start - reach) : start], wave[stop : stop + reach]])
        level, value = rms(around), abs(float(wave[start]))
        edge = float(np.abs(np.diff(wave[max(0, start - 2) : start + 1])).max(initial=0.0))
        jump = abs(float(wave[stop] - wave[start])) if stop < len(wave) else 0.0
        crest = value > 0.8 * float(np.abs(around).max(initial=0.0))
        return (
            level > FAINTEST
            and value > HARD * level
            and not crest
            and max(jump, edge) > 0.02 * level
            and _stepped(around) < STEPPED
        )

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        found = super()._joined(events)
        rests = [event for event in found if event.name == self.name and event.end_s - event.start_s >= MUSICAL_S]
        edges_s = np.array([(event.start_s, event.end_s) for event in rests]).reshape(-1, 2).T
        musical = np.any([in_rhythm(moments_s, apart_s=MUSICAL_APART_S) for moments_s in edges_s], axis=0)
        played = {event for event, in_time in zip(rests, musical, strict=True) if in_time}
        return [event for event in found if event not in played]

    def _close(self) -> None:
        for channel, gap in enumerate(self._open):
            if gap is None:
                continue
            if gap.others and self.frames - gap.start >= CHANNEL_FAULT_S * self.sample_rate_hz:
                self.tell(gap.start, self.frames, channel, 0.95, "the channel stops for good", name="channel_fault")
            elif all(self._open):
                self.tell(gap.start, gap.start, None, 0.9, "the sound stops within a millisecond", name="abrupt_edge")


def _sustained(peaks: Array, stop: int, level: float) -> bool:
    """Whether there is sound in most of the frames before `stop`."""
    before = peaks[max(0, stop - BEFORE_FRAMES) : stop]
    return len(before) > 0 and bool(np.mean(before > RESUMED * level) > SUSTAINED)


def _held(wave: Samples, shortest: int) -> list[tuple[int, int]]:
    """Runs (start, stop) of one value of more than `shortest` samples, in order."""
    last = np.concatenate([[-1], np.flatnonzero(wave[1:] != wave[:-1]), [len(wave) - 1]])  # of each run, however short
    runs = np.flatnonzero(np.diff(last) > shortest)
    return list(zip((last[runs] + 1).tolist(), (last[runs + 1] + 1).tolist(), strict=True))


def _stepped(wave: Samples) -> float:
    return float(np.mean(wave[1:] == wave[:-1])) if len(wave) > 1 else 0.0


def _level_before(powers: Array) -> Array:
    """Root mean square of the BEFORE_FRAMES before each frame; 0 where there are fewer than a tenth of them."""
    sums = np.zeros(len(powers) + BEFORE_FRAMES)
    np.cumsum(powers[:-1], dtype=np.float64, out=sums[BEFORE_FRAMES + 1 :])
    count = np.clip(np.arange(len(powers)), 1, BEFORE_FRAMES)
    level = np.sqrt(np.maximum(sums[BEFORE_FRAMES:] - sums[: len(powers)], 0) / count)
    level[: BEFORE_FRAMES // 10] = 0.0
    return level


def _may_be_quiet(powers: Array, before: Array) -> Array:
    """Frames that cannot hold a sample above QUIET of the level before by their power alone, if that was sound."""
    return np.asarray((powers <= 1.01 * (QUIET * before) ** 2) & (before > FAINTEST))


def _starts(peaks: Array, before: Array) -> list[int]:
    """Frames from which on it is quiet, and before which it was not."""
    quiet = peaks <= QUIET * before
    lasting = quiet.copy()
    for later in range(1, SHORTEST_FRAMES):
        lasting[: len(quiet) - later] &= peaks[later:] <= QUIET * before[: len(quiet) - later]
        lasting[len(quiet) - later :] = False
    recent = np.maximum(np.r_[0, peaks[:-1]], np.r_[0, 0, peaks[:-2]])[: len(peaks)]
    first = lasting & ~np.r_[False, lasting[:-1]]
    return np.flatnonzero(first & (recent >= SUDDEN * before) & (before > FAINTEST)).tolist()


def find_gaps(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Gaps of a whole recording, [frames] or [frames, channels]."""
    return measured(GapFinder, samples, sample_rate_hz)
