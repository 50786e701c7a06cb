"""The card of a model: what a SavedModel takes and gives, what it is good for, and under which licences.

Conventions. A SavedModel directory carries its card as JSON in assets.extra/card.json. Counts of samples are at the
card's own `sample_rate_hz`. A layout names the axes of a tensor, one letter each: b batch (windows), t time (samples),
c channels, f frames, l labels, k bins of a spectrum, e other features, 1 an axis of length 1. A model without `b` is
called once per window. Tasks ask the card, never the class of a model: any SavedModel by anyone runs if somebody writes
its card.

How windows lie: the recording gets `lead_in_samples` of silence before and after it. Windows of `window_samples` start
every `hop_samples` from there. What is left at the end is filled with silence (`tail` pad) or left out (drop). A
recording too short for one window is filled with silence or repeated (`short`).

How masks lie: a window has window_samples / frame_hop_samples mask frames. Frame n is for the spectrum of the
`mask_window_samples` centred on sample (n + 1/2) * frame_hop_samples of the window, and bin k of it for
k * sample_rate_hz / mask_window_samples Hz.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from models.card_problems import problems
from models.events import Fusion

CARD_PATH = "assets.extra/card.json"  #: within a SavedModel directory; TensorFlow leaves that folder alone
PRETRAINED = Path(__file__).parent / "pretrained"  #: the models that ship or are built here: NAME/VERSION/

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$")]
Samples = Annotated[int, Field(ge=0)]
Role = Literal["scores", "frame_scores", "embedding", "waveform", "mask", "ignored"]


Cost = Literal["recording", "attempt", "run"]


class ModelError(Exception):
    """A model and its card, or a model and its data, do not fit: the value at fault, and what to change.

    Args:
        costs: what it costs if it happens at a recording: that recording for good, this attempt at it (another time it
            may succeed), or the run, where no other recording would fare better.
    """

    def __init__(self, reason: str, message: str, advice: str = "", *, costs: Cost = "recording") -> None:
        super().__init__(f"{message}. {advice}" if advice else message)
        self.reason = reason
        self.message = message
        self.advice = advice
        self.costs: Cost = costs


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Input(_Part):
    """One input of the signature."""

    name: str = Field(description="as the signature calls it")
    role: Literal["waveform", "constant"] = Field(default="waveform", description="the samples, or always `value`")
    layout: str = Field(default="bt", description="axes; see above")
    scale: float = Field(
        default=1.0, description="what full scale is, such as 32768 for a model that takes 16-bit integers"
    )
    value: float | bool | int | None = Field(default=None, description="of a constant")


class Output(_Part):
    """One output of the signature, and what is done with it.

    Roles: scores (one set of labels per window), frame_scores (one per frame), embedding (per window), waveform
    (overlap-added), mask (0..1 for each frame and bin of a spectrum, see models/masking.py), ignored.
    """

    name: str = Field(description="as the signature calls it")
    role: Role
    layout: str = Field(default="bl", description="axes; see above")
    activation: Literal["none", "sigmoid", "softmax"] = Field(
        default="none", description="what is still to be applied to it; none if it holds scores 0..1 already"
    )


class Label(_Part):
    """What a model tells of."""

    name: str = Field(min_length=1)
    group: str = Field(
        default="", description="genre, mood, scene, voice, instrument, era, ...; empty where there is none"
    )
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="told as present from this score on; never if null"
    )
    fusion: Fusion | None = Field(
        default=None, description="how frame_scores become segments (models/events.py), in models that find defects"
    )
    by: str = Field(
        default="network",
        pattern=r"^(network|(network\+)?measure:[a-z_]+)$",
        description="what settles it: network; measure:NAME, one of models/measures, or decoder, what decoding tells "
        "of the file; or network+measure:NAME, both",
    )

    @property
    def measure(self) -> str:
        """The measure that settles it, alone or with the network; empty if none does."""
        return self.by.rpartition("measure:")[2] if "measure:" in self.by else ""


class Licences(_Part):
    """Under which terms code, weights and training data stand."""

    code: str
    weights: str
    training_data: str
    research_only: bool = Field(description="whether the weights may be used for research only; a scan says so")


class Metric(_Part):
    """How good the model is, on which data, and who says so."""

    name: str
    value: float
    data: str = Field(description="what it was measured on; never the training data")
    source: str = Field(default="", description="the command that measures it, or the publication that tells it")


class ModelCard(_Part):
    """See the module."""

    name: Word
    version: Word
    task: Word
    summary: str = ""
    licences: Licences
    signature: str = "serving_default"
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    sample_rate_hz: int = Field(ge=1000, le=192_000, description="Hz, not kHz")
    channels: int = Field(ge=1, le=2)
    window_samples: int = Field(ge=1)
    hop_samples: int = Field(ge=1)
    lead_in_samples: Samples = 0
    short: Literal["zeros", "repeat"] = "zeros"
    tail: Literal["pad", "drop"] = "pad"
    frame_hop_samples: int | None = Field(
        default=None, ge=1, description="from one frame of framewise outputs to the next"
    )
    mask_window_samples: int | None = Field(
        default=None, ge=2, description="of the spectra that masks are for; see above"
    )
    device_batch: int = Field(default=16, ge=1, le=4096, description="windows that go to the device at once")
    labels: tuple[Label, ...] = ()
    thresholds_chosen: str = Field(default="", description="the way in which thresholds and fusions were chosen")
    metrics: tuple[Metric, ...] = ()
    trained_by: str = Field(default="", description="the command that trained it, and whatever was done besides")

    @property
    def window_s(self) -> float:
        """Length of a window, seconds."""
        return self.window_samples / self.sample_rate_hz

    @property
    def hop_s(self) -> float:
        """From one window to the next, seconds."""
        return self.hop_samples / self.sample_rate_hz

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Frames and bins of a mask of one window."""
        return self.window_samples // (self.frame_hop_samples or 1), (self.mask_window_samples or 0) // 2 + 1

    def output_of(self, *roles: Role) -> Output:
        """The only output with one of `roles`.

        Raises:
            ModelError: if there is none, or several.
        """
        found = [output for output in self.outputs if output.role in roles]
        if len(found) != 1:
            told = ", ".join(f"{output.name} ({output.role})" for output in self.outputs)
            raise ModelError(
                "wrong_roles",
                f"the card of {self.name} has {len(found)} outputs of role {' or '.join(roles)}: {told}",
                f"Task {self.task!r} reads exactly one; give the others the role `ignored`",
            )
        return found[0]

    def to_json(self) -> str:
        """The card as it is stored."""
        return json.dumps(self.model_dump(), ensure_ascii=False, indent=1) + "\n"

    @model_validator(mode="after")
    def _coherent(self) -> ModelCard:
        for problem in problems(self):
            raise ValueError(problem)
        return self


