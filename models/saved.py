"""SavedModels with their cards: saving, loading, and calling them in this process, whatever their exporter's taste.

Conventions. As models/model.py. TensorFlow is imported by this module, so import it where a model is used. How many
threads TensorFlow takes is said by the environment (TF_NUM_INTRAOP_THREADS, TF_NUM_INTEROP_THREADS), since it must be
known before TensorFlow starts.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model import load_v1_in_v2  # what tf.saved_model.load itself uses for graphs of TF 1

from models.card import CARD_PATH, ModelCard, ModelError, read_card
from models.model import Model, Tensors
from models.signature import signature_of
from models.warmup import write_warmup


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
            write_warmup(LoadedModel(made), made)
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


class LoadedModel(Model):
    """A SavedModel ready to be called; checked against its card, and called once to see that it gives what that says.

    Args:
        folder: local.

    Raises:
        ModelError: naming what does not fit, and what to change.
    """

    def __init__(self, folder: Path) -> None:
        prepare_devices()
        card = read_card(folder)
        try:
            self._owner = _load(folder)  # keeps the variables of the signature alive
        except (OSError, ValueError, tf.errors.OpError) as error:
            words = str(error).splitlines()[0]
            advice = "A SavedModel directory holds saved_model.pb and variables/; export it again"
            raise ModelError("not_loadable", f"the model in {folder} cannot be loaded ({words})", advice) from error
        # A SavedModel of objects other than modules has no signatures.
        self._function = signature_of(getattr(self._owner, "signatures", None) or {}, card)
        super().__init__(card, self._function.structured_input_signature[1], self._function.structured_outputs)
        self.try_out()

    def answers(self, calls: Iterable[Tensors]) -> Generator[Tensors, None, None]:
        """See `Model`."""
        for feeds in calls:
            try:
                given = self._function(**{name: tf.constant(value) for name, value in feeds.items()})
            except tf.errors.OpError as error:
                words = str(error.message).splitlines()[0]
                advice = "Run `songscan models check`"
                raise ModelError("model_failed", f"{self.card.name} failed: {words}", advice) from error
            yield {output.name: given[output.name].numpy() for output in self._outputs}


def _load(folder: Path) -> Any:
    """The SavedModel, or what its graph alone gives where its Python objects are of classes that exist no more."""
    try:
        return tf.saved_model.load(str(folder))
    except AttributeError:  # such as the optimiser that Keras 2 stores with its slots
        return load_v1_in_v2.load(str(folder), [tf.saved_model.SERVING])
