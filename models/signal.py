"""Features by tf.signal: STFT, power, mel, log-mel, MFCC. The same graph in training, in a scan and in serving.

Conventions. Samples are float32 [batch, samples]; spectra [batch, frames, bins]; mel spectra [batch, frames, bands].
Every example is alone: decibels refer to its own maximum, so neighbours in a batch change nothing. Windows are periodic
Hann windows. Frames start at the first sample and end within the samples, as librosa's do with center=False; where
librosa centres them, put half a frame of silence before and after (`centred`).

Known differences from librosa 0.11: `mfcc` is tf.signal's, whose first coefficient is sqrt(2) times librosa's (the
other coefficients agree); tf.signal's own mel matrix is HTK's and is not used: any matrix is given, librosa's usually.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Tensor = Any  #: a tf.Tensor; TensorFlow has no types that mypy knows


def centred(samples: Tensor, frame_samples: int) -> Tensor:
    """`samples` with half a frame of silence at both ends: frame n of their STFT is centred on sample n * hop."""
    half = frame_samples // 2
    return tf.pad(samples, [[0, 0], [half, half]])


def stft(samples: Tensor, frame_samples: int, hop_samples: int, fft_samples: int | None = None) -> Tensor:
    """Short-time Fourier transform, complex64 [batch, frames, fft_samples / 2 + 1].

    Args:
        samples: [batch, samples].
        frame_samples: length of the Hann window.
        hop_samples: from one frame to the next.
        fft_samples: length of the transform, at least `frame_samples`, which is the default. A longer one puts its
            zeros after the frame; librosa puts half of them before, and so starts its frames that much earlier.
    """
    return tf.signal.stft(samples, frame_samples, hop_samples, fft_samples or frame_samples, tf.signal.hann_window)


def magnitude(spectrum: Tensor) -> Tensor:
    """Absolute values, float32."""
    return tf.abs(spectrum)


def power(spectrum: Tensor) -> Tensor:
    """Squared absolute values, float32; without the root that would be squared again."""
    return tf.math.real(spectrum) ** 2 + tf.math.imag(spectrum) ** 2


def mel(power_or_magnitude: Tensor, matrix: npt.NDArray[np.float32]) -> Tensor:
    """Sums over bands: [batch, frames, bands].

    Args:
        power_or_magnitude: [batch, frames, bins].
        matrix: [bins, bands], such as librosa.filters.mel(...).T.

    Raises:
        ValueError: if the matrix does not fit, such as one that was not transposed.
    """
    bins = power_or_magnitude.shape[-1]
    if matrix.shape[0] != bins:
        raise ValueError(
            f"a mel matrix of shape {matrix.shape} came for {bins} bins; [bins, bands] is wanted: transpose?"
        )
    return tf.matmul(power_or_magnitude, tf.constant(matrix, tf.float32))


def decibels(power_spectrum: Tensor, *, floor: float = 1e-10, range_db: float | None = 80.0) -> Tensor:
    """10 log10 of powers, those below `floor` raised to it, and to `range_db` below the example's own maximum.

    As librosa.power_to_db with ref=1.0, amin=floor and top_db=range_db, for each example by itself.

    Args:
        power_spectrum: [batch, frames, bands].
        range_db: None leaves quiet places as they are.
    """
    level_db = 10.0 / np.log(10.0) * tf.math.log(tf.maximum(power_spectrum, floor))
    if range_db is None:
        return level_db
    return tf.maximum(level_db, tf.reduce_max(level_db, axis=[1, 2], keepdims=True) - range_db)


def log_mel(
    samples: Tensor,
    matrix: npt.NDArray[np.float32],
    frame_samples: int,
    hop_samples: int,
    range_db: float | None = 80.0,
) -> Tensor:
    """Mel spectrum of the power in decibels, [batch, frames, bands]; see `decibels`."""
    return decibels(mel(power(stft(samples, frame_samples, hop_samples)), matrix), range_db=range_db)


def mfcc(log_mel_spectrum: Tensor, coefficients: int) -> Tensor:
    """Mel-frequency cepstral coefficients of a log-mel spectrum (decibels, as librosa has it): [batch, frames, n].

    Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980. The first
    coefficient is sqrt(2) times that of librosa.feature.mfcc; see the module.
    """
    return tf.signal.mfccs_from_log_mel_spectrograms(log_mel_spectrum)[..., :coefficients]
