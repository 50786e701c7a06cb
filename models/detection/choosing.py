"""Fusions from frames to events, chosen class by class on held-out music, where the injector knows the places.

Conventions. A trial is a recording with one defect, or without any: probabilities [frames, classes] of the network, and
the true events. For each class the fusion is taken that has the best mean of event F1 and segment F1 on the trials of
that class (all strengths together), less PER_ALARM for every event told in music as it is, and PER_DECEIVED for one
told where a musical effect sounds like a defect; of equally good ones, that with the highest threshold. Places are used
here and nowhere in training.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from models.audio import resample
from models.defect_clips import excerpt
from models.defects import DECODER, FINDERS, Facts, Heard, Measures
from models.degrade import degrade
from models.degrade.negatives import NEGATIVES, negative
from models.detection.clips import HEARD, NARROW_HZ
from models.detection.detector import NetworkDetector, beyond, moments
from models.detection.network import HOP, RATE_HZ
from models.event_metrics import Counts, event_counts, segment_counts
from models.events import CLASSES, IMPULSIVE, Event, Fusion, fuse
from models.mixing import Library
from models.model import Model

FloatArray = npt.NDArray[np.float32]
HOP_S = HOP / RATE_HZ
TRIAL_S = 24.0
PER_ALARM = 0.2  #: of F1, for an event in music without a defect
PER_DECEIVED = 0.5  #: for all effects that sound like a defect, if each is told as the class
PER_MISTAKEN = 0.25  #: for all recordings with a defect of another class, if each is told as this one, too
MEDIANS_S = (0.0, 0.05, 0.11, 0.31, 1.01)
HIGHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0)
LOWS = (1.0, 0.4, 0.1)  #: of high
MERGES_S = (0.0, 0.1, 0.5)
SHORTEST_S = (0.0, 0.05, 0.2)
APART_S = (0.02, 0.05)  #: moments of impulsive classes

How = tuple[Fusion | None, str]  #: the network's fusion if it tells the class, and `by` of models.card.Label


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is to be tried."""

    samples: FloatArray  #: [frames, channels]
    rate_hz: int
    events: tuple[Event, ...]
    effect: bool = False  #: a musical one that sounds like a defect
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the network and measures made of a recording."""

    scores: FloatArray  #: [frames, classes]
    measured: tuple[Event, ...]  #: by measures
    events: tuple[Event, ...]
    effect: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether it is music as it was."""
        return not (self.effect or self.events)

    def has(self, name: str) -> bool:
        """Whether there is an event of the class."""
        return any(event.name == name for event in self.events)

    @property
    def duration_s(self) -> float:
        """Length, seconds."""
        return len(self.scores) * HOP_S


