"""Where the beats and bars of a MIDI file are.

Conventions. Ticks count from the start of the file, seconds too. Time signatures are not trusted (POP909 was performed,
and carries 1/4 and 2/4 for songs in 4/4): a bar has four beats, and it begins where the bass does. Beats are felt
between 75 and 165 in a minute, so that the file's own are halved or doubled until they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

BEATS_PER_BAR = 4
SLOWEST_BEAT_S = 60 / 75
FASTEST_BEAT_S = 60 / 165
DEFAULT_TEMPO_US = 500_000  # of the MIDI standard, where a file sets none


class TempoMap:
    """Ticks to seconds, by a file's changes of tempo.

    >>> TempoMap([(0, 500_000), (960, 1_000_000)], ticks_per_beat=480).seconds([480, 960, 1440]).tolist()
    [0.5, 1.0, 2.0]
    """

    def __init__(self, changes: Sequence[tuple[int, int]], ticks_per_beat: int) -> None:
        """Args:
        changes: tick, and the tempo from there on in microseconds per beat.
        """
        latest = {0: DEFAULT_TEMPO_US, **dict(sorted(changes))}
        self.ticks_per_beat = ticks_per_beat
        self._ticks = np.array(sorted(latest), np.float64)
        self._seconds_per_tick = np.array([latest[int(tick)] for tick in self._ticks]) / 1e6 / ticks_per_beat
        self._starts_s = np.r_[0.0, np.cumsum(np.diff(self._ticks) * self._seconds_per_tick[:-1])]

    def seconds(self, ticks: npt.ArrayLike) -> FloatArray:
        """The time of each tick, [n]."""
        ticks = np.asarray(ticks, np.float64)
        at = np.searchsorted(self._ticks, ticks, "right") - 1
        return np.asarray(self._starts_s[at] + (ticks - self._ticks[at]) * self._seconds_per_tick[at])


def beats(tempo: TempoMap, onsets_ticks: npt.ArrayLike, end_tick: int) -> FloatArray:
    """The times of the beats in seconds, [n], from the file's start to `end_tick`."""
    typical_s = float(np.median(np.diff(tempo.seconds(np.arange(0, end_tick + 1, tempo.ticks_per_beat))[:1000])))
    step = tempo.ticks_per_beat * felt(typical_s) / typical_s
    return tempo.seconds(np.maximum(grid_offset(onsets_ticks, step / 4) + np.arange(0, end_tick, step), 0))


def felt(beat_s: float) -> float:
    """The beat that is felt where a file's own lasts `beat_s` seconds.

    >>> felt(1.2), felt(0.3), felt(0.5)
    (0.6, 0.6, 0.5)
    """
    while beat_s > SLOWEST_BEAT_S:
        beat_s /= 2
    while beat_s < FASTEST_BEAT_S:
        beat_s *= 2
    return beat_s


def grid_offset(onsets: npt.ArrayLike, step: float) -> float:
    """By how much onsets lie behind the multiples of `step`, on average round the circle: -step/2 to step/2.

    >>> round(grid_offset([130, 250, 490], 120), 6)
    10.0
    """
    turns = np.exp(2j * np.pi * np.asarray(onsets, np.float64) / step)
    return float(np.angle(turns.sum()) * step / (2 * np.pi))


def first_downbeat(beats_s: npt.ArrayLike, bass_onsets_s: npt.ArrayLike, weights: npt.ArrayLike) -> int:
    """Which of the first four beats begins a bar: where most of the bass's weight falls.

    >>> first_downbeat([0, 1, 2, 3, 4, 5, 6, 7], [2.02, 5.98], [1, 1])
    2
    """
    times = np.asarray(beats_s, np.float64)
    votes = np.zeros(BEATS_PER_BAR)
    for onset_s, weight in zip(np.asarray(bass_onsets_s), np.asarray(weights), strict=True):
        nearest = int(np.argmin(np.abs(times - onset_s)))
        beat_s = np.diff(times)[min(nearest, len(times) - 2)]
        if abs(times[nearest] - onset_s) < beat_s / 8:
            votes[nearest % BEATS_PER_BAR] += weight
    return int(np.argmax(votes))
