"""Where a recording hums: stretches of 4 to 12 s with the lines of models/measures/hum.py, followed to their ends.

Lines are looked for in all channels on average, in each, and in the difference of two, in which a bass of the middle is
not heard. Notes swell and die away while hum stays: its lines must be steady. The less time there is to see that, the
more lines must lie exactly at the mains and stand out. Where hum begins and ends is seen in frames of 2 s: up to where
its lines have the level that they had all along. That is right to about half a second, if the music leaves the lines
alone.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from models.events import Event, merged, order
from models.measures.blocks import Array, Samples, measured
from models.measures.compiled import compiled
from models.measures.hum import HIGHEST_HZ, MAINS_HZ, WINDOW_S, Hum, HumSpectra, series_of_each

HOP_S = WINDOW_S / 2
FRAMES = 4  # of half a window each, from one window to the next
FRAME_HOP_S = HOP_S / FRAMES
HALF_DB = 20 * np.log10(0.5)  # of a line, in a frame that hum covers by half
LEAST_DB, MOST_DB = 0.7, 10.0  # by which lines of hum vary at least, and what is none
AGAINST = -4.0  # the least that a line says of a frame, as a logarithm of odds
GIVEN_UP = 20.0  # odds against hum, after which nothing more of it is looked for


class _Proof(NamedTuple):
    """What is asked of the lines in some windows."""

    windows: int  #: 4 s each, 2 s apart
    without: int  #: of which as many do not count, the least, and the highest
    off: float  #: how far they may be from the mains, as a share
    lines: int  #: that are enough with less prominence
    least_db: float  #: of prominence together, of as many lines
    sure_db: float  #: of fewer
    wavers_db: float  #: by which lines may rise on average: notes swell and die away, hum stays


# Of 4 to 12 s, the shortest steady in its frames.
# No note that is tuned to 440 Hz, nor a harmonic of one, comes within 0.15 % of the mains' lines.
PROOFS = (
    _Proof(1, 1, 0.0010, 4, 38.0, 45.0, 4.0),
    _Proof(2, 0, 0.0015, 3, 26.0, 30.0, 2.0),
    _Proof(3, 0, 0.0015, 3, 22.0, 22.0, 1.7),
    _Proof(5, 1, 0.0015, 3, 20.0, 20.0, 3.0),
    _Proof(5, 1, 0.0040, 3, 20.0, 25.0, 2.2),
)


SOFTEST_DB = 37.0  # below the recording, of hum: softer lines are in any instrument's samples
SURE, LESS_SURE, FEWEST_SURE = 0.95, 0.85, 3  # scores, and the windows that the better one takes


class _Stretch(NamedTuple):
    first: int  # windows
    stop: int
    view: int
    hum: Hum


@compiled
def _views(spectra: npt.NDArray[np.complex64]) -> Samples:
    """Power of all channels on average, of each, and of the difference of two: a bass in the middle is not in that.

    Args:
        spectra: [channels, bins]; of one channel there is one view.
    """
    channels, bins = spectra.shape
    views = np.zeros((1 if channels == 1 else channels + 1 + int(channels == 2), bins), np.float32)
    for channel in range(channels):
        for at in range(bins):
            own = spectra[channel, at].real ** 2 + spectra[channel, at].imag ** 2
            views[min(channel + 1, len(views) - 1), at] = own
            if channels > 1:
                views[0, at] += own / np.float32(channels)
    if channels == 2:
        for at in range(bins):
            apart = spectra[0, at] - spectra[1, at]
            views[3, at] = (apart.real**2 + apart.imag**2) / 2
    return views


@compiled
def _least(windows: Samples, without: int) -> Samples:
    """What all but `without` of the windows [windows, views, bins] exceed, [views, bins]."""
    views, bins = windows.shape[1:]
    least = np.full((without + 1, views, bins), np.inf, np.float32)  # in order
    for window in range(len(windows)):
        for place in range(without, -1, -1):
            for view in range(views):
                powers = windows[window, view]
                _lower(least[place, view], powers, least[place - 1, view] if place else powers)
    return np.asarray(least[without])


@compiled
def _lower(least: Samples, powers: Samples, below: Samples) -> None:
    """Brings what is least [bins] down to powers, but not to what is less than `below`."""
    for at in range(len(least)):
        power = powers[at] if powers[at] > below[at] else below[at]
        least[at] = power if power < least[at] else least[at]


class HumFinder(HumSpectra[tuple[Event, ...]]):
    """Stretches of mains hum."""

    name = "hum"
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._last: deque[Array] = deque(maxlen=max(proof.windows for proof in PROOFS))
        self._windows = 0
        self._frames: list[Array] = []  # amplitudes [views, harmonics of either mains]
        self._found: list[_Stretch] = []
        self._energy, self._counted = 0.0, 0  # of the recording below 1 kHz: sum of squares, and samples
        of_frame = self._size // 2
        lines_hz = [mains * n for mains in MAINS_HZ for n in range(1, int(HIGHEST_HZ / mains) + 1)]
        self._hann = np.hanning(of_frame + 1)[:-1].astype(np.float32)
        self._columns = {mains: lines_hz.index(mains) for mains in MAINS_HZ}  # of the first harmonic
        middles = np.rint(np.array(lines_hz) * of_frame / self.slow_rate_hz).astype(int)
        self._near = middles[:, None] + np.arange(-1, 2)

    def _take(self, slow: Samples) -> None:
        self._frame(slow, self._windows * FRAMES)
        new = slow[:, slow.shape[1] // 2 :] if self._windows else slow
        self._energy, self._counted = self._energy + float(np.vdot(new, new)), self._counted + new.size
        self._windows += 1
        super()._take(slow)

    def _frame(self, slow: Samples, first: int) -> None:
        """The frames that are not seen yet, of samples [channels, samples] that begin with frame `first`."""
        numbers = range(len(self._frames) - first, 1 + int((slow.shape[1] - len(self._hann)) // (self._size / 8)))
        starts = [round(number * self._size / 8) for number in numbers]
        if starts:
            frames = np.stack([slow[:, at : at + len(self._hann)] for at in starts], axis=1)
            near = rfft(frames * self._hann, axis=2)[:, :, self._near]  # [channels, frames, harmonics, 3]
            views = _views(near.reshape(len(slow), -1)).reshape(-1, *near.shape[1:])
            self._frames += list(np.sqrt(views.max(axis=3)).swapaxes(0, 1))

    def _spectrum(self, spectra: Array | None) -> None:
        """A window's spectra; None for a pause."""
        if spectra is None:
            self._last.clear()
            return
        self._last.append(_views(spectra))
        spans = dict.fromkeys((proof.windows, proof.without) for proof in PROOFS if len(self._last) >= proof.windows)
        if spans:
            self._found += self._stretches(np.stack(self._last), list(spans))

    def _stretches(self, windows: Array, spans: list[tuple[int, int]]) -> list[_Stretch]:
        """The surest hum of each of the spans (windows, without) that end with [windows, views, bins], of all views."""
        still = np.concatenate([_least(windows[-count:], without if count > 1 else 0) for count, without in spans])
        bin_hz, views, stop = self.slow_rate_hz / self._size, windows.shape[1], self._windows
        found: list[list[_Stretch]] = [[] for _ in spans]
        for mains in MAINS_HZ:
            for row, hum in enumerate(series_of_each(still, bin_hz, mains)):
                of, view = divmod(row, views)
                count, without = spans[of]
                if hum is not None and self._is_proved(hum, view, windows[-count:, view], without):
                    found[of].append(_Stretch(stop - count, stop, view, hum))
        return [max(some, key=lambda stretch: stretch.hum.prominence_db) for some in found if some]

    def _is_proved(self, hum: Hum, view: int, powers: Array, without: int) -> bool:
        """Whether its lines are many or high enough, and steady, in the windows' `powers` [windows, bins]."""
        lines = np.array(hum.harmonics)
        bins = np.rint(lines * hum.frequency_hz * self._size / self.slow_rate_hz).astype(int)
        levels = powers[:, bins[:, None] + np.arange(-1, 2)].sum(axis=2)
        if len(powers) == 1:
            levels = self._amplitudes_of(hum, view, len(self._frames) - 2 * FRAMES + 3) ** 2
        levels = np.sort(levels, axis=0)
        wavers_db = float(
            np.mean(10 * np.log10(levels[len(levels) - 1 - without] / np.maximum(levels[without], 1e-30)))
        )
        off = abs(hum.frequency_hz / hum.mains_hz - 1)
        return any(
            hum.prominence_db >= (proof.least_db if len(lines) >= proof.lines else proof.sure_db)
            and off <= proof.off
            and wavers_db <= proof.wavers_db
            for proof in PROOFS
            if (proof.windows, proof.without) == (len(powers), without)
        )

    def _conclude(self) -> tuple[Event, ...]:
        self._frame(self._slow, self._windows * FRAMES)
        events: list[Event] = []
        least_dbfs = 10 * np.log10(self._energy / max(self._counted, 1) + 1e-12) - SOFTEST_DB
        found = [stretch for stretch in self._found if stretch.hum.level_dbfs >= least_dbfs]
        for stretch in sorted(found, key=lambda stretch: -stretch.hum.prominence_db):
            start_s, end_s = stretch.first * HOP_S, (stretch.stop + 1) * HOP_S
            if not any(event.start_s <= start_s and end_s <= event.end_s for event in events):
                events.append(self._event(stretch))
        return tuple(merged(sorted(events, key=order)))

    def _event(self, stretch: _Stretch) -> Event:
        first, stop, view, hum = stretch
        inside = slice(first * FRAMES, (stop + 1) * FRAMES - 3)
        middle, last = (inside.start + inside.stop) // 2, len(self._frames) - 1
        levels_db = 20 * np.log10(np.maximum(self._amplitudes_of(hum, view, 0), 1e-9))
        levels_db -= np.median(levels_db[inside], axis=0)
        said, level_db = _odds(levels_db, levels_db[inside]).sum(axis=1), np.median(levels_db, axis=1)
        before, after = _reach(said[middle::-1], level_db[middle::-1]), _reach(said[middle:], level_db[middle:])
        start_s = (middle - before + 2) * FRAME_HOP_S if before < middle else 0.0
        duration_s = self.frames / self.sample_rate_hz
        end_s = (middle + after + 2) * FRAME_HOP_S if middle + after < last else duration_s
        words = f"{hum.frequency_hz:.2f} Hz and harmonics at {hum.level_dbfs:.0f} dBFS"
        return Event(self.name, start_s, end_s, None, SURE if stop - first >= FEWEST_SURE else LESS_SURE, words)

    def _amplitudes_of(self, hum: Hum, view: int, first: int) -> Array:
        """Of its lines in the frames from `first` on, [frames, lines]."""
        lines = [self._columns[hum.mains_hz] + harmonic - 1 for harmonic in hum.harmonics]
        return np.array([frame[view, lines] for frame in self._frames[first:]])


