"""The separator as others see it: waveform in, masks out, as a SavedModel with its card, and as TFLite.

Conventions. Windows are float32 [batch, samples, channels] at 16 kHz. The mask `vocals` is [batch, frames, bins], a
share of amplitude for each bin of an STFT of WINDOW samples, frame n centred on sample (n + 1/2) * HOP of the window.
Weights are constants of the graph, so that TensorFlow folds normalisation into convolutions when it loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from models.card import Input, Licences, Metric, ModelCard, Output
from models.saved import save
from models.separator import GROUPS, HOP, RATE_HZ, WINDOW
from models.signal import power, stft

Tensor = Any
CHANNELS = 2
BINS = WINDOW // 2 + 1


def masks(network: keras.Model, spectra: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
    """The masks [batch, frames, BINS] of `windows` [batch, samples, channels].

    Args:
        network: see models/separator.py.
        spectra: the powers of an STFT: [batch, samples] to [batch, frames, BINS].
    """
    samples, channels = windows.shape[1], windows.shape[2]
    around = (WINDOW - HOP) // 2
    each = tf.reshape(tf.transpose(windows, [0, 2, 1]), [-1, samples])
    powers = tf.reshape(spectra(tf.pad(each, [[0, 0], [around, around]])), [-1, channels, samples // HOP, BINS])
    return _to_bins(network(_to_bands(tf.reduce_mean(powers, axis=1)), training=False))


def by_fft(samples: Tensor) -> Tensor:
    """Powers of an STFT, by tf.signal."""
    return power(stft(samples, WINDOW, HOP))


def _to_bands(powers: Tensor) -> Tensor:
    frames, parts, start = powers.shape[1], [], 0
    for bands, bins in GROUPS:
        part = tf.reshape(powers[..., start : start + bands * bins], [-1, frames, bands, bins])
        parts.append(tf.reduce_sum(part, axis=-1))
        start += bands * bins
    return tf.concat(parts, axis=-1)


def _to_bins(bands: Tensor) -> Tensor:
    parts, start = [], 0
    for count, bins in GROUPS:
        parts.append(tf.repeat(bands[..., start : start + count], bins, axis=-1))
        start += count
    return tf.concat([*parts, bands[..., -1:]], axis=-1)


class Masker(tf.Module):
    """What is exported."""

    def __init__(self, network: keras.Model, window_samples: int) -> None:
        super().__init__()
        spec = tf.TensorSpec([None, window_samples, CHANNELS], tf.float32, name="waveform")
        frozen = _frozen(lambda waveform: masks(network, by_fft, waveform), spec)

        def call(waveform: Tensor) -> dict[str, Tensor]:
            return {"vocals": frozen(waveform)}

        self._call = tf.function(call, input_signature=[spec], autograph=False)

    @property
    def __call__(self) -> Any:
        """Windows [batch, samples, CHANNELS] to {"vocals": masks}; what models.saved.save exports."""
        return self._call


def _frozen(function: Callable[[Tensor], Tensor], spec: tf.TensorSpec) -> Callable[[Tensor], Tensor]:
    """`function` with its variables made constants."""
    constant = _constant(function, spec)

    def call(waveform: Tensor) -> Tensor:
        masked = constant(waveform)[0]
        masked.set_shape([None, spec.shape[1] // HOP, BINS])
        return masked

    return call


def _constant(function: Callable[[Tensor], Tensor], spec: tf.TensorSpec) -> Any:
    return convert_variables_to_constants_v2(tf.function(function, autograph=False).get_concrete_function(spec))


def card(
    name: str,
    version: str,
    licences: Licences,
    metrics: Sequence[Metric],
    *,
    window_frames: int,
    hop_frames: int,
    trained_by: str = "",
) -> ModelCard:
    """The card of a separator; windows overlap by what `hop_frames` leaves, and masks are cross-faded there."""
    return ModelCard(
        name=name,
        version=version,
        task="stems",
        summary="Hourglass on log-amplitude spectra (16 kHz, 120 ms): how much of each bin of a mixture is voice.",
        licences=licences,
        inputs=(Input(name="waveform", layout="btc"),),
        outputs=(Output(name="vocals", role="mask", layout="bfk"),),
        sample_rate_hz=RATE_HZ,
        channels=CHANNELS,
        window_samples=window_frames * HOP,
        hop_samples=hop_frames * HOP,
        frame_hop_samples=HOP,
        mask_window_samples=WINDOW,
        device_batch=4,
        metrics=tuple(metrics),
        trained_by=trained_by,
    )


def export(network: keras.Model, its: ModelCard, folder: Path) -> None:
    """Writes the SavedModel to `folder`.

    Raises:
        ModelError: if it cannot be written.
    """
    save(Masker(network, its.window_samples), its, folder)


def to_tflite(network: keras.Model, window_samples: int) -> bytes:
    """A TFLite model of one window [1, window_samples, CHANNELS], by built-in operations only.

    TFLite has no FFT of a length that is no power of two, so the transform is two matrices there (`by_matrices`).
    """
    spec = tf.TensorSpec([1, window_samples, CHANNELS], tf.float32, name="waveform")
    constant = _constant(lambda waveform: masks(network, by_matrices, waveform), spec)
    converted: bytes = tf.lite.TFLiteConverter.from_concrete_functions([constant]).convert()
    return converted


def by_matrices(samples: Tensor) -> Tensor:
    """As `by_fft`, by matrix products; frames are folded about their middle, where cosines are even and sines odd."""
    half = WINDOW // 2
    frames = tf.signal.frame(samples, WINDOW, HOP) * tf.constant(np.hanning(WINDOW + 1)[:-1], tf.float32)
    rising, falling = frames[..., 1:half], tf.reverse(frames[..., half + 1 :], axis=[-1])
    even = tf.concat([frames[..., :1], rising + falling, frames[..., half : half + 1]], axis=-1)
    angles = 2 * np.pi / WINDOW * np.outer(np.arange(half + 1), np.arange(half + 1))
    real = tf.matmul(even, tf.constant(np.cos(angles), tf.float32))
    imaginary = tf.matmul(rising - falling, tf.constant(np.sin(angles[1:half]), tf.float32))
    return real**2 + imaginary**2
