"""How well events were found: event F1 within collars, segment F1, area under the ROC curve, false alarms per hour.

Conventions. Times are seconds. Event-based and segment-based F1 are those of sed_eval and the DCASE challenges: an
event counts as found if its class agrees, its onset lies within the collar, and its offset within the collar or a share
of the true event's length, whichever is more; each true event is found once. Ratios of nothing are NaN.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2, rankdata

from models.events import IMPULSIVE, Event

IMPULSIVE_COLLAR_S, COLLAR_S = 0.010, 0.100
OFFSET_SHARE = 0.2  #: of a long event's length, by which its end may be off
SEGMENT_S = 1.0
_SLACK_S = 1e-9  # what a sum of floats may be off


class Counts(NamedTuple):
    """Hits, false alarms and misses; counts of several recordings add up."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def precision(self) -> float:
        """Share of what was told that is true."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Share of what is true that was told."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return _ratio(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)


def collar_s(name: str) -> float:
    """The tolerance for the class `name`."""
    return IMPULSIVE_COLLAR_S if name in IMPULSIVE else COLLAR_S


def matches(truth: Sequence[Event], found: Sequence[Event], *, offsets: bool = True) -> list[tuple[int, int]]:
    """The most pairs (place in truth, place in found) of events that agree, each in one pair at most; channels aside.

    Args:
        offsets: whether ends must agree too.
    """
    agree = np.array([[_agree(true, event, offsets) for event in found] for true in truth], bool)
    if not agree.size:
        return []
    rows, columns = linear_sum_assignment(agree, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if agree[r, c]]


def _agree(true: Event, event: Event, offsets: bool) -> bool:
    collar = collar_s(true.name)
    if true.name != event.name or abs(true.start_s - event.start_s) > collar + _SLACK_S:
        return False
    allowed = max(collar, OFFSET_SHARE * (true.end_s - true.start_s))
    return not offsets or abs(true.end_s - event.end_s) <= allowed + _SLACK_S


def event_counts(truth: Sequence[Event], found: Sequence[Event], *, offsets: bool = True) -> Counts:
    """Events of one recording within collars: 10 ms for impulsive classes, 100 ms for others."""
    hits = len(matches(truth, found, offsets=offsets))
    return Counts(hits, len(found) - hits, len(truth) - hits)


def segment_counts(
    truth: Sequence[Event], found: Sequence[Event], duration_s: float, segment_s: float = SEGMENT_S
) -> Counts:
    """Segments of one recording in which a class is or was told, summed over classes."""
    total = Counts()
    for name in {event.name for event in (*truth, *found)}:
        is_there, told = (_active(events, name, duration_s, segment_s) for events in (truth, found))
        both = int((is_there & told).sum())
        total = total.plus(Counts(both, int(told.sum()) - both, int(is_there.sum()) - both))
    return total


def _active(events: Sequence[Event], name: str, duration_s: float, segment_s: float) -> npt.NDArray[np.bool_]:
    active = np.zeros(max(1, int(np.ceil(duration_s / segment_s - _SLACK_S))), bool)
    for event in events:
        if event.name == name:
            first = int(event.start_s / segment_s + _SLACK_S)
            active[first : max(first + 1, int(np.ceil(event.end_s / segment_s - _SLACK_S)))] = True
    return active


def roc_auc(is_there: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve of clips: the chance that one with the class scores higher than one without.

    Args:
        is_there: [clips], whether the clip has the class.
        scores: [clips], the highest score of that class in it.
    """
    positive = np.asarray(is_there, bool)
    ranks = rankdata(np.asarray(scores, np.float64))
    with_it, without = int(positive.sum()), int((~positive).sum())
    return _ratio(float(ranks[positive].sum()) - with_it * (with_it + 1) / 2, with_it * without)


class Rate(NamedTuple):
    """Events per hour with the exact Poisson interval."""

    per_hour: float
    low: float
    high: float


def alarms_per_hour(count: int, hours: float, confidence: float = 0.95) -> Rate:
    """False alarms per hour, with the interval of Garwood (1936).

    >>> round(alarms_per_hour(0, 1.0).high, 2)
    3.69
    """
    outside = (1 - confidence) / 2
    low = float(chi2.ppf(outside, 2 * count)) / 2 if count else 0.0
    high = float(chi2.ppf(1 - outside, 2 * count + 2)) / 2
    return Rate(count / hours, low / hours, high / hours)


def of_class(events: Sequence[Event], names: Collection[str]) -> list[Event]:
    """Those of the classes `names`."""
    return [event for event in events if event.name in names]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
