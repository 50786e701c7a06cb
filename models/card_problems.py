"""What does not fit together in a model's card, beyond what each field says by itself (models/card.py)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from models.events import CLASSES

if TYPE_CHECKING:
    from models.card import Input, ModelCard, Output

DEFECTS = "defects"  #: the task whose models tell segments, by the classes of models/events.py


def problems(card: ModelCard) -> list[str]:
    """What does not fit together in `card`, in words."""
    return [*_window_problems(card), *_tensor_problems(card), *_label_problems(card), *_defect_problems(card)]


def _window_problems(card: ModelCard) -> list[str]:
    found = []
    if card.hop_samples > card.window_samples:
        found.append(
            f"hop_samples {card.hop_samples} is longer than window_samples {card.window_samples}: what lies between "
            "would not be heard"
        )
    if 2 * card.lead_in_samples >= card.window_samples:
        found.append(f"lead_in_samples {card.lead_in_samples} must be less than half of window_samples")
    roles = {output.role for output in card.outputs}
    if "mask" in roles:
        found += _mask_problems(card)
    if not roles & {"frame_scores", "mask"}:
        return found
    if card.frame_hop_samples is None:
        found.append("frame_hop_samples is missing, though an output has the role frame_scores or mask")
    elif card.hop_samples % card.frame_hop_samples:
        below = card.hop_samples // card.frame_hop_samples * card.frame_hop_samples
        found.append(
            f"hop_samples {card.hop_samples} is not a multiple of frame_hop_samples {card.frame_hop_samples}, so "
            f"frames of neighbouring windows do not meet; {max(below, card.frame_hop_samples)} would do"
        )
    return found


def _mask_problems(card: ModelCard) -> list[str]:
    window, hop = card.mask_window_samples, card.frame_hop_samples
    if window is None:
        return ["mask_window_samples is missing, though an output has the role mask"]
    found = []
    if window % 2:
        found.append(f"mask_window_samples {window} must be even")
    if hop is not None and 2 * hop > window:
        found.append(f"frame_hop_samples {hop} is more than half of mask_window_samples {window}: frames must overlap")
    if hop is not None and (card.window_samples % hop or card.lead_in_samples % hop):
        found.append(f"window_samples and lead_in_samples must be multiples of frame_hop_samples {hop}, for masks")
    if card.tail == "drop":
        found.append("tail is drop, which leaves the end of a recording without a mask; pad does not")
    if any(output.role == "mask" and output.activation == "softmax" for output in card.outputs):
        found.append("activation softmax is for labels; a mask takes sigmoid or none")
    return found


_AXES = {
    "waveform": ("t", "bc1"),
    "scores": ("l", "b1"),
    "frame_scores": ("fl", "b1"),
    "embedding": ("e", "b1"),
    "mask": ("fk", "b1"),
    "constant": ("", "btc1"),
}


def _tensor_problems(card: ModelCard) -> list[str]:
    found = _twice("input", [tensor.name for tensor in card.inputs])
    found += _twice("output", [tensor.name for tensor in card.outputs])
    if sum(tensor.role == "waveform" for tensor in card.inputs) != 1:
        found.append("exactly one of the inputs must have the role waveform")
    if not any(output.role != "ignored" for output in card.outputs):
        found.append("all outputs are ignored: at least one needs a role")
    tensors: tuple[Input | Output, ...] = (*card.inputs, *card.outputs)
    for tensor in tensors:
        if tensor.role in _AXES and tensor.role != "constant":
            found += _layout_problems(tensor.name, tensor.role, tensor.layout)
    return found + [problem for tensor in card.inputs for problem in _input_problems(card, tensor)]


def _input_problems(card: ModelCard, tensor: Input) -> list[str]:
    found = []
    if tensor.role == "constant" and tensor.value is None:
        found.append(f"input {tensor.name!r} is a constant and needs a value")
    if tensor.role == "waveform" and card.channels > 1 and "c" not in tensor.layout:
        found.append(f"layout {tensor.layout!r} of input {tensor.name!r} has no axis c for {card.channels} channels")
    if tensor.scale == 0:
        found.append(f"scale of input {tensor.name!r} must not be 0")
    return found


def _layout_problems(name: str, role: str, layout: str) -> list[str]:
    needed, allowed = _AXES[role]
    missing = [axis for axis in needed if axis not in layout]
    strange = [axis for axis in layout if axis not in needed + allowed]
    twice = [axis for axis in set(layout) - {"1"} if layout.count(axis) > 1]
    if not (missing or strange or twice):
        return []
    return [f"layout {layout!r} of {name!r} does not suit the role {role}: it takes {needed} and may take {allowed}"]


def _label_problems(card: ModelCard) -> list[str]:
    names = [label.name for label in card.labels]
    found = _twice("label", names)
    scored = any(output.role in ("scores", "frame_scores") for output in card.outputs)
    if scored and not names:
        found.append("labels are missing, though an output has scores")
    chosen = any(label.threshold is not None or label.fusion is not None for label in card.labels)
    if chosen and not card.thresholds_chosen:
        found.append("thresholds_chosen is missing: say how the thresholds were chosen")
    return found


def _defect_problems(card: ModelCard) -> list[str]:
    """What a model of the task `defects` lacks, and what only such a model may have."""
    if card.task != DEFECTS:
        odd = [label.name for label in card.labels if label.fusion is not None or label.by != "network"]
        return [f"label {name!r} has a fusion or a measure, and task is not {DEFECTS}" for name in odd]
    found = []
    if not any(output.role == "frame_scores" for output in card.outputs):
        found.append(f"no output has the role frame_scores, and the task {DEFECTS} tells when")
    for label in card.labels:
        if label.name not in CLASSES:
            found.append(f"label {label.name!r} is no class of defects: {', '.join(CLASSES)}")
        elif label.by.startswith("network") != (label.fusion is not None):
            found.append(f"label {label.name!r} needs a fusion if the network settles it, and none if a measure does")
    return found


def _twice(kind: str, names: list[str]) -> list[str]:
    return [f"{kind} {name!r} is there twice" for name, count in Counter(names).items() if count > 1]
