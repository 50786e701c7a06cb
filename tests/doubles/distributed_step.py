"""Run in a process of its own: one step on several devices, and what became of the weights, as an .npz file.

python -m tests.doubles.distributed_step OUT mirrored|single|worker
"""

import sys

import numpy as np
import tensorflow as tf


def main(out, kind):
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    import keras

    from models.steps import TensorFlowDevices

    devices = TensorFlowDevices(["CPU:0", "CPU:1"] if kind == "mirrored" else None)
    keras.utils.set_random_seed(0)
    with devices.scope():
        inputs = keras.Input((5,))
        network = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(7, activation="tanh")(inputs)))
        optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.3 / devices.replicas)  # plain: steps are gradients
        optimizer.build(network.trainable_variables)
        step = devices.step(network, optimizer, lambda outputs, targets: keras.ops.square(outputs - targets)[:, 0])
    random, losses, here = np.random.default_rng(0), [], devices.places(8)
    for _ in range(3):
        x, y = random.normal(0, 1, (8, 5)).astype(np.float32), random.normal(0, 3, (8, 1)).astype(np.float32)
        losses.append(step(x[here.start : here.stop], y[here.start : here.stop]))
    values = {f"v{n}": keras.ops.convert_to_numpy(variable) for n, variable in enumerate(network.variables)}
    np.savez(out, losses=losses, replicas=devices.replicas, chief=devices.chief, **values)


if __name__ == "__main__":
    main(*sys.argv[1:])
