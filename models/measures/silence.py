"""Silence: where no channel exceeds -60 dBFS, to the sample.

Places and lengths are seconds. A recording without a sample above -60 dBFS is leading silence from end to end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.measures.blocks import Meter, Samples, measured

THRESHOLD = np.float32(1e-3)  # -60 dBFS


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Silence before, after and within the sound of a recording."""

    leading_s: float
    trailing_s: float
    longest_inner_s: float
    longest_inner_at_s: float | None  #: None if there is none


class SilenceMeter(Meter[Silence]):
    """Silence at the ends and the longest one between."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._folded = 0
        self._first: int | None = None  # first sample above the threshold
        self._last = -1
        self._longest = 0
        self._longest_at: int | None = None

    def _fold(self, planes: Samples) -> None:
        loud = (np.maximum(planes.max(0), -planes.min(0)) if len(planes) > 1 else np.abs(planes[0])) > THRESHOLD
        turns = np.flatnonzero(loud[1:] != loud[:-1]) + 1
        # Stretches between the turns are loud and quiet by turns.
        edges = np.concatenate([[0], turns, [len(loud)]]) + self._folded
        first = 0 if loud[0] else 1
        starts, stops = edges[first:-1:2], edges[first + 1 :: 2]
        if len(starts):
            self._take(starts, stops)
        self._folded += len(loud)

    def _take(self, starts: np.ndarray, stops: np.ndarray) -> None:
        """Loud stretches, in order."""
        if self._first is None:
            self._first = int(starts[0])
            self._last = self._first - 1
        quiet_from = np.concatenate([[self._last + 1], stops[:-1]])
        lengths = starts - quiet_from
        longest = int(lengths.argmax())
        if lengths[longest] > self._longest:
            self._longest, self._longest_at = int(lengths[longest]), int(quiet_from[longest])
        self._last = int(stops[-1]) - 1

    def _conclude(self) -> Silence:
        leading = self.frames if self._first is None else self._first
        trailing = 0 if self._first is None else self.frames - 1 - self._last
        return Silence(
            leading_s=leading / self.sample_rate_hz,
            trailing_s=trailing / self.sample_rate_hz,
            longest_inner_s=self._longest / self.sample_rate_hz,
            longest_inner_at_s=None if self._longest_at is None else self._longest_at / self.sample_rate_hz,
        )


def find_silence(samples: Samples, sample_rate_hz: int) -> Silence:
    """Silence of a whole recording, [frames] or [frames, channels].

    >>> find_silence(np.array([0, 0, 0.5, 0, 0.5, 0], np.float32), 8000).leading_s
    0.00025
    """
    return measured(SilenceMeter, samples, sample_rate_hz)
