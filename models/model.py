"""What any model is, whichever process computes it: windows go in by calls of few sizes, outputs are read and checked.

Conventions. Windows are float32 [windows, samples, channels], full scale +-1.0, at the card's rate. What comes out has
one shape per role, whatever the layout within: scores [windows, labels], frame_scores [windows, frames, labels],
embedding [windows, features], waveform [windows, samples, channels], mask [windows, frames, bins]; scores and masks are
0..1. Specs are tf.TensorSpecs by name, made by whoever knows the signature: nothing here needs TensorFlow.
"""

from __future__ import annotations

import abc
import collections
import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.card import Input, ModelCard, ModelError, Output
from models.signature import WHAT_SAYS_SIZES, input_specs, outputs_read, sizes_of, static_size, waveform_input
from models.windows import FloatArray

SCORE_SLACK = 1e-3  #: rounding may carry a score so far beyond 0..1; it is clipped
_CANONICAL = {"scores": "bl", "frame_scores": "bfl", "embedding": "be", "waveform": "btc", "mask": "bfk"}

Tensors = dict[str, npt.NDArray[Any]]  #: by name, in the model's own layouts and types


class Model(abc.ABC):
    """A model that fits its card.

    Args:
        inputs: the specs of its signature.
        outputs: likewise.

    Raises:
        ModelError: naming what does not fit, and what to change.
    """

    def __init__(self, card: ModelCard, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        self.card = card
        self.frames: int | None = None  #: frames of framewise outputs per window, once it was tried
        self.inputs = input_specs(inputs, card)  #: tf.TensorSpecs by name
        self._outputs = outputs_read(outputs, card)
        self._waveform = waveform_input(card)
        self._fixed = static_size(self.inputs[self._waveform.name], self._waveform.layout, "b")

    @abc.abstractmethod
    def answers(self, calls: Iterable[Tensors]) -> Generator[Tensors, None, None]:
        """What the signature gives for each call, in their order: at least the outputs that are not ignored.

        Raises:
            ModelError: if a call fails.
        """

    @property
    def most(self) -> int:
        """How many windows go into one call at most, if their number is free."""
        return self.card.device_batch

    @property
    def sizes(self) -> list[int]:
        """The numbers of windows that calls are made with: few, so that neither XLA nor cuDNN has to prepare for more.

        The model's own fixed one, or powers of two and `most`.
        """
        if self._fixed or "b" not in self._waveform.layout:
            return [self._fixed or 1]
        return [*(1 << power for power in range((self.most - 1).bit_length())), self.most]

    def predict(self, windows: FloatArray) -> dict[str, FloatArray]:
        """The outputs that are not ignored, by name, for one batch. Raises as `predict_each`."""
        (given,) = self.predict_each([windows])
        return given

    def predict_each(self, batches: Iterable[FloatArray]) -> Generator[dict[str, FloatArray], None, None]:
        """The outputs that are not ignored, by name, for each batch of windows, in their order.

        Batches may be asked for before the outputs of earlier ones are there. A call that is not full is filled up
        with its last window.

        Raises:
            ModelError: if the model fails, or gives something else than its card says: NaN, other shapes, no scores.
        """
        asked: collections.deque[list[int]] = collections.deque()  # windows in each call of a batch

        def calls() -> Iterator[Tensors]:
            for windows in batches:
                chunks = self._chunks(windows)
                asked.append([len(chunk) for chunk in chunks])
                yield from map(self.feeds, chunks)

        with contextlib.closing(self.answers(calls())) as answers:
            for first in answers:
                first_count, *others = asked.popleft()
                parts = [self._read(first, first_count), *(self._read(next(answers), count) for count in others)]
                yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def feeds(self, windows: FloatArray) -> Tensors:
        """The inputs of a call for at most as many windows as fit into one."""
        # Filled up with what is there: a model that cannot stand silence is not to see any of our making.
        lacking = self._size(len(windows)) - len(windows)
        filled = np.concatenate([windows, np.repeat(windows[-1:], lacking, axis=0)]) if lacking else windows
        return {tensor.name: _feed(tensor, filled, self.inputs[tensor.name]) for tensor in self.card.inputs}

    def try_out(self) -> None:
        """One call on faint noise, to see that the model gives what its card says."""
        shape = (1, self.card.window_samples, self.card.channels)
        given = self.predict(np.random.default_rng(0).normal(0.0, 1e-3, shape).astype(np.float32))
        for output in self._outputs:
            if output.role == "frame_scores":
                self.frames = given[output.name].shape[1]
                self._check_frames(self.frames)

    def _size(self, count: int) -> int:
        """How many windows a call for `count` has."""
        return next(size for size in self.sizes if size >= min(count, self.sizes[-1]))

    def _chunks(self, windows: FloatArray) -> list[FloatArray]:
        size = self._size(len(windows))
        return [windows[start : start + size] for start in range(0, len(windows), size)]

    def _read(self, given: Tensors, count: int) -> dict[str, FloatArray]:
        """The outputs of the first `count` windows of a call."""
        size = self._size(count)
        return {output.name: _read(self.card, output, given[output.name], size)[:count] for output in self._outputs}

    def _check_frames(self, frames: int) -> None:
        card = self.card
        hop = card.frame_hop_samples or 1
        if frames * hop < card.hop_samples:
            raise ModelError(
                "wrong_frames",
                f"{frames} frames every {hop} samples do not reach from one window to the next, {card.hop_samples}",
                "Correct frame_hop_samples, or make hop_samples smaller",
            )


# Values ---------------------------------------------------------------------------------------------------------


def _feed(tensor: Input, windows: FloatArray, spec: Any) -> npt.NDArray[Any]:
    """What goes into an input."""
    if tensor.role == "constant":
        shape = [] if spec.shape.rank is None else [1 if size is None else size for size in spec.shape.as_list()]
        return np.full(shape, tensor.value, spec.dtype.as_numpy_dtype)
    axes: npt.NDArray[Any] = windows if "c" in tensor.layout else windows[:, :, 0]
    names = "btc" if "c" in tensor.layout else "bt"
    if "b" not in tensor.layout:
        axes, names = axes[0], names[1:]
    axes = np.transpose(axes, [names.index(axis) for axis in tensor.layout if axis != "1"])
    axes = np.expand_dims(axes, [place for place, axis in enumerate(tensor.layout) if axis == "1"])
    if tensor.scale != 1.0:
        axes = axes * np.float32(tensor.scale)
    if spec.dtype.is_integer:
        axes = np.clip(np.rint(axes), spec.dtype.min, spec.dtype.max)
    return axes.astype(spec.dtype.as_numpy_dtype, copy=False)


def _read(card: ModelCard, output: Output, value: npt.NDArray[Any], batch: int) -> FloatArray:
    """An output in the shape of its role, checked."""
    value = _in_canonical_order(card, output, value)
    sizes = {**sizes_of(card, output), "b": batch}
    for axis, size in zip(_CANONICAL[output.role], value.shape, strict=True):
        if size != sizes.get(axis, size):
            raise ModelError(
                "wrong_shape",
                f"output {output.name!r} of {card.name} has length {size} on axis {axis!r}, not {sizes[axis]}",
                f"Correct the card: its layout, {WHAT_SAYS_SIZES}",
            )
    if not np.isfinite(value).all():
        share = 1 - np.isfinite(value).mean()
        advice = "The recording drives the model out of its range: digital silence, or samples beyond full scale?"
        raise ModelError("nan_output", f"{100 * share:.3g} % of output {output.name!r} are NaN or infinite", advice)
    return _scores(card, output, value) if output.role in ("scores", "frame_scores", "mask") else value


def _in_canonical_order(card: ModelCard, output: Output, value: npt.NDArray[Any]) -> FloatArray:
    if value.ndim != len(output.layout):
        raise ModelError(
            "wrong_rank",
            f"output {output.name!r} of {card.name} has the shape {list(value.shape)}, layout {output.layout!r}",
            "Correct the layout",
        )
    kept = [axis for axis in output.layout if axis != "1"]
    value = np.squeeze(value, tuple(place for place, axis in enumerate(output.layout) if axis == "1"))
    order = [axis for axis in _CANONICAL[output.role] if axis in kept]
    value = np.transpose(value, [kept.index(axis) for axis in order]).astype(np.float32)
    absent: Sequence[int] = [place for place, axis in enumerate(_CANONICAL[output.role]) if axis not in kept]
    return np.expand_dims(value, absent)


def _scores(card: ModelCard, output: Output, value: FloatArray) -> FloatArray:
    if output.activation == "sigmoid":
        value = (1 / (1 + np.exp(-np.clip(value, -80, 80)))).astype(np.float32)
    elif output.activation == "softmax":
        value = np.exp(value - value.max(axis=-1, keepdims=True))
        value = value / value.sum(axis=-1, keepdims=True)
    low, high = float(value.min()), float(value.max())
    if low < -SCORE_SLACK or high > 1 + SCORE_SLACK:
        raise ModelError(
            "no_scores",
            f"output {output.name!r} of {card.name} reaches from {low:.3g} to {high:.3g}, {output.role} is 0..1",
            "Are these logits? Set its activation to sigmoid or softmax in the card",
        )
    return np.clip(value, 0, 1).astype(np.float32)
