"""What all finders share: measures that tell places, over a recording in blocks, with context on both sides.

A finder is a meter whose result is a tuple of events in order of time. It sees each sample once in the core of a
block, with `context_s` of the recording before and after the core, or what there is of it at the recording's ends.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from models.events import Event, merged
from models.measures.blocks import Array, Meter, Samples

SAME_S = 0.001  #: within which channels do something at once
CERTAIN = 0.95  #: the score of what was seen from the samples themselves, where others may only sound like it
MOST_EVENTS = 10_000  #: of one class that are kept; a recording with more is told to be full of them


class Finder(Meter[tuple[Event, ...]]):
    """Finds the events of one class. Subclasses look at a block, and may join what they found at the end."""

    name: ClassVar[str]  #: the class of defects
    also: ClassVar[tuple[str, ...]] = ()  #: others that it tells from it
    context_s: ClassVar[float] = 0.1
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self.context = max(1, round(self.context_s * sample_rate_hz))
        self._before = 2 * self.context
        super().__init__(sample_rate_hz, channels, before=self._before)
        self.found: list[Event] = []
        self._came = self._looked = 0  # frames of the recording: in a block, in a core

    def tell(
        self, start: int, end: int, channel: int | None, score: float, words: str, *, name: str | None = None
    ) -> None:
        """Notes an event from frame `start` to `end` (excluded) of the recording, of another class if `name` says."""
        if len(self.found) < MOST_EVENTS:
            rate = self.sample_rate_hz
            score = float(np.clip(score, 0, 1))
            self.found.append(Event(name or self.name, start / rate, max(start, end) / rate, channel, score, words))

    def _fold(self, planes: Samples) -> None:
        at = max(0, self._came - self._before)
        self._came = at + planes.shape[1]
        self._take(planes, at, self._came - self.context)

    def _take(self, planes: Samples, at: int, until: int) -> None:
        """Looks at all that is before frame `until` and was in no core, in `planes` that begin at frame `at`."""
        if until > self._looked:
            first = max(at, self._looked - self.context)
            core = slice(self._looked - first, until - first)
            self._look(planes[:, first - at :], core, first)
            self._looked = until

    def _conclude(self) -> tuple[Event, ...]:
        rest = self._blocks.rest()
        self._take(rest, self.frames - rest.shape[1], self.frames)
        self._close()
        return tuple(self._joined(self.found))

    @abstractmethod
    def _look(self, planes: Samples, core: slice, at: int) -> None:
        """Tells what starts in `planes[:, core]`; `planes` [channels, frames] begins at frame `at` of the recording."""

    def _close(self) -> None:
        """Tells what was still open at the end of the recording."""

    def _joined(self, events: Sequence[Event]) -> list[Event]:
        return everywhere(merged(events), self.channels)


def everywhere(events: Sequence[Event], channels: int) -> list[Event]:
    """Events that all channels have at once, told once, of no channel."""
    told: list[Event] = []
    starts = [event.start_s for event in events]
    for event in events:
        near = events[bisect_left(starts, event.start_s - SAME_S) : bisect_right(starts, event.start_s + SAME_S)]
        twins = {other.channel for other in near if _same(event, other)}
        told.append(event._replace(channel=None) if len(twins) >= channels else event)
    return merged(told, SAME_S)


def _same(one: Event, other: Event) -> bool:
    return one.name == other.name and abs(one.end_s - other.end_s) <= 2 * SAME_S


def rms(planes: Array) -> float:
    """Root mean square of all samples, 0 for none."""
    wide = np.asarray(planes, np.float64).ravel()
    return math.sqrt(float(wide @ wide) / wide.size) if wide.size else 0.0


def decibels(ratio: float) -> float:
    """Of a ratio of amplitudes, -200 at the least."""
    return float(20 * np.log10(max(ratio, 1e-10)))
