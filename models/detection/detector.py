"""The detector of defects that has a network: its events, and those of the measures that settle what it leaves to them.

Conventions. As models/defects.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.apply import Outputs, apply
from models.audio import converted, converted_frames
from models.card import Label, ModelError, pretrained, read_card
from models.defects import BLOCK_S, SURE, Audio, Facts, Measures, check_measures
from models.events import IMPULSIVE, Event, Fusion, fuse, merged, peaks
from models.measures.finding import CERTAIN
from models.model import Model
from models.windows import FloatArray

NEAR_S = 0.05  #: between what a measure and the network tell of the same
WITNESS = 0.2  #: the network's score within an event that a measure is unsure of, for it to be told
STATIC = 0.83  #: and its score of digital noise, from which on that is what it is
CRACKLE_S = 0.5  #: beside crackle, where clicks are its own
ALIKE = {"noise_burst", "digital_noise"}  #: classes that sound alike: where a measure tells one, no network tells one


class NetworkDetector:
    """A network and measures, as the card says.

    Args:
        model: with framewise scores for classes of models.events.CLASSES.

    Raises:
        ModelError: if its card names a measure that is not there.
    """

    def __init__(self, model: Model) -> None:
        check_measures(model.card)
        self._model = model

    @property
    def name(self) -> str:
        """Of the model."""
        return self._model.card.name

    @property
    def version(self) -> str:
        """Of the model."""
        return self._model.card.version

    def detect(self, audio: Audio, facts: Facts) -> list[Event]:
        """The events of one recording, in order of time.

        Raises:
            ModelError: if the model fails at it.
        """
        return joined(self.outputs(audio), audio, facts)

    def outputs(self, audio: Audio) -> Outputs:
        """What the network gives for the whole recording. Raises ModelError."""
        card, rate_hz = self._model.card, audio.sample_rate_hz
        blocks = converted(audio.blocks(round(BLOCK_S * rate_hz)), rate_hz, card.sample_rate_hz, card.channels)
        return apply(self._model, blocks, converted_frames(audio.frames, rate_hz, card.sample_rate_hz))


def joined(outputs: Outputs, audio: Audio, facts: Facts) -> list[Event]:
    """The network's events, those of the measures that its card names, and what the decoder says."""
    names = {label.name: label.measure for label in outputs.card.labels if label.measure}
    measured = Measures(set(names.values()), unsure=True).detect(audio, facts)
    measured = [event for event in measured if witnessed(event, outputs)]
    # What a decoder refused is evidence, whoever settles the class.
    kept = [event for event in measured if event.name in names or event.name == "codec_damage"]
    return merged(without_parts([*kept, *beyond(kept, events_of(outputs))]))


def witnessed(event: Event, outputs: Outputs) -> bool:
    """Whether an event of a measure stands: the measure is sure, or the network hears its like, if but faintly.

    What the network takes for digital noise, and is surer of, is no burst of noise, unless a measure is CERTAIN.
    """
    card = outputs.card
    hop_s = (card.frame_hop_samples or 1) / card.sample_rate_hz
    first, last = (int((at_s - outputs.first_frame_s) / hop_s) for at_s in (event.start_s, event.end_s))
    within = outputs.frames[card.output_of("frame_scores").name][max(first, 0) : last + 1]
    heard = {label.name: float(within[:, n].max(initial=0.0)) for n, label in enumerate(card.labels)}
    own, static = heard.get(event.name, 0.0), heard.get("digital_noise", 0.0)
    if event.name != "noise_burst" or event.score >= CERTAIN:
        return event.score >= SURE or own > WITNESS
    return static <= max(own, event.score, STATIC) and (event.score >= SURE or max(own, static) > WITNESS)


def without_parts(events: Sequence[Event]) -> list[Event]:
    """Events without the clicks that crackle consists of.

    >>> told = [Event("click", 1.0, 1.0), Event("crackle", 1.1, 3.0), Event("click", 4.0, 4.0)]
    >>> [event.start_s for event in without_parts(told)]
    [1.1, 4.0]
    """
    crackle = [event for event in events if event.name == "crackle"]
    return [
        event
        for event in events
        if event.name != "click"
        or not any(one.start_s - CRACKLE_S < event.start_s < one.end_s + CRACKLE_S for one in crackle)
    ]


def beyond(measured: Sequence[Event], heard: Iterable[Event]) -> list[Event]:
    """Of what the network heard, that which no measure tells already, with channel and exact place, or knows better."""
    return [event for event in heard if not any(_same(event, known) for known in measured)]


def _same(one: Event, other: Event) -> bool:
    near = one.start_s < other.end_s + NEAR_S and other.start_s < one.end_s + NEAR_S
    return near and (one.name == other.name or {one.name, other.name} == ALIKE)


def events_of(outputs: Outputs) -> list[Event]:
    """Framewise scores as events, by the fusions of the card, class after class."""
    card = outputs.card
    frames = outputs.frames[card.output_of("frame_scores").name]
    hop_s = (card.frame_hop_samples or 1) / card.sample_rate_hz
    told: list[Event] = []
    for column, label in enumerate(card.labels):
        told += events_of_label(label, frames[:, column], hop_s, outputs.first_frame_s)
    return told


def events_of_label(label: Label, scores: FloatArray, hop_s: float, first_s: float = 0.0) -> list[Event]:
    """Events of one class, none if a measure settles it; impulsive ones are moments of the length of a frame."""
    if label.fusion is None:
        return []
    found = (moments if label.name in IMPULSIVE else fuse)(scores, hop_s, label.fusion)
    return [
        Event(label.name, first_s + start_s, first_s + end_s, None, score, f"probability {score:.2f} by the network")
        for start_s, end_s, score in found
    ]


def moments(scores: FloatArray, hop_s: float, fusion: Fusion) -> list[tuple[float, float, float]]:
    """Peaks of at least `fusion.high`, `fusion.merge_s` apart, as segments of half a frame before and after."""
    found = peaks(scores, hop_s, threshold=fusion.high, apart_s=max(fusion.merge_s, hop_s))
    return [(max(0.0, at_s - hop_s / 2), at_s + hop_s / 2, score) for at_s, score in found]


def shipped() -> NetworkDetector:
    """With the newest model that ships for the task.

    Raises:
        ModelError: if there is none.
    """
    from models.saved import LoadedModel

    folders = [folder for folder in pretrained() if read_card(folder).task == "defects"]
    if not folders:
        raise ModelError("no_model", "no model finds defects here", "songscan train defects makes one")
    return NetworkDetector(LoadedModel(folders[-1]))
