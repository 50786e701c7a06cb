"""Stretches at a wrong speed: all partials leave their places by one ratio, together, and come back.

Tape that jumps, wavers or drags moves everything that sounds by the same ratio. Musicians move some voices, each by its
own, and mostly by whole semitones. So a stretch is told if the path of models/measures/speed_path.py leaves the
recording's own speed and returns, if partials are seen to move along, and if, moved back, they lie where this
recording's partials usually lie. Not told: what moves from one note of the tempered scale to another, if that is all;
what begins in silence or ends in it, as a tape does that is stopped for effect; partials of one harmonic series: a
single voice may bend as it likes. What is only tuned otherwise than all around it (models/measures/tuning.py) needs no
path. Less than 1 % that swings is not seen, and what is the same throughout is the recording's own speed. Channels are
mixed: what is opposed in them is not heard.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import median_filter

from models.events import Event, merged, order, runs_of
from models.measures.blocks import Array, Meter, Samples, measured, within_float32
from models.measures.partials import NONE, STEP_CENTS, Partials
from models.measures.speed_path import LAG, Evidence, speed_evidence
from models.measures.tuning import SURE_CENTS, Detuned, detuned

SPAN_S, CORE_S = 120.0, 100.0  # that are looked at together, and in whose middle stretches may begin
AWAY = 2  # steps from the own speed
JOINED_S = 0.3  # while a swing passes through the own speed
LEAST_CENTS = 15
LEAST_FIT, LEAST_FITS = 1.0, 6.0  # of a frame, of all frames together
LEAST_EVIDENCE, CHANGES, MOST_CHANGE = 1.8, 0.1, 10.0  # fit of a frame and what partials that move add to it
SWING_CHANGE, SWING_FIT = 50.0, 0.8  # of what moves all the time, and less exactly
TEMPERED_CENTS, TEMPERED_SHARE = 8, 0.6  # off whole semitones; of the frames that are so
ONE_SEMITONE_FIT = 2.2  # from which on one semitone is told; two and more are music
BESIDE_S, LEAST_BESIDE = 0.4, 0.3  # at the own speed, before and after a stretch
SURE, LESS_SURE = 0.93, 0.85  # scores of what is tuned otherwise
SERIES_SHARE, SERIES_DB, SERIES_HZ = 0.9, 40.0, 3000.0
POLYPHONIC_SHARE = 0.72  # at most, where only the tuning tells: a voice alone has 0.8, a band 0.4 to 0.7


class Stretch(NamedTuple):
    """Frames from `first` to `stop` that may be at a wrong speed."""

    first: int
    stop: int
    cents: Array  #: of each frame
    change: float  #: partials that moved along more than stayed, all in all
    fit: float  #: of a frame, in partials, on average
    beside: float  #: fit of a frame at the own speed, before or after it, the less
    series: float  #: share of the partials that belong to one harmonic series


class SpeedFinder(Meter[tuple[Event, ...]]):
    """Stretches at a wrong speed, of all channels."""

    name = "speed_jump"
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._partials = Partials(sample_rate_hz)
        self._places: list[Samples] = []
        self._levels: list[Samples] = []
        self._at = 0  # the frame of partials where they start
        self._stretches: list[Stretch] = []
        self._detuned: list[Detuned] = []

    def _fold(self, planes: Samples) -> None:
        mixed = np.add.reduce(within_float32(planes), axis=0) / np.float32(self.channels)
        places, levels = self._partials.add(mixed)
        self._places.append(places)
        self._levels.append(levels)
        if sum(map(len, self._places)) * self._partials.hop_s >= SPAN_S:
            self._look(last=False)

    def _look(self, last: bool) -> None:
        places, levels = np.concatenate(self._places), np.concatenate(self._levels)
        edge = round((SPAN_S - CORE_S) / 2 / self._partials.hop_s)
        start, stop = edge if self._at else 0, len(places) - (0 if last else edge)
        self._stretches += [
            stretch._replace(first=stretch.first + self._at, stop=stretch.stop + self._at)
            for stretch in stretches(places, levels, self._partials.hop_s)
            if start <= stretch.first < stop
        ]
        self._detuned += [
            Detuned(found.first + self._at, found.stop + self._at, found.cents)
            for found in detuned(places, levels, self._partials.hop_s)
            if start <= found.first < stop and series_of(found.first, found.stop, places, levels) <= POLYPHONIC_SHARE
        ]
        keep = max(0, len(places) - 2 * edge)
        self._places, self._levels, self._at = [places[keep:]], [levels[keep:]], self._at + keep

    def _conclude(self) -> tuple[Event, ...]:
        if self._places:
            self._look(last=True)
        told = [self._event(stretch) for stretch in self._stretches if is_wrong(stretch)]
        for first, stop, cents in self._detuned:
            words = f"all is tuned {cents % 100:.0f} cents higher, or {-cents % 100:.0f} lower, than before and after"
            score = SURE if abs(cents) >= SURE_CENTS else LESS_SURE
            told.append(Event(self.name, *self._times_s(first, stop), None, score, words))
        return tuple(merged(sorted(told, key=order)))

    def _times_s(self, first: int, stop: int) -> tuple[float, float]:
        hop_s, end_s = self._partials.hop_s, self.frames / self.sample_rate_hz
        before_s = self._partials.middle_s - hop_s / 2
        return min(first * hop_s + before_s, end_s), min(stop * hop_s + before_s, end_s)

    def _event(self, stretch: Stretch) -> Event:
        slowest, fastest = (100 * (2 ** (cents / 1200) - 1) for cents in (stretch.cents.min(), stretch.cents.max()))
        words = f"all partials move together, by {slowest:+.1f} to {fastest:+.1f} %"
        return Event(
            self.name, *self._times_s(stretch.first, stretch.stop), None, min(0.95, 0.6 + 0.1 * stretch.fit), words
        )


def stretches(places: Samples, levels: Samples, hop_s: float) -> list[Stretch]:
    """All excursions from the own speed, in order, of partials [frames, MOST]."""
    if len(places) <= 2 * LAG:
        return []
    evidence = speed_evidence(places, levels)
    steps = median_filter(evidence.path, LAG)
    spans: list[tuple[int, int]] = []
    for start, stop in runs_of(np.abs(steps) >= AWAY):
        if spans and (start - spans[-1][1]) * hop_s < JOINED_S:
            start = spans.pop()[0]
        spans.append((start, stop))
    beside = round(BESIDE_S / hop_s)
    return [_stretch(start, stop, steps, evidence, places, levels, beside) for start, stop in spans]


def _stretch(
    start: int, stop: int, steps: Array, evidence: Evidence, places: Samples, levels: Samples, beside: int
) -> Stretch:
    around = evidence.own[max(0, start - beside) : start], evidence.own[stop : stop + beside]
    return Stretch(
        start,
        stop,
        steps[start:stop] * STEP_CENTS,
        float(evidence.change[max(0, start - LAG - 1) : stop + 1].sum()) / LAG,
        float(evidence.fit[start:stop].mean()),
        min(float(side.mean()) if len(side) else 0.0 for side in around),
        series_of(start, stop, places, levels),
    )


def series_of(first: int, stop: int, places: Samples, levels: Samples) -> float:
    """The share of partials that belong to one harmonic series, the median of nine frames of the stretch."""
    frames = np.linspace(first, stop - 1, 9).astype(int)
    return float(np.median([one_series(places[i], levels[i]) for i in frames]))


def is_wrong(stretch: Stretch) -> bool:
    """Whether it is no music."""
    cents, fit = np.abs(stretch.cents), stretch.fit
    if cents.max() < LEAST_CENTS or stretch.series > SERIES_SHARE:
        return False
    off = np.abs(cents - 100 * np.maximum(np.rint(cents / 100), 1))
    if np.mean(off <= TEMPERED_CENTS) > TEMPERED_SHARE and (fit < ONE_SEMITONE_FIT or np.median(cents) > 150):
        return False
    if fit >= SWING_FIT and stretch.change >= SWING_CHANGE:
        return True
    evidence = fit + CHANGES * float(np.clip(stretch.change, -MOST_CHANGE, MOST_CHANGE))
    is_sure = evidence >= LEAST_EVIDENCE and fit >= LEAST_FIT and fit * len(cents) >= LEAST_FITS
    return is_sure and stretch.beside >= LEAST_BESIDE


def one_series(places: Samples, levels: Samples) -> float:
    """The greatest share of a frame's partials [MOST] that one harmonic series has; 1 of fewer than three.

    The fundamental is sought as the lowest or one of the three strongest, or a half of it: a quarter would make one
    series of a major triad.
    """
    hz = 440 * 2 ** (np.where(places > NONE, places, 0) / 1200)
    heard = (places > NONE) & (levels > levels.max() - SERIES_DB) & (hz < SERIES_HZ)
    if heard.sum() < 3:
        return 1.0
    likely = np.append(hz[np.argsort(np.where(heard, -levels, np.inf))[:3]], hz[heard].min())
    fundamentals = np.concatenate([likely, likely / 2])
    orders = hz[heard] / fundamentals[fundamentals > 80][:, None]
    nearest = np.maximum(np.rint(orders), 1)
    return float((np.abs(orders - nearest) < 0.03 + 0.007 * nearest).mean(axis=1).max(initial=0.0))


def find_speed_jumps(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches at a wrong speed of a whole recording, [frames] or [frames, channels]."""
    return measured(SpeedFinder, samples, sample_rate_hz)
