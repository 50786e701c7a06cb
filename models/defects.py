"""What finds defects: the interface, and the detector that measures alone make.

A detector reads a recording in blocks, at its own rate and channels, in memory that does not grow with it. What it
finds are events of the classes of models/events.py, in order of time. `Measures` is what can be settled without a
network, class by class; a network joins its events with those of the classes that its card leaves to a measure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.card import ModelCard, ModelError
from models.events import Event, merged, order
from models.measures.blocks import Meter
from models.measures.bursts import BurstFinder
from models.measures.clicks import ClickFinder
from models.measures.concealed import ConcealmentFinder
from models.measures.edges import EdgeFinder
from models.measures.flat import ClippingFinder
from models.measures.gaps import GapFinder
from models.measures.hiss import HissFinder
from models.measures.hum_places import HumFinder
from models.measures.repeats import RepeatFinder
from models.measures.speed import SpeedFinder
from models.measures.splices import SpliceFinder
from models.measures.static import StaticFinder
from models.measures.steps import StepFinder
from models.measures.version import DEFECTS_VERSION

BLOCK_S = 10.0
PACKET_S = 0.026  # of MP3 at 44.1 kHz: damage lasts as long at least
WHOLE = 0.97  # of the length that a header claims: lossy ones round, and a damaged packet or two are told by themselves
JOIN_S = 0.06  # what is sound between two damaged stretches nobody hears as such
SURE = 0.5  #: a measure that scores less needs another witness
DECODER = "decoder"  # what `Facts` say, where a card names the measure that settles a class
#: What an event of a class is explained by, if it is no farther away than so many seconds.
EXPLAINED = (
    ("concealment", 0.0, ("codec_damage",)),  # by the decoder itself
    ("skip", 0.05, ("stutter", "concealment", "dropout", "codec_damage", "channel_fault")),  # whose joints are cuts
    ("noise_burst", 0.05, ("digital_noise", "dropout", "concealment", "stutter", "codec_damage")),
    ("channel_fault", 0.005, ("dropout", "stutter", "concealment", "codec_damage", "skip")),
)
RIVALS_S, AS_SURE = 0.005, 0.05  # a click at a cut, or a click that looks like one: the less sure is dropped
FINDERS: dict[str, type[Meter[tuple[Event, ...]]]] = {
    "gaps": GapFinder,
    "clipping": ClippingFinder,
    "hum": HumFinder,
    "hiss": HissFinder,
    "clicks": ClickFinder,
    "static": StaticFinder,
    "repeats": RepeatFinder,
    "steps": StepFinder,
    "concealed": ConcealmentFinder,
    "splices": SpliceFinder,
    "edges": EdgeFinder,
    "speed": SpeedFinder,
    "bursts": BurstFinder,
}


class Audio(Protocol):
    """Samples that can be read more than once, as transforms/scratch.py holds them."""

    sample_rate_hz: int
    channels: int
    frames: int

    def blocks(self, block_frames: int) -> Iterator[npt.NDArray[np.float32]]:
        """All samples in order, [frames, channels] each."""
        ...


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the decoder says of the file."""

    damaged: Sequence[tuple[float, float]] = ()  #: stretches (start, end), seconds, in order and apart from each other
    decoded_fraction: float = 1.0  #: of the length that the file's header claims


class Detector(Protocol):
    """Finds the defects of a recording."""

    @property
    def name(self) -> str:
        """Of the model, for the rows that it makes."""
        ...

    @property
    def version(self) -> str:
        """Another one makes recordings due again."""
        ...

    def detect(self, audio: Audio, facts: Facts) -> list[Event]:
        """The events of one recording, in order of time."""
        ...


class Heard:
    """Samples at hand, [frames, channels], as `Audio`."""

    def __init__(self, samples: npt.NDArray[np.float32], sample_rate_hz: int) -> None:
        self.samples = samples
        self.sample_rate_hz = sample_rate_hz
        self.frames, self.channels = samples.shape

    def blocks(self, block_frames: int) -> Iterator[npt.NDArray[np.float32]]:
        """All samples in order, [frames, channels] each."""
        for start in range(0, self.frames, block_frames):
            yield self.samples[start : start + block_frames]


class Measures:
    """The detector that needs no network.

    Args:
        names: of FINDERS that are asked; all of them if None.
        unsure: whether what scores less than SURE is told, too.
    """

    name = "defects-measures"
    version = DEFECTS_VERSION

    def __init__(self, names: Collection[str] | None = None, *, unsure: bool = False) -> None:
        self._least = 0.0 if unsure else SURE
        self._finders = [finder for name, finder in FINDERS.items() if names is None or name in names]

    def detect(self, audio: Audio, facts: Facts) -> list[Event]:
        """The events that measures settle, in one pass over the blocks."""
        meters = [finder(audio.sample_rate_hz, audio.channels) for finder in self._finders]
        for block in audio.blocks(round(BLOCK_S * audio.sample_rate_hz)):
            block = np.ascontiguousarray(block.T, np.float32).T  # planes in memory, once for all
            for meter in meters:
                meter.add(block)
        found = [event for meter in meters for event in meter.result() if event.score >= self._least]
        return sorted(unexplained(found + damage(facts, audio.frames / audio.sample_rate_hz)), key=order)