def recordings(library: Library, each: int, seed: int) -> Iterator[Recording]:
    """Of the songs in `library`: `each` with every class, from faint to strong; all of them clean; and with effects.

    Every other recording is at one of NARROW_HZ; clean ones are there at RATE_HZ and at the lowest of those.
    """
    parts = [(song, name) for song in library.songs for name in song.parts if name != "noise"]
    lengths = np.array([len(library.part(*part)[0]) for part in parts], float)

    def drawn(rng: np.random.Generator, rate_hz: int) -> FloatArray:
        samples, _ = library.part(*parts[rng.choice(len(parts), p=lengths / lengths.sum())])
        return resample(excerpt(np.asarray(samples), RATE_HZ, TRIAL_S, rng), RATE_HZ, rate_hz)

    for (column, name), number in itertools.product(enumerate(HEARD), range(each)):
        rng = np.random.default_rng([seed, 1, column, number])
        rate_hz = int(rng.choice(NARROW_HZ)) if number % 2 else RATE_HZ
        music = drawn(rng, rate_hz)
        while name == "channel_fault" and music.shape[1] < 2:
            music = drawn(rng, rate_hz)
        degraded = degrade(music, rate_hz, name, 0.2 + 0.8 * (number + 0.5) / each, rng)
        told = tuple(Event(e.name, e.start_s, e.end_s, e.channel) for e in degraded.events)
        facts = Facts(damaged=[(e.start_s, e.end_s) for e in degraded.told])
        yield Recording(samples=degraded.samples, rate_hz=rate_hz, events=told, facts=facts)
    for part, rate_hz in itertools.product(parts, (RATE_HZ, min(NARROW_HZ))):
        samples = np.asarray(library.part(*part)[0], np.float32)
        yield Recording(samples=resample(samples, RATE_HZ, rate_hz), rate_hz=rate_hz, events=())
    for column, effect in enumerate(NEGATIVES):
        for number in range(-(-each // 4)):
            rng = np.random.default_rng([seed, 2, column, number])
            samples = negative(drawn(rng, RATE_HZ), RATE_HZ, effect, rng)
            yield Recording(samples=samples, rate_hz=RATE_HZ, events=(), effect=True)


def choose(trials: Sequence[Trial], name: str) -> tuple[Fusion, float, float]:
    """The fusion of the class `name`, its mean F1 on `trials`, and the price of its events where none is."""
    column = CLASSES.index(name)
    own = [trial for trial in trials if trial.has(name)]
    clean = [trial for trial in trials if not trial.has(name)]
    best: tuple[float, float, Fusion, float, float] | None = None
    for median_s in MEDIANS_S if name not in IMPULSIVE else (0.0,):
        smooth_own, smooth_clean = ([_smoothed(trial, column, median_s) for trial in part] for part in (own, clean))
        for candidate in _candidates(name):
            f1 = _f1(smooth_own, candidate, name)
            if best is None or f1 >= best[0]:
                price = _price([(trial, len(_told(scores, candidate, name))) for trial, scores in smooth_clean])
                key = (f1 - price, candidate.high)
                if best is None or key > best[:2]:
                    best = (*key, candidate.model_copy(update={"median_s": median_s}), f1, price)
    assert best is not None
    return best[2:]


_Smooth = tuple[Trial, FloatArray]


def _smoothed(trial: Trial, column: int, median_s: float) -> _Smooth:
    """The scores of one class, as `fuse` filters them: once for all candidates."""
    width = round(median_s / HOP_S) // 2 * 2 + 1
    return trial, median_filter(trial.scores[:, column], width, mode="nearest") if width > 1 else trial.scores[
        :, column
    ]


def _candidates(name: str) -> Iterator[Fusion]:
    """Without a median filter."""
    if name in IMPULSIVE:
        for high, apart_s in itertools.product(HIGHS, APART_S):
            yield Fusion(high=high, low=high, merge_s=apart_s)
        return
    for high, low, merge_s, shortest_s in itertools.product(HIGHS, LOWS, MERGES_S, SHORTEST_S):
        yield Fusion(high=high, low=round(high * low, 4), merge_s=merge_s, shortest_s=shortest_s)


def _told(scores: FloatArray, fusion: Fusion, name: str) -> list[Event]:
    if scores.max(initial=0) < fusion.high:
        return []
    segments = (moments if name in IMPULSIVE else fuse)(scores, HOP_S, fusion)
    return [Event(name, start_s, end_s, None, score) for start_s, end_s, score in segments]


def _f1(trials: Sequence[_Smooth], fusion: Fusion, name: str) -> float:
    events, segments = Counts(), Counts()
    for trial, scores in trials:
        found = _told(scores, fusion, name)
        events = events.plus(event_counts(trial.events, found))
        segments = segments.plus(segment_counts(trial.events, found, trial.duration_s))
    return _mean_f1(events, segments)


def _mean_f1(events: Counts, segments: Counts) -> float:
    return float(np.nan_to_num((events.f1 + segments.f1) / 2))


def judged(trials: Sequence[Trial], name: str, fusion: Fusion | None) -> tuple[float, float]:
    """Mean F1 of the class `name` by measures, joined by the network if it has a `fusion`, and its events' price."""
    events, segments, false = Counts(), Counts(), list[tuple[Trial, int]]()
    column = CLASSES.index(name)
    for trial in trials:
        found = [event for event in trial.measured if event.name == name]
        if fusion is not None:
            smooth = _smoothed(trial, column, fusion.median_s)[1]
            found += beyond(trial.measured, _told(smooth, fusion, name))
        if trial.has(name):
            events = events.plus(event_counts(trial.events, found))
            segments = segments.plus(segment_counts(trial.events, found, trial.duration_s))
        else:
            false.append((trial, len(found)))
    return _mean_f1(events, segments), _price(false)


def _price(false: Sequence[tuple[Trial, int]]) -> float:
    """What it costs to tell so many events in recordings that have none of the class."""
    price = PER_ALARM * sum(count for trial, count in false if trial.is_clean)
    for weight, of in (
        (PER_DECEIVED, [count > 0 for trial, count in false if trial.effect]),
        (PER_MISTAKEN, [count > 0 for trial, count in false if trial.events]),
    ):
        price += weight * sum(of) / max(len(of), 1)
    return price


def settle(trials: Sequence[Trial], measures: Mapping[str, str]) -> tuple[dict[str, How], str]:
    """By class, how it is settled: by the network, a measure, or both; and in words how this was chosen.

    Args:
        trials: of held-out songs.
        measures: by class, names of measures that settle it in any case.
    """
    known = {"codec_damage": DECODER}
    for measure, finder in FINDERS.items():
        known |= dict.fromkeys((str(getattr(finder, "name", "")), *getattr(finder, "also", ())), measure)
    settled: dict[str, How] = {name: (None, f"measure:{measure}") for name, measure in measures.items()}
    told = []
    for name in [name for name in CLASSES if name not in settled]:
        settled[name], words = _settle_one(trials, name, known.get(name))
        told.append(words)
    hours = sum(trial.duration_s for trial in trials if trial.is_clean) / 3600
    words = (
        f"on {len(trials)} recordings of held-out songs, {hours:.2f} h of them clean, strengths 0.2 to 1: the best "
        f"mean of event F1 and segment F1, less {PER_ALARM} for each event in clean music, {PER_DECEIVED} of the share "
        f"of musical effects that are told as the class, and {PER_MISTAKEN} of the share of other defects that are. "
        f"A measure settles a class, or joins the network, if that is as good, and "
        f"{', '.join(measures) or 'none'} in any case. F1 - price: {'; '.join(told)}"
    )
    return settled, words


def _settle_one(trials: Sequence[Trial], name: str, measure: str | None) -> tuple[How, str]:
    fusion, f1, price = choose(trials, name)
    ways: list[tuple[float, float, How]] = [(f1, price, (fusion, "network"))]
    if measure is not None:
        ways += [
            (*judged(trials, name, None), (None, f"measure:{measure}")),
            (*judged(trials, name, fusion), (fusion, f"network+measure:{measure}")),
        ]
    words = ", ".join(f"{by} {f1:.2f} - {price:.2f}" for f1, price, (_, by) in ways)
    best = max(ways, key=lambda way: (way[0] - way[1], way[2][0] is None))
    return best[2], f"{name}: {words}"


def tried(model: Model, asked: Iterable[Recording]) -> list[Trial]:
    """What the network and measures make of recordings. Raises ModelError."""
    detector, trials = NetworkDetector(model), list[Trial]()
    for recording in asked:
        audio = Heard(recording.samples, recording.rate_hz)
        scores = detector.outputs(audio).frames[model.card.output_of("frame_scores").name]
        measured = tuple(Measures().detect(audio, recording.facts))
        trials.append(Trial(scores=scores, measured=measured, events=recording.events, effect=recording.effect))
    return trials
