"""Digital noise: full-scale noise that is as strong at the highest frequencies as at the lowest, with sudden edges.

What data sounds like when it is played as samples. In stretches of 5 ms, white noise has differences of twice its own
power, and second differences of six times; music, whose power lies low, has far less. Level and whiteness together
leave nothing that an instrument does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.events import Event, runs_of
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder, decibels

FRAME_S = 0.005
LOUD = 10 ** (-10 / 20)  # root mean square; a singer's sibilants are white as well, up to -15 dBFS
FIRST, SECOND = (1.5, 2.6), (4.0, 8.0)  # power of the differences, over the noise's own
SHORTEST_S = 0.015


class StaticFinder(Finder):
    """Stretches of digital noise, by channel."""

    name = "digital_noise"

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        size = max(32, round(FRAME_S * self.sample_rate_hz))
        begin = core.start + (-(at + core.start)) % size  # frames lie at multiples of their size, however blocks fall
        count = max(0, min(-(-(core.stop - begin) // size), (planes.shape[1] - begin) // size))
        for channel in range(self.channels):
            frames = planes[channel, begin : begin + count * size].reshape(count, size).astype(np.float64)
            white, level = _white(frames)
            for first, stop in runs_of(white):
                loudest = float(level[first:stop].max())
                words = f"white noise at {decibels(loudest):.0f} dBFS"
                self.tell(at + begin + first * size, at + begin + stop * size, channel, 0.9, words)

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        return [event for event in super()._joined(events) if event.end_s - event.start_s >= SHORTEST_S - 1e-9]


def _white(frames: Array) -> tuple[Array, Array]:
    """Whether each frame [frames, samples] is loud and white, and its root mean square."""
    powers = [np.mean(np.square(np.diff(frames, n, axis=1)), axis=1) for n in range(3)]
    own = np.maximum(powers[0], 1e-20)
    first, second = powers[1] / own, powers[2] / own
    level = np.sqrt(powers[0])
    white = (level >= LOUD) & (first > FIRST[0]) & (first < FIRST[1]) & (second > SECOND[0]) & (second < SECOND[1])
    return white, level


def find_static(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Digital noise of a whole recording, [frames] or [frames, channels]."""
    return measured(StaticFinder, samples, sample_rate_hz)
