"""SavedModels with their cards: saving, loading, and calling them on windows, whatever their exporter's taste.

Conventions. Windows are float32 [windows, samples, channels], full scale +-1.0, at the card's rate. What comes out has
one shape per role, whatever the layout within: scores [windows, labels], frame_scores [windows, frames, labels],
embedding [windows, features], waveform [windows, samples, channels], mask [windows, frames, bins]; scores and masks are
0..1. TensorFlow is imported by this module, so import it where a model is used. How many threads TensorFlow takes is
said by the environment (TF_NUM_INTRAOP_THREADS, TF_NUM_INTEROP_THREADS), since it must be known before TensorFlow
starts.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.saved_model import load_v1_in_v2  # what tf.saved_model.load itself uses for graphs of TF 1

from models.card import CARD_PATH, Input, ModelCard, ModelError, Output, read_card
from models.signature import (
    WHAT_SAYS_SIZES,
    input_specs,
    outputs_read,
    signature_of,
    sizes_of,
    static_size,
    waveform_input,
)
from models.windows import FloatArray

SCORE_SLACK = 1e-3  #: rounding may carry a score so far beyond 0..1; it is clipped
_CANONICAL = {"scores": "bl", "frame_scores": "bfl", "embedding": "be", "waveform": "btc", "mask": "bfk"}


def save(module: Any, card: ModelCard, folder: Path) -> None:
    """Writes `module`, a tf.Module whose __call__ is a tf.function of one signature, and its card, or nothing at all.

    Raises:
        ModelError: if module and card do not fit, or it cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as scratch:
            made = Path(scratch, "model")
            tf.saved_model.save(module, str(made), signatures={card.signature: module.__call__})
            write_card(card, made)
            LoadedModel(made)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        advice = "Is there room, and may you write there? In an image, build the models as its owner"
        raise ModelError("not_writable", f"the model cannot be written to {folder} ({error})", advice) from error


def write_card(card: ModelCard, folder: Path) -> None:
    """Puts `card` into the SavedModel in `folder`."""
    path = folder / CARD_PATH
    path.parent.mkdir(exist_ok=True)
    path.write_text(card.to_json(), encoding="utf-8")


@functools.cache
def prepare_devices() -> None:
    """Has TensorFlow take memory of a GPU as it needs it, since several processes may share one; before its first use.

    And has it compute in 32 bits there: TF32 rounds to 10, by which neighbours in a batch would show.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


class LoadedModel:
    """A SavedModel ready to be called; checked against its card, and called once to see that it gives what that says.

    Args:
        folder: local.

    Raises:
        ModelError: naming what does not fit, and what to change.
    """

    def __init__(self, folder: Path) -> None:
        prepare_devices()
        self.card = read_card(folder)
        try:
            self._owner = _load(folder)  # keeps the variables of the signature alive
        except (OSError, ValueError, tf.errors.OpError) as error:
            words = str(error).splitlines()[0]
            advice = "A SavedModel directory holds saved_model.pb and variables/; export it again"
            raise ModelError("not_loadable", f"the model in {folder} cannot be loaded ({words})", advice) from error
        self._function = signature_of(self._owner, self.card)
        self._specs = input_specs(self._function, self.card)
        self._outputs = outputs_read(self._function, self.card)
        self.batch = static_size(self._specs[waveform_input(self.card).name], waveform_input(self.card).layout, "b")
        self.frames: int | None = None  #: frames of framewise outputs per window
        self._try_out()

    def predict(self, windows: FloatArray) -> dict[str, FloatArray]:
        """The outputs that are not ignored, by name, for at most `card.device_batch` windows.

        The device sees batches of few sizes (the model's own fixed one; otherwise powers of two and `device_batch`),
        filled up with the last window: neither XLA nor cuDNN has to prepare for more.

        Raises:
            ModelError: if the model fails, or gives something else than its card says: NaN, other shapes, no scores.
        """
        if "b" not in waveform_input(self.card).layout:
            singles = [self._call(window[None]) for window in windows]
            return {name: np.concatenate([single[name] for single in singles]) for name in singles[0]}
        size = self.batch or _next_size(len(windows), self.card.device_batch)
        chunks = [windows[start : start + size] for start in range(0, len(windows), size)]
        parts = [self._call(chunk, size) for chunk in chunks]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _call(self, windows: FloatArray, size: int = 1) -> dict[str, FloatArray]:
        # Filled up with what is there: a model that cannot stand silence is not to see any of our making.
        filled = np.concatenate([windows, np.repeat(windows[-1:], size - len(windows), axis=0)])
        try:
            feeds = {tensor.name: _feed(tensor, filled, self._specs[tensor.name]) for tensor in self.card.inputs}
            given = self._function(**feeds)
        except tf.errors.OpError as error:
            words = str(error.message).splitlines()[0]
            raise ModelError(
                "model_failed", f"{self.card.name} failed: {words}", "Run `songscan models check`"
            ) from error
        return {
            output.name: _read(self.card, output, given[output.name].numpy(), size)[: len(windows)]
            for output in self._outputs
        }

    def _try_out(self) -> None:
        """One call on faint noise."""
        shape = (1, self.card.window_samples, self.card.channels)
        given = self.predict(np.random.default_rng(0).normal(0.0, 1e-3, shape).astype(np.float32))
        for output in self._outputs:
            if output.role == "frame_scores":
                self.frames = given[output.name].shape[1]
                self._check_frames()

    def _check_frames(self) -> None:
        card, frames = self.card, self.frames or 0
        hop = card.frame_hop_samples or 1
        if frames * hop < card.hop_samples:
            raise ModelError(
                "wrong_frames",
                f"{frames} frames every {hop} samples do not reach from one window to the next, {card.hop_samples}",
                "Correct frame_hop_samples, or make hop_samples smaller",
            )


def _load(folder: Path) -> Any:
    """The SavedModel, or what its graph alone gives where its Python objects are of classes that exist no more."""
    try:
        return tf.saved_model.load(str(folder))
    except AttributeError:  # such as the optimiser that Keras 2 stores with its slots
        return load_v1_in_v2.load(str(folder), [tf.saved_model.SERVING])


# Values ---------------------------------------------------------------------------------------------------------


def _next_size(count: int, most: int) -> int:
    """The size of the device batch that holds `count` windows.

    >>> [_next_size(count, 24) for count in (1, 3, 16, 17, 40)]
    [1, 4, 16, 24, 24]
    """
    return min(1 << (count - 1).bit_length(), most)


def _feed(tensor: Input, windows: FloatArray, spec: Any) -> Any:
    """What goes into an input."""
    if tensor.role == "constant":
        shape = [] if spec.shape.rank is None else [1 if size is None else size for size in spec.shape.as_list()]
        return tf.fill(shape, tf.cast(tensor.value, spec.dtype))
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
    return tf.constant(axes, spec.dtype)


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
