"""The training loop on a network that can be followed by hand: it learns, resumes to the bit, averages and stops."""

import keras
import numpy as np
import pytest

from models.checkpoint import CheckpointError, read_weights
from models.steps import OneDevice, TensorFlowDevices
from models.train import TrainConfig, batches, train


class Line:
    """y = 2 x - 1, from noisy points; batch normalisation and dropout are on the way."""

    monitor = "score"

    def __init__(self, measured=True):
        self._measured = measured

    def network(self):
        inputs = keras.Input((3,))
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation="tanh")(inputs))
        return keras.Model(inputs, keras.layers.Dense(1)(hidden))

    def example(self, step, place):
        x = np.random.default_rng([step, place]).normal(0, 1, 3).astype(np.float32)
        return x, 2 * x[:1] - 1

    def loss(self, outputs, targets):
        return keras.ops.mean(keras.ops.square(outputs - targets), axis=-1)

    def evaluate(self, predict):
        x = np.random.default_rng(9).normal(0, 1, (64, 3)).astype(np.float32)
        return {"score": -float(np.mean((predict(x)[:, 0] - 2 * x[:, 0] + 1) ** 2))} if self._measured else {}


SETTINGS = TrainConfig(steps=30, warmup_steps=3, batch=4, learning_rate=0.02, evaluate_every=10, checkpoint_every=7)


class KilledError(Exception):
    pass


def values(network):
    return [keras.ops.convert_to_numpy(variable) for variable in network.variables]


def run(out, settings=SETTINGS, killed_at=None, recipe=None, **kwargs):
    told = []

    def report(step, metrics):
        told.append((step, metrics))
        if step == killed_at:
            raise KilledError

    return train(recipe or Line(), settings, out, report, **kwargs), told


def test_it_learns(tmp_path):
    long = TrainConfig(steps=400, batch=8, learning_rate=0.02, evaluate_every=100)
    told = [metrics["score"] for _, metrics in run(tmp_path, long)[1] if "score" in metrics]
    assert told[-1] > -0.2 > told[0]


@pytest.mark.parametrize("killed_at", [3, 8, 20, 29])
def test_killed_and_resumed_it_ends_where_an_uninterrupted_run_does(tmp_path, killed_at):
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "broken", killed_at=killed_at)
    resumed, told = run(tmp_path / "broken")
    assert told[0][0] == killed_at // 7 * 7 + 1
    for mine, theirs in zip(values(resumed), values(whole), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_result_is_the_best_average(tmp_path):
    network, told = run(tmp_path)
    best = max(metrics["score"] for _, metrics in told if "score" in metrics)
    assert Line().evaluate(lambda x: np.asarray(network(x)))["score"] == pytest.approx(best, abs=1e-6)
    for mine, kept in zip(values(network), read_weights(tmp_path / "best.npz"), strict=True):
        np.testing.assert_array_equal(mine, kept)


def test_without_held_out_data_the_newest_weights_are_kept(tmp_path):
    network, told = run(tmp_path, recipe=Line(measured=False))
    assert [metrics for step, metrics in told if step == 30 and "loss" not in metrics] == [{}]
    assert np.abs(values(network)[0]).max() > 0


def test_it_stops_when_nothing_gets_better(tmp_path):
    stuck = TrainConfig(
        steps=100, warmup_steps=0, batch=2, learning_rate=1e-12, average=0.0, evaluate_every=1, patience=3
    )
    _, told = run(tmp_path, stuck)
    assert told[-1][0] < 30


def test_keras_own_step_makes_the_same(tmp_path):
    """The step for backends without tf.distribute."""
    ours, _ = run(tmp_path / "ours", devices=TensorFlowDevices())
    keras_own, _ = run(tmp_path / "keras", devices=OneDevice())
    for mine, theirs in zip(values(ours), values(keras_own), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_weights_in_32_bits(tmp_path, precision):
    network, told = run(tmp_path, TrainConfig(steps=20, batch=4, evaluate_every=10, precision=precision))
    assert {str(value.dtype) for value in values(network)} == {"float32"}
    assert network.layers[1].compute_dtype == precision.removeprefix("mixed_")
    assert np.isfinite([metrics["loss"] for _, metrics in told if "loss" in metrics]).all()
    assert keras.config.dtype_policy().name == "float32"


def test_it_starts_from_other_weights(tmp_path):
    first, _ = run(tmp_path / "first")
    still = TrainConfig(steps=1, warmup_steps=0, batch=2, learning_rate=1e-12, weight_decay=0.0, average=0.0)
    second, _ = run(tmp_path / "second", still, start=tmp_path / "first" / "best.npz")
    for mine, theirs in zip(second.trainable_variables, first.trainable_variables, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), atol=1e-6)


def test_a_checkpoint_of_another_network_is_told(tmp_path):
    run(tmp_path)

    class Other(Line):
        def network(self):
            inputs = keras.Input((3,))
            return keras.Model(inputs, keras.layers.Dense(1)(inputs))

    with pytest.raises(CheckpointError, match="is of another network"):
        run(tmp_path, recipe=Other())


def test_a_damaged_checkpoint_is_told(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz cannot be read"):
        run(tmp_path)


def test_a_loss_that_is_no_number_ends_it(tmp_path):
    class Broken(Line):
        def loss(self, outputs, targets):
            return keras.ops.log(-keras.ops.square(outputs[:, 0]) - 1)

    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        run(tmp_path, recipe=Broken())


def test_batches_come_in_order_whatever_the_threads_do():
    given = [inputs for inputs, _ in batches(Line(), range(4), 2, 12, 3)]
    assert len(given) == 10
    for step, inputs in enumerate(given, 2):
        np.testing.assert_array_equal(inputs, [Line().example(step, place)[0] for place in range(4)])


def test_an_error_of_a_thread_comes_through():
    class Failing(Line):
        def example(self, step, place):
            if step == 3:
                raise ValueError("no such example")
            return super().example(step, place)

    made = batches(Failing(), range(2), 0, 10, 2)
    with pytest.raises(ValueError, match="no such example"):
        list(made)
