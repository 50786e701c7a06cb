"""Digital noise: noise as strong at the highest frequencies as at the lowest, that comes and goes in an instant.

What data sounds like when it is played as samples. In stretches of 5 ms, white noise has differences of twice its own
power, and second differences of six times; music, whose power lies low, has far less. At full scale that is enough. A
singer's sibilants are white as well, up to -15 dBFS, and so are cymbals; but they swell or die away. So what is softer
counts if its second differences are 20 dB above those of the music within 15 ms on both sides.

Bytes that are no samples take all values alike, so that their peak is 1.7 times their root mean square, and few of them
are at it; noise of other origin has peaks of three times and more, or is clipped. With hard edges that is a burst of
noise, without it is none of both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.events import Event, runs_of
from models.measures.blocks import Array, Samples, measured
from models.measures.compiled import compiled
from models.measures.finding import CERTAIN, Finder, decibels

FRAME_S = 0.005
LOUD, SOFT = 10 ** (-10 / 20), 10 ** (-26 / 20)  # root mean square, without and with hard edges
FIRST, SECOND = (1.5, 2.6), (4.0, 8.0)  # power of the differences, over the noise's own
FIRST_SOFT, SECOND_SOFT = (1.1, 3.2), (2.8, 11.0)
EDGE = 100.0  # power of second differences over that on either side
SHORTEST_FRAMES = 3
JOIN_FRAMES = 2
EVEN_CREST = 2.7  # peak over root mean square, of values that are all alike
TOP, MOST_AT_TOP = 0.998, 0.01  # of the peak; share of the samples that are there, unless noise was clipped


class _Run(NamedTuple):
    start: int  # frames of FRAME_S
    stop: int
    bends: float  # power of second differences, the least
    before: float  # and beside
    after: float
    certain: int  # frames that are white and loud without question
    power: float  # summed over its frames
    peak: float
    at_top: float  # samples


class StaticFinder(Finder):
    """Stretches of digital noise, by channel."""

    name = "digital_noise"
    also = ("noise_burst",)

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._size = max(32, round(FRAME_S * sample_rate_hz))
        self._runs: list[list[_Run]] = [[] for _ in range(channels)]

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        begin = (-at) % self._size  # frames lie at multiples of their size, however blocks fall
        first = -(-(at + core.start) // self._size) - (at + begin) // self._size
        count = max(0, planes.shape[1] - begin) // self._size
        last = min(count, -(-(at + core.stop) // self._size) - (at + begin) // self._size)
        for channel in range(self.channels):
            frames = planes[channel, begin : begin + count * self._size].reshape(count, self._size)
            for run in _white(frames, first, last):
                shift = (at + begin) // self._size
                self._add(channel, run._replace(start=run.start + shift, stop=run.stop + shift))

    def _add(self, channel: int, run: _Run) -> None:
        last = self._runs[channel][-1] if self._runs[channel] else None
        if last is None or run.start - last.stop > JOIN_FRAMES:
            self._tell(channel)
            self._runs[channel] = [run]
        else:
            self._runs[channel].append(run)

    def _tell(self, channel: int) -> None:
        """Tells the runs that lie close together, if they are digital noise."""
        runs, self._runs[channel] = self._runs[channel], []
        if not runs or runs[-1].stop - runs[0].start < SHORTEST_FRAMES:
            return
        bends = float(np.median([run.bends for run in runs]))
        hard = bends > EDGE * max(runs[0].before, runs[-1].after)
        certain = sum(run.certain for run in runs) >= SHORTEST_FRAMES
        count = sum(run.stop - run.start for run in runs)
        level = np.sqrt(sum(run.power for run in runs) / count)
        at_top = sum(run.at_top for run in runs) / (count * self._size)
        even = max(run.peak for run in runs) < EVEN_CREST * level and at_top < MOST_AT_TOP
        if hard or (certain and even):
            words = f"white noise at {decibels(float(level)):.0f} dBFS{' with hard edges' if hard else ''}"
            name = self.name if even else self.also[0]
            self.tell(runs[0].start * self._size, runs[-1].stop * self._size, channel, CERTAIN, words, name=name)

    def _close(self) -> None:
        for channel in range(self.channels):
            self._tell(channel)


def _white(frames: Samples, first: int, last: int) -> list[_Run]:
    """Runs of white frames [rows, samples] among `first` to `last` (excluded)."""
    powers = _powers(frames)
    ratios = powers[1:] / np.maximum(powers[0], 1e-20)
    soft = (powers[0] > SOFT**2) & _within(ratios[0], FIRST_SOFT) & _within(ratios[1], SECOND_SOFT)
    soft[:first], soft[last:] = False, False
    if not soft.any():
        return []
    certain = (powers[0] >= LOUD**2) & _within(ratios[0], FIRST) & _within(ratios[1], SECOND)
    bends = np.pad(powers[2], 3, constant_values=np.inf)  # what is not seen is no edge
    return [
        _Run(
            start,
            stop,
            float(powers[2][start:stop].min()),
            float(bends[start : start + 2].max()),
            float(bends[stop + 4 : stop + 6].max(initial=0.0)),
            int(certain[start:stop].sum()),
            float(powers[0][start:stop].sum()),
            *_top(np.abs(frames[start:stop])),
        )
        for start, stop in runs_of(soft)
    ]


@compiled
def _powers(frames: Samples) -> Array:
    """Of frames [rows, samples], their first and their second differences, float64 [3, rows]."""
    rows, size = frames.shape
    powers = np.empty((3, rows))
    for row in range(rows):
        wave, own, first, second = frames[row], np.float32(0), np.float32(0), np.float32(0)
        for at in range(size - 2):
            rise, later = wave[at + 1] - wave[at], wave[at + 2] - wave[at + 1]
            own, first, second = own + wave[at] ** 2, first + rise**2, second + (later - rise) ** 2
        for at in range(size - 2, size):
            own += wave[at] ** 2
        first += (wave[size - 1] - wave[size - 2]) ** 2
        powers[0, row], powers[1, row], powers[2, row] = own / size, first / (size - 1), second / (size - 2)
    return powers


def _top(heights: Samples) -> tuple[float, float]:
    """The peak, and how many samples are at it."""
    peak = float(heights.max())
    return peak, float(np.count_nonzero(heights >= TOP * peak))


def _within(values: Array, bounds: tuple[float, float]) -> Array:
    return np.asarray((values > bounds[0]) & (values < bounds[1]))


def find_static(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Digital noise of a whole recording, [frames] or [frames, channels]."""
    return measured(StaticFinder, samples, sample_rate_hz)
