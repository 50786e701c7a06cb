"""One training loop for all networks: resumable, averaged, on any backend of Keras, on one device or many.

Conventions. A recipe says what is trained: its network, its examples (plain arrays, a function of (seed, step, place in
the batch)), its loss per example, its metrics on held-out data. Nothing else is random, and all that changes is in the
checkpoint: a run that is killed and goes on ends where an uninterrupted one does. Files of a run, in its folder:
checkpoint.npz, best.npz (averaged weights of the best evaluation), log.jsonl, and TensorBoard's in events/.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Protocol

import keras
import numpy as np
import numpy.typing as npt

from models.checkpoint import CheckpointError, State, assign, read_weights, values_of, write_weights
from models.configs import Above, Count, NotBelow, Share, Whole, config
from models.steps import OneDevice, TensorFlowDevices, all_devices

FloatArray = npt.NDArray[np.float32]
Example = tuple[Any, Any]
Metrics = dict[str, float]
AHEAD = 4  #: batches made before they are wanted


class Recipe(Protocol):
    """What is trained."""

    monitor: str  #: the metric by which the best weights are chosen; more is better

    def network(self) -> keras.Model:
        """Untrained, drawn from keras.utils.set_random_seed's seed."""

    def example(self, step: int, place: int) -> Example:
        """Input and target, without the axis of the batch; the same ones whenever it is called, by any thread."""

    def loss(self, outputs: Any, targets: Any) -> Any:
        """By keras.ops: one number per example, [batch]."""

    def evaluate(self, predict: Callable[[FloatArray], FloatArray]) -> Metrics:
        """On held-out data; empty if nothing is held out."""


@config
class TrainConfig:
    """How it is trained.

    Args:
        batch: examples of a step, of all devices together.
        learning_rate: the highest, reached after `warmup_steps`; from there it falls to 0 at the last step (cosine).
        clip_norm: of the gradient of all weights together.
        average: decay per step of the averaged weights, which are the result.
        patience: stop after so many evaluations without a better one; never if None.
        precision: Keras' policy; mixed_bfloat16 helps on GPUs, not on processors.
        threads: that make examples.
    """

    seed: Whole = 0
    steps: Count = 4000
    batch: Count = 4
    learning_rate: Above = 2e-3
    warmup_steps: Whole = 100
    weight_decay: NotBelow = 1e-4
    clip_norm: Above = 5.0
    average: Share = 0.995
    evaluate_every: Count = 250
    checkpoint_every: Count = 100
    patience: Count | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    threads: Count = 2


def train(
    recipe: Recipe,
    settings: TrainConfig,
    out: Path,
    report: Callable[[int, Metrics], None] = lambda step, metrics: None,
    devices: OneDevice | TensorFlowDevices | None = None,
    start: Path | None = None,
) -> keras.Model:
    """The network of `recipe`, trained, with its best averaged weights.

    Args:
        out: the run's folder; a run that is there goes on.
        report: hears of the loss after each step, and of evaluations.
        devices: all that are here if None.
        start: weights (best.npz of another run of the same network) to start from; at random if None.

    Raises:
        CheckpointError: if `out` or `start` holds another network's.
        FloatingPointError: if the loss is no number any more.
        DataError: if an example cannot be made.
    """
    devices = devices or all_devices()
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(settings.precision)
    try:
        with devices.scope():
            network, optimizer = recipe.network(), _optimizer(settings, devices.replicas)
            optimizer.build(network.trainable_variables)
            state = _state(network, optimizer, out, start)
            step = devices.step(network, optimizer, recipe.loss)
            places = devices.places(settings.batch)
            for inputs, targets in batches(recipe, places, state.step, settings.steps, settings.threads):
                _advance(state, step(inputs, targets), settings, report)
                if state.step % settings.evaluate_every == 0 or state.step == settings.steps:
                    report(state.step, evaluate(recipe, network, state, out if devices.chief else None))
                if devices.chief and (state.step % settings.checkpoint_every == 0 or state.step == settings.steps):
                    state.save(out / "checkpoint.npz")
                if settings.patience is not None and state.since_best > settings.patience:
                    break
            assign(network.variables, read_weights(out / "best.npz"))
    finally:
        keras.config.set_dtype_policy("float32")
    return network


def _state(network: keras.Model, optimizer: Any, out: Path, start: Path | None) -> State:
    out.mkdir(parents=True, exist_ok=True)
    if start is not None:
        _begin(network, start)
    state = State(network, optimizer)
    if (out / "checkpoint.npz").exists():
        state.load(out / "checkpoint.npz")
    return state


def _begin(network: keras.Model, start: Path) -> None:
    try:
        assign(network.variables, read_weights(start))
    except ValueError as error:
        raise CheckpointError(f"{start} holds the weights of another network: {error}") from None


def _advance(state: State, lost: float, settings: TrainConfig, report: Callable[[int, Metrics], None]) -> None:
    if not np.isfinite(lost):
        raise FloatingPointError(f"the loss is {lost} at step {state.step}: try a lower learning_rate")
    state.step += 1
    state.average(settings.average)
    report(state.step, {"loss": lost})


def _optimizer(settings: TrainConfig, replicas: int) -> Any:
    warmup = min(settings.warmup_steps, settings.steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else settings.learning_rate,
        settings.steps - warmup,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    clip = settings.clip_norm / replicas  # see models/steps.py
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, global_clipnorm=clip)
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def batches(recipe: Recipe, places: range, first: int, last: int, threads: int) -> Iterator[Example]:
    """The examples at `places` of steps `first` to `last` (exclusive), stacked, in order, made ahead by threads."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[list[Future[Example]]] = collections.deque()
        try:
            for step in range(first, last):
                for upcoming in range(step + len(waiting), min(step + AHEAD, last)):
                    waiting.append([pool.submit(recipe.example, upcoming, place) for place in places])
                made = [future.result() for future in waiting.popleft()]
                yield np.stack([inputs for inputs, _ in made]), np.stack([targets for _, targets in made])
        finally:
            pool.shutdown(cancel_futures=True)


def evaluate(recipe: Recipe, network: keras.Model, state: State, out: Path | None) -> Metrics:
    """Metrics of the averaged weights, which are kept in `out`/best.npz if they are the best so far."""
    trained = values_of(network)
    assign(network.variables, state.averages)
    metrics = recipe.evaluate(lambda inputs: np.asarray(network(inputs, training=False), np.float32))
    assign(network.variables, trained)
    if recipe.monitor not in metrics or metrics[recipe.monitor] > state.best:  # nothing held out: the newest is best
        state.best, state.since_best = metrics.get(recipe.monitor, -np.inf), 0
        if out is not None:
            write_weights(out / "best.npz", state.averages)
    else:
        state.since_best += 1
    return metrics
