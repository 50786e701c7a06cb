"""Where a recording hums: stretches of 12 s with the lines of models/measures/hum.py, joined.

A hum that is heard for less than 12 s is not told from a bass note, nor are two faint lines. Where a stretch begins and
ends is seen by its lines: in a window of 4 s that hum covers by half they have half of their amplitude. That is right
to about half a second, if the music leaves the lines alone.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from models.events import Event, merged
from models.measures.blocks import Array, Samples, measured
from models.measures.hum import HIGHEST_HZ, MAINS_HZ, WINDOW_S, Hum, HumSpectra, series

STRETCH_WINDOWS = 5  # 4 s each, 2 s apart: 12 s
ALMOST_STILL = 0.25  # the level that three in four windows exceed
SURE_LINES, SURE_DB = 3, 25.0  # in 12 s; of a whole recording, less is enough
HOP_S = WINDOW_S / 2
AROUND_BINS = 2  # of a line, that are kept of each window


class _Stretch(NamedTuple):
    first: int  # windows
    stop: int
    hum: Hum


class HumFinder(HumSpectra[tuple[Event, ...]]):
    """Stretches of mains hum."""

    name = "hum"

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._last: deque[Array] = deque(maxlen=STRETCH_WINDOWS)
        self._lines: list[dict[int, Array]] = []  # of each window, by mains: amplitudes of the harmonics
        self._found: list[_Stretch] = []

    def _spectrum(self, powers: Array | None) -> None:
        """A window's power spectrum; None for a pause."""
        self._lines.append({mains: self._amplitudes(powers, mains) for mains in MAINS_HZ})
        if powers is None:
            self._last.clear()
            return
        self._last.append(powers)
        if len(self._last) == STRETCH_WINDOWS:
            self._judge(np.quantile(np.stack(self._last), ALMOST_STILL, axis=0, method="lower"))

    def _amplitudes(self, powers: Array | None, mains_hz: int) -> Array:
        """Of the strongest bin near each harmonic, float32; 0 in a pause."""
        count = int(HIGHEST_HZ / mains_hz)
        if powers is None:
            return np.zeros(count, np.float32)
        middles = np.rint(mains_hz * np.arange(1, count + 1) * self._size / self.slow_rate_hz).astype(int)
        near = middles[:, None] + np.arange(-AROUND_BINS, AROUND_BINS + 1)
        return np.asarray(np.sqrt(powers[near].max(axis=1)), np.float32)

    def _judge(self, still: Array) -> None:
        bin_hz = self.slow_rate_hz / self._size
        every = [hum for mains in MAINS_HZ if (hum := series(still, bin_hz, mains)) is not None]
        found = [hum for hum in every if len(hum.harmonics) >= SURE_LINES or hum.prominence_db >= SURE_DB]
        if found:
            stop = len(self._lines)
            best = max(found, key=lambda hum: hum.level_dbfs)
            self._found.append(_Stretch(stop - STRETCH_WINDOWS, stop, best))

    def _conclude(self) -> tuple[Event, ...]:
        return tuple(merged([self._event(stretch) for stretch in self._found]))

    def _event(self, stretch: _Stretch) -> Event:
        first, stop, hum = stretch
        lines = [harmonic - 1 for harmonic in hum.harmonics]
        shares = np.array([window[hum.mains_hz][lines] for window in self._lines])
        shares = np.median(shares / np.maximum(np.median(shares[first:stop], axis=0), 1e-12), axis=1)
        inside = first + np.flatnonzero(shares[first:stop] >= 0.5)
        duration_s = self.frames / self.sample_rate_hz
        start_s = _edge_s(shares, int(inside[0]), -1, 0.0) if len(inside) else first * HOP_S
        end_s = _edge_s(shares, int(inside[-1]), 1, duration_s) if len(inside) else stop * HOP_S
        words = f"{hum.frequency_hz:.2f} Hz and harmonics at {hum.level_dbfs:.0f} dBFS"
        return Event(self.name, start_s, max(start_s, min(end_s, duration_s)), None, 0.95, words)


def _edge_s(shares: Array, window: int, step: int, end_s: float) -> float:
    """Where half of the amplitude is passed from `window` on outwards, in seconds; `end_s` if that is nowhere.

    Windows' middles stand for them; beyond the first and the last nothing is known.
    """
    outer = window + step
    if not 0 <= outer < len(shares):
        return end_s
    inner_share, outer_share = float(shares[window]), float(min(shares[outer], 0.5))
    passed = (inner_share - 0.5) / max(inner_share - outer_share, 1e-9)
    return (window + 1 + step * min(max(passed, 0.0), 1.0)) * HOP_S


def hum_places(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches of hum of a whole recording, [frames] or [frames, channels]."""
    return measured(HumFinder, samples, sample_rate_hz)
