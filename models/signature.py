"""The signature of a SavedModel against its card: names, ranks, lengths and types that must agree.

Conventions. As models/model.py. Nothing is called here: what a signature does not say shows when the model is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.card import Input, ModelCard, ModelError, Output

#: The fields of a card that lengths of axes follow from.
WHAT_SAYS_SIZES = "window_samples, channels, labels, frame_hop_samples or mask_window_samples"


def waveform_input(card: ModelCard) -> Input:
    """The input that takes the samples."""
    return next(tensor for tensor in card.inputs if tensor.role == "waveform")


def signature_of(there: Mapping[str, Any], card: ModelCard) -> Any:
    """Of the signatures of a model, the one that the card names. Raises ModelError."""
    if card.signature in there:
        return there[card.signature]
    names = sorted(there)
    told = f"has the signatures {', '.join(names)}" if names else "has no signatures"
    advice = f"Set signature to {names[0]!r}" if names else "Export it with tf.saved_model.save(..., signatures=...)"
    raise ModelError("no_signature", f"{card.name} {told}, its card asks for {card.signature!r}", advice)


def input_specs(there: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """The tf.TensorSpec of each input, by name. Raises ModelError if they are not those of the card."""
    specs = dict(there)
    _same_names("input", set(specs), {tensor.name for tensor in card.inputs}, card, all_of_them=True)
    for tensor in card.inputs:
        _check_type(card, "input", tensor.name, specs[tensor.name].dtype)
        if tensor.role == "waveform":
            sizes = {"t": card.window_samples, "c": card.channels, "1": 1}
            _check_shape(card, "input", tensor.name, tensor.layout, specs[tensor.name].shape, sizes)
    return specs


def outputs_read(given: Mapping[str, Any], card: ModelCard) -> list[Output]:
    """The outputs that are not ignored. Raises ModelError if the signature's are not those of the card."""
    _same_names("output", set(given), {output.name for output in card.outputs}, card, all_of_them=False)
    read = [output for output in card.outputs if output.role != "ignored"]
    for output in read:
        _check_type(card, "output", output.name, given[output.name].dtype)
        _check_shape(card, "output", output.name, output.layout, given[output.name].shape, sizes_of(card, output))
    return read


def sizes_of(card: ModelCard, output: Output) -> dict[str, int]:
    """Lengths of axes of an output, as far as the card says them."""
    if output.role == "mask":
        return {**dict(zip("fk", card.mask_shape, strict=True)), "1": 1}
    return {"t": card.window_samples, "c": card.channels, "l": len(card.labels), "1": 1}


def _same_names(kind: str, there: set[str], told: set[str], card: ModelCard, *, all_of_them: bool) -> None:
    if told - there or (all_of_them and there - told):
        names, card_names = ", ".join(sorted(there)), ", ".join(sorted(told))
        raise ModelError(
            "wrong_names",
            f"the signature of {card.name} has the {kind}s {names}, its card {card_names}",
            f"Name the {kind}s in the card as the signature does",
        )


def _check_shape(card: ModelCard, kind: str, name: str, layout: str, shape: Any, sizes: dict[str, int]) -> None:
    if shape.rank is None:
        return
    told = f"{kind} {name!r} of {card.name} has the shape {shape.as_list()}"
    if shape.rank != len(layout):
        raise ModelError("wrong_rank", f"{told}, its layout {layout!r} has {len(layout)} axes", "Correct the layout")
    for axis, size in zip(layout, shape.as_list(), strict=True):
        if size is not None and size != sizes.get(axis, size):
            raise ModelError(
                "wrong_shape",
                f"{told}; axis {axis!r} is {size}, the card says {sizes[axis]}",
                f"Correct the layout, or the card's {WHAT_SAYS_SIZES}",
            )


def _check_type(card: ModelCard, kind: str, name: str, dtype: Any) -> None:
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        words = f"{kind} {name!r} of {card.name} holds {dtype.name}, neither numbers nor truth values"
        advice = "Samples go in as numbers, not as files; an output of another kind can only be `ignored`"
        raise ModelError("wrong_type", words, advice)


def static_size(spec: Any, layout: str, axis: str) -> int | None:
    """The fixed length of an axis, if it has one."""
    if axis not in layout or spec.shape.rank is None:
        return None
    size: int | None = spec.shape.as_list()[layout.index(axis)]
    return size
