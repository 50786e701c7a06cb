"""TensorFlow Serving for tests: its gRPC PredictionService over our SavedModels, in a process of its own.

It loads the versioned layout BASE/NAME/VERSION as Serving does, runs the warm-up requests, answers by float_val as
Serving does unless told otherwise, and can be told of faults: one for each of the next requests to Predict. It writes
down every request. It is forked from a server of forks that has imported TensorFlow once: starting again is cheap.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    PredictionServiceServicer,
    add_PredictionServiceServicer_to_server,
)

START_S = 180.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class Server:
    """The testing end. `faults`: "ok", "die", "slow:SECONDS", "version:N", "empty", or the name of a status code."""

    def __init__(
        self, base: Path, log: Path, *, max_bytes: int = 1 << 30, tls: tuple[bytes, bytes] | None = None
    ) -> None:
        self.base, self.log, self._options, self._tls = base, log, [("grpc.max_receive_message_length", max_bytes)], tls
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, *faults: str) -> Server:
        """Starts it, or starts it again; returns when it answers."""
        self._told, theirs = _FORKS.Pipe()
        args = (self.base, self.port, self.log, theirs, self._options, self._tls)
        self.process = _FORKS.Process(target=_serve, args=args, daemon=True)
        self.process.start()
        theirs.close()
        assert self._told.poll(START_S), "the server does not start"
        assert self._told.recv() == "ready"
        return self.will(*faults) if faults else self

    def will(self, *faults: str) -> Server:
        """Has the next requests meet `faults`, in place of any told before, and forgets what was asked so far."""
        self._told.send(faults)
        assert self._told.recv() == "heard"
        self.log.write_text("")
        return self

    def asked(self, method: str = "Predict") -> list[dict[str, Any]]:
        """The requests so far: windows, fault, in_flight (with itself), version asked for."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [line for line in lines if line["method"] == method]

    def stop(self) -> None:
        self.process.kill()
        self.process.join()

    def uri(self, name: str, card: Path | str, *settings: str, scheme: str = "grpc") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{name}?{'&'.join([f'card={card}', *settings])}"


def _serve(base: Path, port: int, log: Path, told: Any, options: Any, tls: Any) -> None:
    service = _Service(base, log)
    server = grpc.server(futures.ThreadPoolExecutor(32), options=[*options, ("grpc.so_reuseport", 0)])
    add_PredictionServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        if tls
        else server.add_insecure_port(address)
    )
    assert bound == port
    server.start()
    told.send("ready")
    while True:
        try:
            service.faults = list(told.recv())
        except EOFError:  # the test has gone
            os._exit(0)
        told.send("heard")


class _Service(PredictionServiceServicer):  # type: ignore[misc]
    def __init__(self, base: Path, log: Path) -> None:
        self.faults: list[str] = []
        self._log, self._lock, self._in_flight = log, threading.Lock(), 0
        self._models = {
            (folder.parent.name, int(folder.name)): tf.saved_model.load(str(folder))
            for folder in base.glob("*/*")
            if folder.name.isdecimal()
        }
        for key in self._models:
            self._warm_up(base, *key)

    def _warm_up(self, base: Path, name: str, version: int) -> None:
        path = base / name / str(version) / "assets.extra" / "tf_serving_warmup_requests"
        for record in tf.data.TFRecordDataset(str(path)) if path.exists() else []:
            request = PredictionLog.FromString(record.numpy()).predict_log.request
            windows = self._call(name, version, request)[1]
            self._write("WarmUp", windows=windows, name=name)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        version = self._version(request.model_spec, context)
        self._write("GetModelMetadata", version=version)
        signatures = self._models[request.model_spec.name, version].signatures
        told = SignatureDefMap()
        for name, function in signatures.items():
            its = told.signature_def[name]
            for tensors, specs in (
                (its.inputs, function.structured_input_signature[1]),
                (its.outputs, function.structured_outputs),
            ):
                for key, spec in specs.items():
                    tensors[key].dtype = spec.dtype.as_datatype_enum
                    tensors[key].tensor_shape.CopyFrom(spec.shape.as_proto())
        answer = GetModelMetadataResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = version
        answer.metadata["signature_def"].Pack(told)
        return answer

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            self._in_flight += 1
            fault, _, number = (self.faults.pop(0) if self.faults else "ok").partition(":")
            self._write(
                "Predict", fault=fault, in_flight=self._in_flight, windows=_windows(request), bytes=request.ByteSize()
            )
        try:
            return self._answer(request, context, fault, number)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _answer(self, request: Any, context: Any, fault: str, number: str) -> Any:
        if fault == "die":
            os._exit(1)
        if fault == "slow":
            time.sleep(float(number))
        if fault.isupper():
            context.abort(grpc.StatusCode[fault], f"a fault for a test\nof {fault}")
        version = self._version(request.model_spec, context)
        answer = PredictResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = int(number) if fault == "version" else version
        if fault == "empty":
            return answer
        try:
            outputs, _ = self._call(request.model_spec.name, version, request)
        except (tf.errors.OpError, TypeError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        for name, value in outputs.items():
            if name in request.output_filter or not request.output_filter:
                answer.outputs[name].CopyFrom(_as_field(value))
        return answer

    def _call(self, name: str, version: int, request: Any) -> tuple[dict[str, Any], int]:
        function = self._models[name, version].signatures[request.model_spec.signature_name]
        inputs = {
            key: tf.io.parse_tensor(value.SerializeToString(), value.dtype) for key, value in request.inputs.items()
        }
        return function(**inputs), _windows(request)

    def _version(self, spec: Any, context: Any) -> int:
        there = [version for name, version in self._models if name == spec.name]
        wanted = spec.version.value if spec.HasField("version") else max(there, default=0)
        if wanted not in there:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific({spec.name}, {wanted})")
        return wanted

    def _write(self, method: str, **facts: Any) -> None:
        with self._log.open("a") as file:
            file.write(json.dumps({"method": method, **facts}) + "\n")


def _windows(request: Any) -> int:
    return max(
        (tensor.tensor_shape.dim[0].size for tensor in request.inputs.values() if tensor.tensor_shape.dim), default=1
    )


def _as_field(value: Any) -> Any:
    """A TensorProto as Serving makes it by default: of numbers in a field, not of bytes."""
    proto = tf.make_tensor_proto(0.0, value.dtype, [1])
    proto.tensor_shape.CopyFrom(value.shape.as_proto())
    proto.float_val[:] = value.numpy().ravel()
    return proto
