"""The detector as others see it: waveform in, probabilities out, as a SavedModel with its card.

Conventions. Windows are float32 [batch, FRAMES * HOP, CHANNELS] at 44.1 kHz; `probabilities` is [batch, FRAMES,
classes] in the order of models.events.CLASSES. Features are in the graph (models/detection/features.py). Weights are
constants of it, so that TensorFlow folds normalisation into convolutions when it loads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.card import Input, Label, Licences, Metric, ModelCard, Output
from models.detection.features import features
from models.detection.network import CHANNELS, FRAMES, HOP, RATE_HZ
from models.events import CLASSES, Fusion
from models.saved import save

Tensor = Any
OVERLAP = 50  #: frames that windows share: half a second, over which probabilities are cross-faded


class Exported(tf.Module):
    """What is exported."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        spec = tf.TensorSpec([None, FRAMES * HOP, CHANNELS], tf.float32, name="waveform")
        heard = tf.function(lambda waveform: network(features(waveform), training=False), autograph=False)
        constant = convert_variables_to_constants_v2(heard.get_concrete_function(spec))

        def call(waveform: Tensor) -> dict[str, Tensor]:
            told = constant(waveform)[0]
            told.set_shape([None, FRAMES, len(CLASSES)])
            return {"probabilities": told}

        self._call = tf.function(call, input_signature=[spec], autograph=False)

    @property
    def __call__(self) -> Any:
        """Windows [batch, FRAMES * HOP, CHANNELS] to {"probabilities": ...}; what models.saved.save exports."""
        return self._call


def card(
    name: str,
    version: str,
    licences: Licences,
    metrics: Sequence[Metric],
    trained_by: str = "",
) -> ModelCard:
    """The card of a detector whose fusions are still to be chosen."""
    return ModelCard(
        name=name,
        version=version,
        task="defects",
        summary="Convolutional recurrent network on log-mel and features of short events, trained with weak labels.",
        licences=licences,
        inputs=(Input(name="waveform", layout="btc"),),
        outputs=(Output(name="probabilities", role="frame_scores", layout="bfl"),),
        sample_rate_hz=RATE_HZ,
        channels=CHANNELS,
        window_samples=FRAMES * HOP,
        hop_samples=(FRAMES - OVERLAP) * HOP,
        frame_hop_samples=HOP,
        device_batch=4,
        labels=tuple(Label(name=name, fusion=Fusion()) for name in CLASSES),
        thresholds_chosen="not chosen yet",
        metrics=tuple(metrics),
        trained_by=trained_by,
    )


def settled(its: ModelCard, how: Mapping[str, tuple[Fusion | None, str]], words: str) -> ModelCard:
    """The card with the fusion of each class, if the network tells it, and what settles it (`by` of Label).

    Args:
        words: how they were chosen.
    """
    return its.model_copy(
        update={
            "labels": tuple(Label(name=name, fusion=how[name][0], by=how[name][1]) for name in CLASSES),
            "thresholds_chosen": words,
        }
    )


def export(network: keras.Model, its: ModelCard, folder: Path) -> None:
    """Writes the SavedModel to `folder`.

    Raises:
        ModelError: if it cannot be written.
    """
    save(Exported(network), its, folder)