def _odds(levels_db: Array, inside_db: Array) -> Array:
    """What each line says for hum in each frame, a logarithm of odds [frames, lines].

    It is expected to vary as it did in the frames that are known to have hum, `inside_db`, about 0 dB; without hum
    anything may be there. What music covers varies much, and says little.
    """
    varies_db = np.maximum(1.48 * np.median(np.abs(inside_db), axis=0), LEAST_DB)
    odds = np.log(MOST_DB / varies_db) + 0.5 * levels_db**2 * (MOST_DB**-2 - varies_db**-2)
    return np.asarray(np.maximum(odds, AGAINST))


def _reach(said: Array, level_db: Array) -> float:
    """How many frames hum goes on for beyond the first, to where it covers half of one.

    Args:
        said: [frames], logarithms of the odds that hum is in a frame.
        level_db: [frames], of its lines against what they usually have.

    >>> _reach(np.array([3, 2, 3, -4, -9, -9]), np.array([0, -1, 0, -12.0, -30, -30]))
    2.5017166...
    """
    for_it = np.cumsum(said)
    given_up = np.flatnonzero(np.maximum.accumulate(for_it) - for_it > GIVEN_UP)
    last = int(np.argmax(for_it[: given_up[0]] if len(given_up) else for_it))
    while last + 1 < len(said) and HALF_DB <= level_db[last + 1] < level_db[last]:
        last += 1
    if last + 1 == len(said) or level_db[last + 1] >= level_db[last]:
        return float(last)
    return last + float(np.clip((level_db[last] - HALF_DB) / (level_db[last] - level_db[last + 1]), 0, 1))


def hum_places(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches of hum of a whole recording, [frames] or [frames, channels]."""
    return measured(HumFinder, samples, sample_rate_hz)
