"""The separator: an hourglass that says, band by band and frame by frame, how much of a mixture is voice.

Conventions. The network reads and gives bands [batch, frames, BANDS]: the bins of an STFT of 120 ms, every 30 ms, at
16 kHz, singly where voices are strongest and in groups above (`GROUPS`). Frame n is centred on sample (n + 1/2) * HOP.
A mask is a share of amplitude, 0..1, the same for the whole group and for both channels. Energies are those of all
channels together, so that a stereo image is neither lost nor cancelled. The level of the recording does not matter:
what the network reads refers to the mean energy of its window.

The pattern is the hourglass of Park, Kim, Lee and Kwak, "Music Source Separation Using Stacked Hourglass Networks",
ISMIR 2018; dense layers along frequency within its blocks are from Choi, Kim, Chung and Jung, "Investigating U-Nets
with various Intermediate Blocks for Spectrogram-based Singing Voice Separation", ISMIR 2020 (TFC-TDF).
"""

from __future__ import annotations

from typing import Annotated, Any

import keras
import numpy as np
from keras import layers, ops
from pydantic import Field

from models.configs import ConfigError, Count, config

RATE_HZ = 16_000
WINDOW = 1920  #: samples of an STFT frame: 120 ms; oracle masks are best there, and it is whole at 44.1 and 48 kHz
HOP = 480  #: samples
GROUPS = ((384, 1), (96, 2), (32, 12))  #: (bands, bins each): to 3.2, 4.8 and 8 kHz; the Nyquist bin is left out
BANDS = sum(bands for bands, _ in GROUPS)
FLOOR = 1e-4  #: of amplitude, below the window's own: -80 dB
SILENCE = 1e-8  #: amplitude of the samples (full scale 1.0) below which there is nothing to hear


@config
class SeparatorConfig:
    """The size of the network.

    Args:
        channels: of each level of the hourglass; from one to the next, frames and bands are halved.
        convolutions: in each block.
        squeeze: the dense layers along frequency go through 1/squeeze of the bands.
    """

    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (24, 48, 96, 192)
    convolutions: Count = 2
    squeeze: Count = 8

    @property
    def frame_multiple(self) -> int:
        """The number of frames must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))


def band_starts() -> np.ndarray[Any, np.dtype[np.int64]]:
    """The first bin of each band, and the one after the last: [BANDS + 1].

    >>> band_starts()[[0, 384, 480, 512]].tolist()
    [0, 384, 576, 960]
    """
    widths = np.concatenate([np.full(bands, bins) for bands, bins in GROUPS])
    return np.concatenate([[0], np.cumsum(widths)])


def network(size: SeparatorConfig, frames: int | None = None) -> keras.Model:
    """Energies of bands [batch, frames, BANDS] to masks of the same shape.

    Args:
        frames: where their number must be fixed.

    Raises:
        ConfigError: if there are more levels than the bands can be halved.
    """
    if BANDS % 2 ** len(size.channels):
        raise ConfigError(f"{len(size.channels)} levels do not halve {BANDS} bands: at most 9 do")
    energies = keras.Input((frames, BANDS), name="energies")
    levels = Levels()(energies)
    x = _normalised(layers.Conv2D(size.channels[0], 5, (1, 2), padding="same", use_bias=False))(levels)
    skips = []
    for channels in size.channels[:-1]:
        x = _block(x, channels, size)
        skips.append(x)
        x = _normalised(layers.Conv2D(2 * channels, 3, 2, padding="same", use_bias=False))(x)
    x = _block(x, size.channels[-1], size)
    for channels, skip in zip(reversed(size.channels[:-1]), reversed(skips), strict=True):
        x = _normalised(layers.Conv2DTranspose(channels, 2, 2, padding="same", use_bias=False))(x)
        x = _block(layers.Concatenate()([x, skip]), channels, size)
    x = layers.Conv2DTranspose(8, (3, 4), (1, 2), padding="same", activation="relu")(x)
    x = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(layers.Concatenate()([x, levels]))
    return keras.Model(energies, layers.Reshape((-1, BANDS), name="mask")(x), name="separator")


class Levels(layers.Layer):
    """Log-amplitudes per bin, [batch, frames, BANDS, 1], about -2..2: less the level of the whole window."""

    def call(self, energies: Any) -> Any:
        """Energies [batch, frames, BANDS] to levels."""
        widths = np.diff(band_starts()).astype(np.float32)
        mean = ops.mean(ops.mean(energies, axis=2, keepdims=True), axis=1, keepdims=True)
        amplitudes = ops.sqrt(energies / widths / (mean + SILENCE**2 * WINDOW))
        return ((ops.log(amplitudes + FLOOR) + 3.0) / 3.0)[..., None]


def _normalised(layer: Any) -> Any:
    """`layer`, its outputs normalised over the batch and rectified."""

    def apply(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.98)(layer(x)))

    return apply


def _block(x: Any, channels: int, size: SeparatorConfig) -> Any:
    """Convolutions with a way around them, then dense layers along frequency with a way around those."""
    y = x
    for _ in range(size.convolutions):
        y = _normalised(layers.Conv2D(channels, 3, padding="same", use_bias=False))(y)
    if x.shape[-1] != channels:
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
    x = layers.Add()([x, y])
    bands = x.shape[2]
    y = x
    for units in (max(8, bands // size.squeeze), bands):
        y = layers.Permute((1, 3, 2))(y)
        y = layers.Permute((1, 3, 2))(layers.Dense(units, use_bias=False)(y))
        y = layers.ReLU()(layers.BatchNormalization(momentum=0.98)(y))
    return layers.Add()([x, y])


def loss(masks: Any, targets: Any) -> Any:
    """What is wrong with `masks`, one number per example, [batch].

    Both terms are of the error |m X - V| between the masked mixture and the voice, as complex spectra, so that a mask
    learns to hold back where phases disagree: one is the logarithm of its energy, which is what an SDR in decibels
    averages; the other the sum of its amplitudes, which also hears what is quiet. The accompaniment, X - m X, errs by
    the same.

    Args:
        masks: [batch, frames, BANDS].
        targets: [batch, frames, BANDS, 3]: in each band the sums over bins of |X|^2, Re(X conj(V)) and |V|^2, with X
            the mixture and V the voice.
    """
    mixture, common, voice = targets[..., 0], targets[..., 1], targets[..., 2]
    error = ops.maximum(masks * masks * mixture - 2 * masks * common + voice, 0.0)
    whole = ops.sum(mixture, axis=(1, 2)) + 1e-6
    energy = ops.log(ops.sum(error, axis=(1, 2)) / whole + 1e-3)
    amplitude = ops.sum(ops.sqrt(error + 1e-12), axis=(1, 2)) / (ops.sum(ops.sqrt(mixture + 1e-12), axis=(1, 2)) + 1e-3)
    return energy + 2.0 * amplitude
