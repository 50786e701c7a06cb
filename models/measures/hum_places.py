"""Where a recording hums: stretches of 8 or 12 s with the lines of models/measures/hum.py, joined.

Lines are looked for in all channels on average, in each, and in the difference of two, in which a bass of the middle is
not heard. Notes swell and die away while hum stays: its lines must be steady. What lies exactly at the mains needs
fewer of them, and less time. A hum of less than 8 s is not told from a bass note. Where a stretch begins and ends is
seen by its lines: in a window of 4 s that hum covers by half they have half of their amplitude. That is right to about
half a second, if the music leaves the lines alone.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from models.events import Event, merged
from models.measures.blocks import Array, Samples, measured
from models.measures.hum import HIGHEST_HZ, MAINS_HZ, WINDOW_S, Hum, HumSpectra, power, series_of_each

HOP_S = WINDOW_S / 2
AROUND_BINS = 2  # of a line, that are kept of each window


class _Proof(NamedTuple):
    """What is asked of the lines in some windows."""

    windows: int  #: 4 s each, 2 s apart
    without: int  #: of which as many do not count, the least, and the highest
    off: float  #: how far they may be from the mains, as a share
    lines: int  #: that are enough with less prominence
    least_db: float  #: of prominence together, of as many lines
    sure_db: float  #: of fewer
    wavers_db: float  #: by which lines may rise on average: notes swell and die away, hum stays


# Of 8 s and of 12 s. No note that is tuned to 440 Hz, nor a harmonic of one, comes within 0.15 % of the mains' lines.
PROOFS = (
    _Proof(3, 0, 0.0015, 3, 22.0, 22.0, 1.7),
    _Proof(5, 1, 0.0015, 3, 20.0, 20.0, 3.0),
    _Proof(5, 1, 0.0040, 3, 20.0, 25.0, 2.2),
)


class _Stretch(NamedTuple):
    first: int  # windows
    stop: int
    view: int
    hum: Hum


def _views_of(channels: int) -> int:
    return 1 if channels == 1 else channels + 1 + (channels == 2)


def _views(spectra: Array) -> Array:
    """Power of all channels on average, of each, and of the difference of two: a bass in the middle is not in that."""
    powers = power(spectra)
    if len(spectra) == 1:
        return powers
    views = [powers.mean(axis=0), *powers]
    if len(spectra) == 2:
        views.append(power(spectra[0] - spectra[1]) / 2)
    return np.stack(views)


def _least(windows: Array, without: int) -> Array:
    """What all but `without` of the windows exceed."""
    least = np.full((without + 1, *windows.shape[1:]), np.inf, windows.dtype)  # in order
    for powers in windows:
        for place in range(without, 0, -1):
            least[place] = np.minimum(least[place], np.maximum(least[place - 1], powers))
        least[0] = np.minimum(least[0], powers)
    return np.asarray(least[without])


class HumFinder(HumSpectra[tuple[Event, ...]]):
    """Stretches of mains hum."""

    name = "hum"
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._last: deque[Array] = deque(maxlen=max(proof.windows for proof in PROOFS))
        self._lines: list[dict[int, Array]] = []  # of each window, by mains: amplitudes [views, harmonics]
        self._found: list[_Stretch] = []

    def _spectrum(self, spectra: Array | None) -> None:
        """A window's spectra; None for a pause."""
        views = None if spectra is None else _views(spectra)
        self._lines.append({mains: self._amplitudes(views, mains) for mains in MAINS_HZ})
        if views is None:
            self._last.clear()
            return
        self._last.append(views)
        spans = dict.fromkeys((proof.windows, proof.without) for proof in PROOFS if len(self._last) >= proof.windows)
        if spans:
            self._found += self._stretches(np.stack(self._last), list(spans))

    def _stretches(self, windows: Array, spans: list[tuple[int, int]]) -> list[_Stretch]:
        """The surest hum of each of the spans (windows, without) that end with [windows, views, bins], of all views."""
        still = np.concatenate([_least(windows[-count:], without) for count, without in spans])
        bin_hz, views, stop = self.slow_rate_hz / self._size, windows.shape[1], len(self._lines)
        found: list[list[_Stretch]] = [[] for _ in spans]
        for mains in MAINS_HZ:
            for row, hum in enumerate(series_of_each(still, bin_hz, mains)):
                of, view = divmod(row, views)
                count, without = spans[of]
                if hum is not None and self._is_proved(hum, windows[-count:, view], without):
                    found[of].append(_Stretch(stop - count, stop, view, hum))
        return [max(some, key=lambda stretch: stretch.hum.prominence_db) for some in found if some]

    def _amplitudes(self, views: Array | None, mains_hz: int) -> Array:
        """Of the strongest bin near each harmonic, float32 [views, harmonics]; 0 in a pause."""
        count = int(HIGHEST_HZ / mains_hz)
        if views is None:
            return np.zeros((_views_of(self.channels), count), np.float32)
        middles = np.rint(mains_hz * np.arange(1, count + 1) * self._size / self.slow_rate_hz).astype(int)
        near = middles[:, None] + np.arange(-AROUND_BINS, AROUND_BINS + 1)
        return np.asarray(np.sqrt(views[:, near].max(axis=2)), np.float32)

    def _is_proved(self, hum: Hum, powers: Array, without: int) -> bool:
        """Whether its lines are many or high enough, and steady, in the windows' `powers` [windows, bins]."""
        lines = np.rint(np.array(hum.harmonics) * hum.frequency_hz * self._size / self.slow_rate_hz).astype(int)
        levels = np.sort(powers[:, lines[:, None] + np.arange(-1, 2)].sum(axis=2), axis=0)
        wavers_db = float(np.mean(10 * np.log10(levels[len(levels) - 1 - without] / levels[without])))
        off = abs(hum.frequency_hz / hum.mains_hz - 1)
        return any(
            hum.prominence_db >= (proof.least_db if len(lines) >= proof.lines else proof.sure_db)
            and off <= proof.off
            and wavers_db <= proof.wavers_db
            for proof in PROOFS
            if (proof.windows, proof.without) == (len(powers), without)
        )

    def _conclude(self) -> tuple[Event, ...]:
        return tuple(merged([self._event(stretch) for stretch in self._found]))

    def _event(self, stretch: _Stretch) -> Event:
        first, stop, view, hum = stretch
        lines = [harmonic - 1 for harmonic in hum.harmonics]
        shares = np.array([window[hum.mains_hz][view, lines] for window in self._lines])
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
