"""Where a recording hums: stretches of 12 s with the lines of models/measures/hum.py, joined.

A hum that is heard for less than 12 s is not told from a bass note. Starts and ends are known to about 2 s.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from models.events import Event, merged
from models.measures.blocks import Array, Samples, measured
from models.measures.hum import MAINS_HZ, WINDOW_S, Hum, HumSpectra, series

STRETCH_WINDOWS = 5  # 4 s each, 2 s apart: 12 s
ALMOST_STILL = 0.25  # the level that three in four windows exceed


class HumFinder(HumSpectra[tuple[Event, ...]]):
    """Stretches of mains hum."""

    name = "hum"

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._last: deque[Array] = deque(maxlen=STRETCH_WINDOWS)
        self._windows = 0
        self._found: list[Event] = []

    def _spectrum(self, powers: Array | None) -> None:
        """A window's power spectrum; None for a pause."""
        self._windows += 1
        if powers is None:
            self._last.clear()
            return
        self._last.append(powers)
        if len(self._last) == STRETCH_WINDOWS:
            self._judge(np.quantile(np.stack(self._last), ALMOST_STILL, axis=0, method="lower"))

    def _judge(self, still: Array) -> None:
        bin_hz = self.slow_rate_hz / self._size
        found = [hum for mains in MAINS_HZ if (hum := series(still, bin_hz, mains)) is not None]
        if found:
            self._found.append(self._event(max(found, key=lambda hum: hum.level_dbfs)))

    def _event(self, hum: Hum) -> Event:
        # One window of a stretch may be without hum: at either end, most likely.
        first = self._windows - STRETCH_WINDOWS
        start_s = (first + 1) * WINDOW_S / 2 if first else 0.0
        end_s = self._windows * WINDOW_S / 2
        words = f"{hum.frequency_hz:.2f} Hz and harmonics at {hum.level_dbfs:.0f} dBFS"
        return Event(self.name, start_s, end_s, None, 0.95, words)

    def _conclude(self) -> tuple[Event, ...]:
        duration_s = self.frames / self.sample_rate_hz
        last = self._found[-1:]  # if it reaches the last whole window, it reaches the end
        if last and duration_s - last[0].end_s < WINDOW_S:
            self._found[-1] = last[0]._replace(end_s=duration_s)
        return tuple(merged(self._found))


def hum_places(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches of hum of a whole recording, [frames] or [frames, channels]."""
    return measured(HumFinder, samples, sample_rate_hz)
