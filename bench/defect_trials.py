"""What a detector of defects makes of songs: damaged on purpose, clean, deceptive, and recorded.

Conventions. Songs are cut to excerpts of `seconds`, one a song, from a place drawn by chance; all chance comes from the
seed and the song's place in the list, so that every detector is asked about the same samples. What is found is scored
in the class that was injected; other classes that are told of the same excerpt are counted apart, as `mistaken`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from models.defects import Detector, Facts, Heard
from models.degrade import NAMES, STRENGTHS, degrade
from models.degrade.negatives import NEGATIVES, negative
from models.event_metrics import Counts, event_counts, of_class, roc_auc, segment_counts
from models.events import Event
from transforms.policy import default_policy, judge

FADE_S = 0.02  #: of an excerpt, or its edges would be cut off

Samples = npt.NDArray[np.float32]


@dataclass
class Found:
    """What was found in excerpts of one kind, added up."""

    clips: int = 0
    events: Counts = field(default_factory=Counts)
    onsets: Counts = field(default_factory=Counts)  #: ends aside
    segments: Counts = field(default_factory=Counts)
    mistaken: int = 0  #: events of other classes
    scores: list[float] = field(default_factory=list)  #: the highest of the class in each excerpt


@dataclass
class Alarms:
    """What was told of recordings without a defect."""

    seconds: float = 0.0
    clips: int = 0
    refused: int = 0  #: by the default policy
    told: list[tuple[str, Event]] = field(default_factory=list)  #: what it was told of


@dataclass
class Trials:
    """Asks one detector, and keeps the time that it takes."""

    detector: Detector
    seed: int = 6
    seconds: float = 20.0
    asked_s: float = 0.0
    worked_s: float = 0.0  #: of processor time

    def ask(self, held: Heard, facts: Facts | None = None) -> list[Event]:
        """The detector's events."""
        start = time.process_time()
        events = self.detector.detect(held, facts or Facts())
        self.worked_s += time.process_time() - start
        self.asked_s += held.frames / held.sample_rate_hz
        return events

    def injected(self, number: int, song: Path, name: str, strength: str, found: Found) -> None:
        """Adds what is found in an excerpt of `song` damaged by `name`."""
        held = self.excerpt(number, song)
        rng = np.random.default_rng([self.seed, number, NAMES.index(name), list(STRENGTHS).index(strength)])
        made = degrade(held.samples, held.sample_rate_hz, name, STRENGTHS[strength], rng)
        damaged = Heard(made.samples, held.sample_rate_hz)
        events = self.ask(damaged, Facts(damaged=[(event.start_s, event.end_s) for event in made.told]))
        truth = [Event(name, event.start_s, event.end_s, event.channel) for event in made.events]
        own = of_class(events, (name,))
        found.clips += 1
        found.events = found.events.plus(event_counts(truth, own))
        found.onsets = found.onsets.plus(event_counts(truth, own, offsets=False))
        found.segments = found.segments.plus(segment_counts(truth, own, damaged.frames / damaged.sample_rate_hz))
        found.mistaken += len(events) - len(own)
        found.scores.append(max((event.score for event in own), default=0.0))

    def deceptive(self, number: int, song: Path, name: str, alarms: Alarms) -> None:
        """Adds what is told of an excerpt of `song` with the musical effect `name`."""
        held = self.excerpt(number, song)
        rng = np.random.default_rng([self.seed, number, list(NEGATIVES).index(name), 99])
        self.sound(name, Heard(negative(held.samples, held.sample_rate_hz, name, rng), held.sample_rate_hz), alarms)

    def sound(self, words: str, held: Heard, alarms: Alarms) -> list[Event]:
        """Adds what is told of a recording that has no defect; gives it, too."""
        events = self.ask(held)
        alarms.seconds += held.frames / held.sample_rate_hz
        alarms.clips += 1
        alarms.refused += bool(judge(default_policy(), events, held.frames / held.sample_rate_hz))
        alarms.told += [(words, event) for event in events]
        return events

    def excerpt(self, number: int, song: Path) -> Heard:
        """An excerpt without the song's own silence: of eight places drawn, the loudest; its edges are faded."""
        samples, rate_hz = soundfile.read(song, dtype="float32", always_2d=True)
        size = round(self.seconds * rate_hz)
        rng = np.random.default_rng([self.seed, number])
        starts = rng.integers(0, max(len(samples) - size, 0) + 1, 8)
        best = max(starts.tolist(), key=lambda start: float(np.mean(np.square(samples[start : start + size]))))
        held = np.array(samples[best : best + size], order="C")
        fade = np.linspace(0, 1, round(FADE_S * rate_hz), dtype=np.float32)[:, None]
        held[: len(fade)] *= fade
        held[-len(fade) :] *= fade[::-1]
        return Heard(held, int(rate_hz))


def auc(found: Found, without: Sequence[float]) -> float:
    """Area under the ROC curve of excerpts with the class against clean ones, by their highest scores."""
    return roc_auc([1] * len(found.scores) + [0] * len(without), [*found.scores, *without])


def whole(path: Path) -> Heard:
    """A file."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return Heard(samples, int(rate_hz))
