"""Where a recording is clipped: stretches with flat tops, by the judgement of models/measures/clipping.py.

A stretch may have been clipped at a lower level than the rest reaches, so its tops are measured by the largest value
of a quarter of a second around them. Flat tops no farther apart than 0.1 s are one stretch. It needs several of them: a
single one may be the peak of a mastered record, or a chance. Stretches up to 0.3 s apart are told as one.
"""

from __future__ import annotations

import numpy as np

from models.events import Event, merged
from models.measures.blocks import Samples, measured
from models.measures.clipping import Runs, TopMeter, level_bins, steepest_smooth

BLOCK_S = 0.25
JOIN_S, ONE_S = 0.1, 0.3
FEWEST_TOPS, FEWEST_SAMPLES = 3, 20
HALF_SURE_SAMPLES = 6  # in flat tops
CELL_S = 0.02  # tops of one cell are kept as one: bounds the memory


class ClippingFinder(TopMeter[tuple[Event, ...]]):
    """Stretches of clipping, by channel."""

    name = "clipping"
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels, block_samples=max(1, int(BLOCK_S * sample_rate_hz)))
        self._cells: dict[tuple[int, int], list[int]] = {}  # by channel and cell: start, stop, samples, tops

    def _fold(self, planes: Samples) -> None:
        self._peaks[:] = 0
        super()._fold(planes)

    def _keep(self, polarity: int, channel: int, runs: Runs) -> None:
        kept = runs.steepness > steepest_smooth(self._bits)  # by the step known so far; mostly a block tells it
        lowest = self.lowest_level(polarity, channel)
        starts, stops = runs.start + self._joined_at, runs.stop + self._joined_at
        kept &= np.array(level_bins(runs.level), int) >= lowest
        for start, stop in zip(starts[kept].tolist(), stops[kept].tolist(), strict=True):
            cell = int(start / (CELL_S * self.sample_rate_hz))
            first, last, samples, tops = self._cells.get((channel, cell), (start, stop, 0, 0))
            self._cells[channel, cell] = [min(first, start), max(last, stop), samples + stop - start, tops + 1]

    def _conclude(self) -> tuple[Event, ...]:
        found: list[Event] = []
        for channel in range(self.channels):
            found += self._stretches(channel, sorted(kept for (of, _), kept in self._cells.items() if of == channel))
        return tuple(merged(found, ONE_S))

    def _stretches(self, channel: int, tops: list[list[int]]) -> list[Event]:
        joined: list[list[int]] = []
        for start, stop, samples, count in tops:
            if joined and start - joined[-1][1] <= JOIN_S * self.sample_rate_hz:
                last = joined[-1]
                joined[-1] = [last[0], max(last[1], stop), last[2] + samples, last[3] + count]
            else:
                joined.append([start, stop, samples, count])
        return [
            self._event(channel, *stretch)
            for stretch in joined
            if stretch[3] >= FEWEST_TOPS and stretch[2] >= FEWEST_SAMPLES
        ]

    def _event(self, channel: int, start: int, stop: int, samples: int, count: int) -> Event:
        score = samples / (samples + HALF_SURE_SAMPLES)
        words = f"{count} flat tops of {samples} samples"
        return Event(self.name, start / self.sample_rate_hz, stop / self.sample_rate_hz, channel, score, words)


def find_clipping(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches of clipping of a whole recording, [frames] or [frames, channels]."""
    return measured(ClippingFinder, samples, sample_rate_hz)