def warm_up(detector: Detector) -> None:
    """Has a detector load, trace and compile what it needs, by six seconds in which much is amiss."""
    rate_hz, rng = 44_100, np.random.default_rng(0)
    t = np.arange(6 * rate_hz) / rate_hz
    wave = 0.2 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 1234 * t) + rng.normal(0, 0.01, len(t))
    at = [second * rate_hz for second in range(6)]
    wave[at[1]] += 0.8
    wave[at[2] :] = 0.2 * np.sin(2 * np.pi * 333 * t[at[2] :] + 1) + rng.normal(0, 0.01, len(t) - at[2])
    wave[at[4] : at[4] + 4410] = 0.9 * wave[at[4] - 4410 : at[4]]
    both = np.stack([wave, np.where((t > 3) & (t < 5), -1, 1) * wave + rng.normal(0, 0.01, len(t))])
    detector.detect(Heard(both.T.astype(np.float32), rate_hz), Facts())


def telling(classes: Collection[str]) -> set[str]:
    """The measures, of FINDERS, that tell events of some classes.

    >>> sorted(telling({"channel_fault", "hum"}))
    ['gaps', 'hum', 'steps']
    """
    told = {measure: {getattr(finder, "name", ""), *getattr(finder, "also", ())} for measure, finder in FINDERS.items()}
    return {measure for measure, names in told.items() if names & set(classes)}


def check_measures(card: ModelCard) -> None:
    """Raises ModelError if the card leaves a class to a measure that is not there, or tells others."""
    for label in card.labels:
        able = telling({label.name}) | ({DECODER} if label.name == "codec_damage" else set())
        if label.measure and label.measure not in able:
            raise ModelError(
                "no_measure",
                f"{card.name}: the label {label.name!r} is settled by {label.by!r}, and there is no such measure of it",
                f"Of this class: {', '.join(sorted(able)) or 'none'}; mend its card, or take a newer songscan",
                costs="run",
            )


def unexplained(events: list[Event]) -> list[Event]:
    """Those events that are not explained by others, as EXPLAINED has it.

    >>> told = [Event("click", 1.0, 1.0), Event("skip", 1.0, 1.0), Event("skip", 2.0, 2.0), Event("stutter", 2.01, 3)]
    >>> [event.start_s for event in unexplained(told)]
    [1.0, 2.01]
    """
    rivals = {"click": [e for e in events if e.name == "skip"], "skip": [e for e in events if e.name == "click"]}
    events = [event for event in events if not any(_loses(event, other) for other in rivals.get(event.name, ()))]
    for name, near_s, others in EXPLAINED:
        by = [event for event in events if event.name in others]
        events = [event for event in events if event.name != name or not any(_beside(event, o, near_s) for o in by)]
    return events


def _loses(one: Event, other: Event) -> bool:
    """Whether a click is told where a skip is, its rival, and is less sure; or the other way round, or as sure."""
    lead = other.score - one.score
    less_sure = lead > AS_SURE if one.name == "click" else lead >= -AS_SURE
    return less_sure and abs(one.start_s - other.start_s) <= RIVALS_S


def _beside(one: Event, other: Event, near_s: float) -> bool:
    """Whether `one` begins within the other; at its ends, if that is a fault of a channel."""
    if other.name == "channel_fault":
        return min(abs(one.start_s - other.start_s), abs(one.start_s - other.end_s)) <= near_s
    return other.start_s - near_s <= one.start_s <= other.end_s + near_s


def damage(facts: Facts, duration_s: float) -> list[Event]:
    """What the decoder says of the file: stretches no more than JOIN_S apart as one event.

    >>> [(e.start_s, e.end_s) for e in damage(Facts(damaged=((1.0, 1.0), (1.05, 1.25))), 9.0)]
    [(1.0, 1.25)]
    >>> damage(Facts(decoded_fraction=0.13), 2.6)[0].words
    'the file ends here, after 13 % of the length that its header claims'
    """
    words = "the decoder refused packets, they were missing, or their bits contradict themselves"
    events = [
        Event(
            "codec_damage", min(start_s, duration_s), min(max(end_s, start_s + PACKET_S), duration_s), None, 1.0, words
        )
        for start_s, end_s in facts.damaged
    ]
    if facts.decoded_fraction < WHOLE and not facts.damaged:
        cut = f"the file ends here, after {100 * facts.decoded_fraction:.0f} % of the length that its header claims"
        events.append(Event("codec_damage", max(0.0, duration_s - PACKET_S), duration_s, None, 1.0, cut))
    return [event._replace(end_s=round(event.end_s, 6)) for event in merged(events, JOIN_S)]