def parse_card(text: str, origin: str) -> ModelCard:
    """The card that `text` (JSON) holds.

    Args:
        origin: where it is from, for the error.

    Raises:
        ModelError: naming each field at fault, its value, and what it should be.
    """
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(_fault(dict(fault)) for fault in error.errors())
        raise ModelError("bad_card", f"the card {origin} is not right: {faults}", "Correct these fields") from None


def read_card(folder: Path) -> ModelCard:
    """The card of the SavedModel in `folder`.

    Raises:
        ModelError: if there is none, or it is not right.
    """
    path = folder / CARD_PATH
    try:
        return parse_card(path.read_text(encoding="utf-8-sig"), str(path))  # some editors put a mark first
    except (OSError, UnicodeDecodeError) as error:
        raise no_card(str(folder), error) from error


def no_card(uri: str, error: Exception) -> ModelError:
    """What to say of a model without a card that can be read."""
    advice = f"Write its card to {CARD_PATH} there; docs/models.md tells how"
    return ModelError("no_card", f"the model {uri} has no card that can be read ({error})", advice)


def pretrained(root: Path | None = None) -> list[Path]:
    """The models that ship or were built here, in `root` or PRETRAINED: of each name the newest version, by name."""
    newest: dict[str, Path] = {}
    for path in sorted((root or PRETRAINED).glob(f"*/*/{CARD_PATH}"), key=lambda path: _natural(path.parents[1].name)):
        newest[path.parents[2].name] = path.parents[1]
    return [newest[name] for name in sorted(newest)]


def _natural(version: str) -> list[tuple[int, int | str]]:
    """A key by which version 10 comes after 9."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"(\d+)", version) if part]


# Faults ---------------------------------------------------------------------------------------------------------


def _fault(fault: dict[str, Any]) -> str:
    """One fault that pydantic found, in words."""
    at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
    if fault["type"] == "extra_forbidden":
        known = [
            name for part in (ModelCard, Input, Output, Label, Fusion, Licences, Metric) for name in part.model_fields
        ]
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"{at} is no field of a card{f'; did you mean {near[0]}?' if near else ''}"
    if fault["type"] == "missing":
        return f"{at} is missing"
    got = repr(fault["input"])
    words = str(fault["msg"]).removeprefix("Value error, ")
    return f"{at}: {words} (it is {got[:80]})" if at else words
