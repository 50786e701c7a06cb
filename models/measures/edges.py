"""Edges cut off: a recording that begins or ends in full sound, without so much as a fade of 5 ms.

Sound that is played grows from nothing: however sharp the stroke, its first fifth of a millisecond is far below what
follows. A cut falls anywhere in the wave. So the first and the last fifth of a millisecond are set against the 50 ms
beside them, and those against the recording. An excerpt, and a track that another follows without a pause, are cut in
this sense too.
"""

from __future__ import annotations

import numpy as np

from models.events import Event
from models.measures.blocks import Meter, Samples, measured
from models.measures.finding import decibels, rms

BESIDE_S, TIP_S, FADE_S = 0.05, 0.0002, 0.005
TIP, FADED = 0.2, 0.35  # of the level beside, of the tip and of the time in which a fade would be
FAINTEST = 10 ** (-50 / 20)
BELOW_RECORDING = 10 ** (-25 / 20)


class EdgeFinder(Meter[tuple[Event, ...]]):
    """Beginnings and ends that are cut."""

    name = "abrupt_edge"

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._beside = round(BESIDE_S * sample_rate_hz)
        self._begin = np.empty((channels, 0), np.float32)
        self._end = self._begin
        self._power = 0.0

    def _fold(self, planes: Samples) -> None:
        if self._begin.shape[1] < self._beside:
            self._begin = np.concatenate([self._begin, planes], axis=1)[:, : self._beside].copy()
        end = planes if planes.shape[1] >= self._beside else np.concatenate([self._end, planes], axis=1)
        self._end = end[:, -self._beside :].copy()
        self._power += float(np.einsum("cs,cs->", planes, planes))

    def _conclude(self) -> tuple[Event, ...]:
        duration_s = self.frames / self.sample_rate_hz
        if duration_s < 4 * BESIDE_S:
            return ()
        level = np.sqrt(self._power / (self.frames * self.channels))
        edges = ((0.0, BESIDE_S, self._begin), (duration_s - BESIDE_S, duration_s, self._end[:, ::-1]))
        words = ("begins", "ends")
        return tuple(
            Event(self.name, start_s, end_s, None, 0.8, f"{verb} in full sound, {decibels(rms(beside)):.0f} dBFS")
            for (start_s, end_s, beside), verb in zip(edges, words, strict=True)
            if self._is_cut(beside, float(level))
        )

    def _is_cut(self, beside: Samples, level: float) -> bool:
        """Of samples from the edge inwards."""
        tip, fade = (max(3, round(of_s * self.sample_rate_hz)) for of_s in (TIP_S, FADE_S))
        loud = rms(beside)
        if loud < max(FAINTEST, BELOW_RECORDING * level):
            return False
        return rms(beside[:, :tip]) > TIP * loud and rms(beside[:, :fade]) > FADED * loud


def find_edges(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Edges of a whole recording that are cut off, [frames] or [frames, channels]."""
    return measured(EdgeFinder, samples, sample_rate_hz)
