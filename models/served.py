"""A model that TensorFlow Serving, or another server of its PredictionService, computes.

Conventions. As models/model.py: windows go in and outputs come out as of a model in this process, in the same calls.
Several requests are in flight (models/connection.py), each below the endpoint's limit of messages. The card says what
the results are filed under, so it must be the card of what is served: an answer of another version than was asked for,
or than the card has if that is a number, or than answered before, ends the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from models.card import ModelCard, ModelError
from models.connection import Connection
from models.endpoint import Endpoint
from models.model import Model, Tensors
from models.signature import signature_of
from models.warmup import LEVEL

FILLED = 0.9  #: how full messages are made: integers take more or less room with their values


class ServedModel(Model):
    """A model on a server, whose signature fits `card`; called once to see that it gives what that says.

    Raises:
        ModelError: if it cannot be reached, or naming what does not fit, and what to change.
    """

    def __init__(self, card: ModelCard, endpoint: Endpoint) -> None:
        self.card = card
        self._endpoint = endpoint
        self._connection = Connection(endpoint)
        self._stub = PredictionServiceStub(self._connection.channel)
        self._most = 1
        self.version = endpoint.version  #: that has to answer, once it is known
        if self.version is None and card.version.isdecimal():
            self.version = int(card.version)
        signature = signature_of(self._signatures(), card)
        super().__init__(card, _specs(signature.inputs), _specs(signature.outputs))
        self._most = self._fitting()
        self.try_out()

    @property
    def most(self) -> int:
        """How many windows go into one call: a device batch, or as many as fit into a message."""
        return self._most

    def answers(self, calls: Iterable[Tensors]) -> Generator[Tensors, None, None]:
        """See `Model`."""
        requests = (self._request(feeds) for feeds in calls)
        with contextlib.closing(self._connection.answers(self._stub.Predict, requests)) as answers:
            for answer in answers:
                self._check_version(answer.model_spec)
                yield self._tensors(answer)

    def _signatures(self) -> Mapping[str, Any]:
        request = GetModelMetadataRequest(model_spec=self._spec(), metadata_field=["signature_def"])
        answer = self._connection.answer(self._stub.GetModelMetadata, request)
        self._check_version(answer.model_spec)
        signatures = SignatureDefMap()
        if not answer.metadata["signature_def"].Unpack(signatures):
            raise ModelError("bad_answer", f"{self._endpoint.uri} tells no signatures", "Is it TensorFlow Serving?")
        return {
            name: its for name, its in signatures.signature_def.items() if not name.startswith("__")
        }  # TensorFlow's

    def _spec(self) -> ModelSpec:
        spec = ModelSpec(name=self._endpoint.name)
        if self._endpoint.version is not None:
            spec.version.value = self._endpoint.version
        return spec

    def _request(self, feeds: Tensors) -> PredictRequest:
        request = PredictRequest(model_spec=self._spec(), output_filter=[output.name for output in self._outputs])
        request.model_spec.signature_name = self.card.signature
        for name, value in feeds.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def _tensors(self, answer: Any) -> Tensors:
        try:
            return {output.name: tf.make_ndarray(answer.outputs[output.name]) for output in self._outputs}
        except (KeyError, TypeError, ValueError) as error:
            there = ", ".join(sorted(answer.outputs)) or "none"
            words = f"{self._endpoint.uri} answered without the outputs of its signature, or damaged ones ({error})"
            raise ModelError("bad_answer", words, f"Outputs in the answer: {there}", costs="run") from error

    def _fitting(self) -> int:
        """How many windows fit into a message and their outputs into another, by what the smallest call takes.

        Raises:
            ModelError: if not even that fits.
        """
        windows = np.full((1, self.card.window_samples, self.card.channels), LEVEL, np.float32)
        request = self._request(self.feeds(windows))
        answer = self._connection.answer(self._stub.Predict, request)
        self._check_version(answer.model_spec)
        window_bytes = max(request.ByteSize(), answer.ByteSize()) / self.sizes[0]
        return max(1, min(self.card.device_batch, int(FILLED * self._endpoint.message_bytes / window_bytes)))

    def _check_version(self, spec: Any) -> None:
        """Raises ModelError if another version answers than has to. Servers other than Serving may not tell it."""
        if not spec.HasField("version"):
            return
        if self.version is None:
            self.version = spec.version.value
        if spec.version.value == self.version:
            return
        words = f"{self._endpoint.uri} answers with version {spec.version.value}, not {self.version}"
        alone = dataclasses.replace(self._endpoint, version=self.version).uri
        advice = (
            f"Results are filed under version {self.card.version}, that of its card. {alone} asks for that one alone; "
            f"for version {spec.version.value} give the card of that"
        )
        raise ModelError("wrong_version", words, advice, costs="run")


def _specs(tensors: Mapping[str, Any]) -> dict[str, tf.TensorSpec]:
    """Of the inputs or outputs of a SignatureDef."""
    return {
        name: tf.TensorSpec(tf.TensorShape(tensor.tensor_shape), tf.dtypes.as_dtype(tensor.dtype))
        for name, tensor in tensors.items()
    }
