"""The published Spleeter separator for two stems, with random weights: what it costs, not what it does.

Conventions. After github.com/deezer/spleeter (Hennequin, Khlif, Voituret and Moussallam, "Spleeter: a fast and
efficient music source separation tool with pre-trained models", JOSS 5(50), 2020): its `unet.py` and configs/2stems.
Two U-Nets read magnitudes [segments, 512 frames, 1024 bins, 2 channels] of an STFT of 4096 samples every 1024 at
44.1 kHz, each gives those of a stem; the ratio of their squares masks the mixture, and nothing is left above bin 1024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from models.windows import FloatArray

FRAMES, BINS, WINDOW, HOP = 512, 1024, 4096, 1024
FILTERS = (16, 32, 64, 128, 256, 512)
RATE_HZ = 44_100
LEAST = 1e-10


def unet() -> keras.Model:
    """One of the two: 9.8 million parameters."""
    given = keras.Input((FRAMES, BINS, 2))
    skips, x = [], given
    for filters in FILTERS:
        skips.append(layers.Conv2D(filters, 5, 2, padding="same")(x))
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(skips[-1]))
    x = skips.pop()
    for filters in (*reversed(FILTERS[:-1]), 1):
        x = layers.ReLU()(layers.Conv2DTranspose(filters, 5, 2, padding="same")(x))
        x = layers.BatchNormalization()(x)
        if skips:
            x = layers.Concatenate()([skips.pop(), x])
    mask = layers.Conv2D(2, 4, dilation_rate=2, padding="same", activation="sigmoid")(x)
    return keras.Model(given, layers.Multiply()([mask, given]))


def networks() -> Any:
    """Both, as a function of magnitudes [segments, FRAMES, BINS, 2] that gives those of both stems."""
    both = [unet(), unet()]
    spec = tf.TensorSpec([None, FRAMES, BINS, 2], tf.float32)
    return tf.function(lambda x: [its(x, training=False) for its in both], input_signature=[spec], autograph=False)


def separate(stems: Callable[[Any], Any], samples: FloatArray) -> FloatArray:
    """The first stem of `samples` [frames, 2] at RATE_HZ, of the same shape.

    Args:
        stems: what `networks` gives.
    """
    padded = tf.pad(tf.transpose(tf.constant(samples)), [[0, 0], [WINDOW, WINDOW]])
    spectra = tf.signal.stft(padded, WINDOW, HOP, pad_end=True)  # [2, frames, WINDOW / 2 + 1]
    count = spectra.shape[1]
    low = tf.transpose(tf.abs(spectra[..., :BINS]), [1, 2, 0])
    segments = tf.reshape(tf.pad(low, [[0, -count % FRAMES], [0, 0], [0, 0]]), [-1, FRAMES, BINS, 2])
    first, second = (tf.square(its) for its in stems(segments))
    mask = (first + LEAST / 2) / (first + second + LEAST)
    mask = tf.transpose(tf.reshape(mask, [-1, BINS, 2])[:count], [2, 0, 1])  # [2, frames, BINS]
    masked = spectra * tf.cast(tf.pad(mask, [[0, 0], [0, 0], [0, WINDOW // 2 + 1 - BINS]]), spectra.dtype)
    inverse = tf.signal.inverse_stft_window_fn(HOP)
    found = tf.signal.inverse_stft(masked, WINDOW, HOP, window_fn=inverse)[:, WINDOW : WINDOW + len(samples)]
    return np.ascontiguousarray(found.numpy().T)
