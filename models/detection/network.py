"""The detector: a convolutional recurrent network from features to the probability of each defect, frame by frame.

Conventions. Features are [batch, FRAMES, FEATURES] (models/detection/features.py), probabilities [batch, FRAMES,
classes] in the order of models.events.CLASSES. Frame n stands for the samples from n * HOP to (n + 1) * HOP. Labels are
weak: [batch, classes], 1 where the clip has the class somewhere.

The pattern is the CRNN of Cakir, Parascandolo, Heittola, Huttunen and Virtanen, "Convolutional Recurrent Neural
Networks for Polyphonic Sound Event Detection", 2017: convolutions that pool along frequency, then a bidirectional GRU.
Here the convolutions over the mel spectrum run at half the frame rate, which halves what training costs, and the GRU at
a quarter of it, for its steps cost more than their arithmetic. Both join convolutions along time alone over all
features at the full rate, so that a click keeps its frame.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from models.configs import Count, Share, config
from models.events import CLASSES

RATE_HZ = 44_100  #: that of most recordings: held and zero samples stay what they are
CHANNELS = 2
HOP = 441  #: samples, 10 ms
FRAMES = 800  #: of a window
BANDS = 64  #: of the mel spectrum
FEATURES = BANDS + 12 + 14 + 4 + 3 + 25
CELL = 10  #: frames of which the highest counts in a clip: 0.1 s, the resolution asked for
SLOWER = 4  #: frames of a step of the GRU


@config
class NetworkConfig:
    """The size of the network.

    Args:
        channels: of the convolutions over the mel spectrum; each halves the bands.
        wide: channels of what is put together, frame by frame.
        recurrent: units of the GRU, each way.
        dropout: share of what goes into the last layers that is left out in training.
    """

    channels: tuple[Count, ...] = (8, 16, 24, 32)
    wide: Count = 64
    recurrent: Count = 32
    dropout: Share = 0.1


def network(size: NetworkConfig) -> keras.Model:
    """Features [batch, FRAMES, FEATURES] to probabilities [batch, FRAMES, classes]."""
    heard = keras.Input((FRAMES, FEATURES), name="features")
    x = layers.BatchNormalization(name="scale")(heard)
    mel = layers.Reshape((FRAMES, BANDS, 1))(x[..., :BANDS])
    for place, channels in enumerate(size.channels):
        stride = (2, 2) if place == 0 else (1, 2)
        mel = _normalised(layers.Conv2D(channels, 3, stride, padding="same", use_bias=False))(mel)
    mel = _normalised(layers.Conv1D(size.wide, 1, use_bias=False))(layers.Reshape((FRAMES // 2, -1))(mel))
    mel = layers.UpSampling1D(2)(mel)
    events = _normalised(layers.Conv1D(size.wide, 3, padding="same", use_bias=False))(x)
    frames = layers.Concatenate()([mel, events])
    frames = _normalised(layers.Conv1D(size.wide, 3, padding="same", use_bias=False))(frames)
    last = layers.Concatenate()([frames, _context(frames, size)])
    last = layers.Dropout(size.dropout)(last)
    last = _normalised(layers.Conv1D(size.wide, 3, padding="same", use_bias=False))(last)
    # Defects are rare: begun with at 1 %, frames without one need not be unlearnt first.
    rare = keras.initializers.Constant(-4.6)
    told = layers.Conv1D(len(CLASSES), 1, activation="sigmoid", bias_initializer=rare, name="probabilities")(last)
    return keras.Model(heard, told, name="defects")


def _normalised(layer: Any) -> Any:
    """`layer`, its outputs normalised over the batch and rectified."""

    def apply(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.98)(layer(x)))

    return apply


def _context(frames: Any, size: NetworkConfig) -> Any:
    """What is heard before and after each frame, from steps of SLOWER frames: [batch, FRAMES, 2 recurrent]."""
    both = [pool(SLOWER)(frames) for pool in (layers.MaxPooling1D, layers.AveragePooling1D)]
    steps = _normalised(layers.Conv1D(size.wide, 3, padding="same", use_bias=False))(layers.Concatenate()(both))
    return layers.UpSampling1D(SLOWER)(BothWays(size.recurrent)(steps))


class BothWays(layers.Layer):
    """A GRU forwards and another one backwards over [batch, steps, inputs]: [batch, steps, 2 units].

    As layers.Bidirectional(layers.GRU(units, return_sequences=True)), with weights in its order; but both take their
    steps together, and what the inputs add to each is computed before the first: less than half as many operations.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units
        self.ways = [layers.GRUCell(units), layers.GRUCell(units)]

    def build(self, shape: Any) -> None:
        """Draws the weights for inputs of `shape`."""
        for cell in self.ways:
            cell.build(shape)

    def call(self, heard: Any) -> Any:
        """See the class."""
        units, kernel, recurrent = self.units, self._of_both("kernel"), self._of_both("recurrent_kernel")
        bias = self._of_both("bias")[:, :, None]  # [ways, of inputs and of states, 1, 3 units]
        both = ops.stack([heard, ops.flip(heard, axis=1)])
        given = ops.transpose(ops.matmul(both, kernel[:, None]) + bias[:, :1], (2, 0, 1, 3))

        def step(state: Any, given: Any) -> tuple[Any, Any]:
            kept = ops.matmul(state, recurrent) + bias[:, 1]
            gates = ops.sigmoid(given[..., :-units] + kept[..., :-units])
            update, reset = gates[..., :units], gates[..., units:]
            new = ops.tanh(given[..., -units:] + reset * kept[..., -units:])
            state = new + update * (state - new)
            return state, state

        _, states = ops.scan(step, ops.zeros_like(given[0, ..., :units]), given)
        forwards, backwards = ops.unstack(ops.transpose(states, (1, 2, 0, 3)), 2)
        return ops.concatenate([forwards, ops.flip(backwards, axis=1)], axis=-1)

    def _of_both(self, name: str) -> Any:
        return ops.stack([getattr(cell, name).value for cell in self.ways])


def pooled(probabilities: Any) -> Any:
    """The probability that a clip has a class, [batch, classes], from those of its frames [batch, frames, classes].

    Linear softmax over cells of CELL frames: sum p^2 / sum p, with p the highest frame of a cell. Wang, Li and Metze,
    "A Comparison of Five Multiple Instance Learning Pooling Functions for Sound Event Detection with Weak Labeling",
    2019, find that linear softmax alone tells where events are: frames above half the clip's probability learn to rise
    and those below to fall, where a maximum teaches one frame of a clip only, and attention may look elsewhere than it
    tells. A click of one frame in 800 would have no weight in their sum; as one cell in 80 it has.
    """
    shape = ops.shape(probabilities)
    cells = ops.max(ops.reshape(probabilities, (shape[0], -1, CELL, shape[-1])), axis=2)
    return ops.sum(ops.square(cells), axis=1) / (ops.sum(cells, axis=1) + 1e-7)


def loss(probabilities: Any, labels: Any) -> Any:
    """Binary cross-entropy of what clips hold, [batch]; where in the clip is not asked."""
    told = ops.clip(pooled(probabilities), 1e-6, 1 - 1e-6)
    surprise = -labels * ops.log(told) - (1 - labels) * ops.log(1 - told)
    return ops.sum(surprise, axis=-1)
