"""One step of training, on one device, on several of a machine, or on several machines.

Conventions. A step takes the whole batch's loss as the mean over its examples, however they are spread. Under Keras 3,
`fit` raises within MultiWorkerMirroredStrategy (keras #20585), so the step is our own there. Several machines are told
by the environment variable TF_CONFIG, as TensorFlow has it; it must be known before TensorFlow does anything.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras

from models.configs import ConfigError

Loss = Callable[[Any, Any], Any]
Step = Callable[[Any, Any], float]


class OneDevice:
    """Whatever Keras' backend is: Keras' own step."""

    replicas = 1
    chief = True

    def places(self, batch: int) -> range:
        """The places of the batch whose examples are made here."""
        return range(batch)

    def scope(self) -> AbstractContextManager[Any]:
        """Where network and optimizer are made."""
        return contextlib.nullcontext()

    def step(self, network: keras.Model, optimizer: Any, loss: Loss) -> Step:
        """A function of inputs and targets that makes one step, and gives the mean loss before it."""
        network.compile(optimizer=optimizer, loss=lambda targets, outputs: loss(outputs, targets))

        def step(inputs: Any, targets: Any) -> float:
            network.reset_metrics()
            return float(network.train_on_batch(inputs, targets))

        return step


class TensorFlowDevices:
    """All that TensorFlow has here; with TF_CONFIG, on all the machines that it names.

    Args:
        devices: names of those to use, such as CPU:0 and CPU:1; all GPUs, or else the processor, if None.
    """

    def __init__(self, devices: Sequence[str] | None = None) -> None:
        import tensorflow as tf

        self._tf = tf
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}")
        workers = len(cluster.get("cluster", {}).get("worker", [None]))
        index = int(cluster.get("task", {}).get("index", 0))
        self.strategy = _strategy(tf, workers, devices)
        self.replicas = int(self.strategy.num_replicas_in_sync)
        self.chief = index == 0
        self._first, self._local = index * self.replicas // workers, self.replicas // workers

    def places(self, batch: int) -> range:
        """The places of the batch whose examples are made here.

        Raises:
            ConfigError: if the batch cannot be spread evenly.
        """
        if batch % self.replicas:
            raise ConfigError(f"a batch of {batch} cannot be spread over {self.replicas} devices: take a multiple")
        each = batch // self.replicas
        return range(self._first * each, (self._first + self._local) * each)

    def scope(self) -> AbstractContextManager[Any]:
        """Where network and optimizer are made."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def step(self, network: keras.Model, optimizer: Any, loss: Loss) -> Step:
        """A function of inputs and targets, those made here, that makes one step, and gives the mean loss before it."""
        tf, strategy, replicas = self._tf, self.strategy, self.replicas

        def replica(inputs: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                outputs = tf.cast(network(inputs, training=True), tf.float32)  # mixed precision gives 16 bits
                lost = tf.reduce_mean(loss(outputs, targets))
                scaled = optimizer.scale_loss(lost)
            gradients = tape.gradient(scaled, network.trainable_variables)
            if replicas > 1:
                # The optimizer sums over replicas, but clips before: it gets their mean's share, everywhere the same.
                summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
                gradients = [gradient / replicas**2 for gradient in summed]
            optimizer.apply(gradients, network.trainable_variables)
            return lost

        @tf.function(autograph=False, reduce_retracing=True)
        def spread(inputs: Any, targets: Any) -> Any:
            lost = strategy.run(replica, args=(inputs, targets))
            return strategy.reduce(tf.distribute.ReduceOp.MEAN, lost, axis=None)

        return lambda inputs, targets: float(spread(self._share(inputs), self._share(targets)))

    def _share(self, arrays: Any) -> Any:
        """Each local replica's slice of what was made here."""
        each = len(arrays) // self._local

        def slice_of(context: Any) -> Any:
            local = int(context.replica_id_in_sync_group) - self._first
            return self._tf.constant(arrays[local * each : (local + 1) * each])

        return self.strategy.experimental_distribute_values_from_function(slice_of)


def _strategy(tf: Any, workers: int, devices: Sequence[str] | None) -> Any:
    if workers > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    names = devices or [f"GPU:{n}" for n, _ in enumerate(tf.config.list_logical_devices("GPU"))]
    return tf.distribute.MirroredStrategy(list(names)) if len(names) > 1 else tf.distribute.get_strategy()


def all_devices() -> OneDevice | TensorFlowDevices:
    """Those that this process can train on."""
    return TensorFlowDevices() if keras.backend.backend() == "tensorflow" else OneDevice()
