"""Requests that TensorFlow Serving makes of a model before it lets anybody else: its first calls are the slow ones.

Conventions. A SavedModel carries them in assets.extra/tf_serving_warmup_requests, a TFRecord file of PredictionLogs.
There is one for each number of windows that songscan calls the model with (models/model.py), since XLA and cuDNN
prepare for each. Their windows are of one small constant, which a TensorProto tells by a single value and its shape:
a file has a few hundred bytes, whatever the windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from models.card import ModelError
from models.check import Finding
from models.model import Model, Tensors

WARMUP_PATH = "assets.extra/tf_serving_warmup_requests"  #: within a SavedModel directory, as Serving wants it
LEVEL = 1e-3  #: of their samples: -60 dBFS, for a model may not stand digital silence


def write_warmup(model: Model, folder: Path) -> None:
    """Puts the requests for `model` into its SavedModel in `folder`, in place of any that are there."""
    path = folder / WARMUP_PATH
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in model.sizes:
            log = PredictionLog()
            log.predict_log.request.CopyFrom(_request(model, size))
            writer.write(log.SerializeToString())


def _request(model: Model, size: int) -> Any:
    card = model.card
    request = PredictRequest()
    request.model_spec.name = card.name
    request.model_spec.signature_name = card.signature
    windows = np.full((size, card.window_samples, card.channels), LEVEL, np.float32)
    for name, value in model.feeds(windows).items():  # one value for all: Serving repeats the last one that it is given
        told = np.asarray(value.flat[0], value.dtype)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(told, shape=value.shape))
    return request


def check_warmup(model: Model, folder: Path) -> Iterator[Finding]:
    """Whether the requests in `folder`, if there are any, run through `model`, which was loaded from there."""
    if not (folder / WARMUP_PATH).exists():
        return
    try:
        count = _replay(model, folder)
    except ModelError as error:
        advice = "Serving would not load the model. Write them anew: songscan models export URI DIR"
        yield Finding("fail", f"warm-up requests for TensorFlow Serving: {error.message}", advice)
    else:
        yield Finding("ok", f"warm-up requests for TensorFlow Serving: {count} run")


def _replay(model: Model, folder: Path) -> int:
    """How many requests there are for the signature of the card; each is run."""
    try:
        records = list(tf.data.TFRecordDataset(str(folder / WARMUP_PATH)).as_numpy_iterator())
        logs = [PredictionLog.FromString(record) for record in records]
    except Exception as error:
        words = str(error).splitlines()[0]
        raise ModelError(
            "bad_warmup", f"{folder / WARMUP_PATH} is no TFRecord file of PredictionLogs ({words})"
        ) from error
    requests = [log.predict_log.request for log in logs]
    ours = [request for request in requests if request.model_spec.signature_name == model.card.signature]
    calls = [{name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()} for request in ours]
    for call in calls:
        if not _fits(model, call):
            told = ", ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in call.items())
            raise ModelError("bad_warmup", f"one has the inputs {told}, which the signature does not take")
    return sum(1 for _ in model.answers(calls))


def _fits(model: Model, call: Tensors) -> bool:
    """Whether names, types and shapes are those of the signature; TensorFlow does not look, and Serving does."""
    return call.keys() == model.inputs.keys() and all(
        spec.dtype == call[name].dtype and spec.shape.is_compatible_with(call[name].shape)
        for name, spec in model.inputs.items()
    )
