"""What the detector of defects hears: log-mel, and features that see what a mel spectrum blurs. All by tf.signal.

Conventions. Windows are float32 [batch, samples, CHANNELS] at 44.1 kHz, FRAMES * HOP samples; frame n of the features
stands for the samples from n * HOP to (n + 1) * HOP, and its spectra are centred there. Everything refers to the level
of the whole window, so gain does not matter. Features of both channels are put together by means of powers, or by their
maximum and minimum: left and right may change places, and an event of one channel is not halved by a mixture, nor lost
where channels are opposite (vertical motion of a stylus).

Beside log-mel, since a click lasts a millisecond:

* the residual of a linear prediction, whose coefficients are those of 90 ms, so that a click does not predict itself;
* levels of ninths of a frame (1.1 ms), held and zero samples, samples near the peak: gaps and flat tops;
* level and likeness of the channels;
* flatness of octaves: noise against tones;
* how the spectrum of 160 ms later, along a logarithmic axis, is shifted against that before: a change of speed shifts
  all partials alike.

Mains hum and repetitions are left to measures.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from librosa.filters import mel as librosa_mel

from models.detection.network import BANDS, CHANNELS, FEATURES, FRAMES, HOP, RATE_HZ
from models.signal import power, stft

Tensor = Any
FloatArray = npt.NDArray[np.float32]

# tf.signal.frame copies pieces as long as the greatest common divisor of window and hop: windows are whole hops.
WINDOW, FFT = 2 * HOP, 1024  #: samples of an STFT frame, 20 ms, and of its transform
PIECE = 50  #: frames that are computed at a time, so that all that is made of them stays in a cache
HIGHEST_HZ = 16_000.0
SILENCE = 1e-5  #: level (full scale 1.0) of a window below which there is nothing to hear
FLOOR = 1e-10  #: of power, against that of the window
ORDER = 8  #: of the linear prediction
ROW = 21  #: samples that are predicted by one multiplication of matrices
PREDICTED_FRAMES = 9  #: whose autocorrelations are averaged for it
NEAR_FRAMES = 25  #: 0.25 s, that a frame's level is compared with
PARTS = 9  #: of a frame, HOP / PARTS samples each
OCTAVES_HZ = (2000.0, 4000.0, 8000.0, 16_000.0)
PITCH_WINDOW, PITCH_HOP, PITCH_FFT = 8 * HOP, 4 * HOP, 4096
PITCH_HZ, PITCHES_PER_OCTAVE, PITCH_OCTAVES = 500.0, 60, 3
LAG = 2  #: the spectra compared are 2 * LAG * PITCH_HOP apart
SHIFTS = 12  #: steps of pitch, up and down
SCALE = 1 / np.log(10.0)


def features(windows: Tensor) -> Tensor:
    """Windows [batch, FRAMES * HOP, CHANNELS] to features [batch, FRAMES, FEATURES], log-mel first."""
    channels = tf.transpose(windows, [0, 2, 1])
    level = tf.sqrt(tf.reduce_mean(tf.square(channels), axis=[1, 2], keepdims=True))
    each = tf.reshape(channels / tf.maximum(level, SILENCE), [-1, FRAMES * HOP])
    mel, flatness, correlations = _by_pieces(_of_spectra, 3, _around(each, WINDOW, HOP))
    peak = tf.reduce_max(tf.abs(each), axis=1)[:, None, None]
    samples = functools.partial(_of_samples, peak=peak)
    left, shape, parts, told = _by_pieces(samples, 4, tf.pad(each, [[0, 0], [ORDER, 0]]), _prediction(correlations))
    found = [mel, _residual(left, shape, parts), _samples(parts, told), _stereo(each), flatness, _shifts(each)]
    return tf.ensure_shape(tf.concat(found, axis=-1), [None, FRAMES, FEATURES])


def _by_pieces(function: Callable[..., tuple[Tensor, ...]], count: int, *whole: Tensor) -> list[Tensor]:
    """The `count` tensors [..., frames, n] that `function` makes of pieces of `whole`, put together along the frames.

    Pieces are of PIECE frames: what is made on the way would else go to memory and back at each step.

    Args:
        whole: [n, FRAMES * step + beyond, ...]; a piece has [n, PIECE * step + beyond, ...].
    """

    def of(number: Tensor) -> tuple[Tensor, ...]:
        return function(*[_piece(tensor, number) for tensor in whole])

    kinds = (tf.float32,) * count
    made = tf.map_fn(of, tf.range(FRAMES // PIECE), fn_output_signature=kinds, parallel_iterations=1)
    return [tf.reshape(tf.transpose(part, [1, 0, 2, 3]), [-1, FRAMES, part.shape[-1]]) for part in made]


def _piece(whole: Tensor, number: Tensor) -> Tensor:
    shape = whole.shape.as_list()
    step = shape[1] // FRAMES
    shape[1] -= (FRAMES - PIECE) * step
    begin = [0, number * PIECE * step, *[0] * (len(shape) - 2)]
    return tf.ensure_shape(tf.slice(whole, begin, [-1, *shape[1:]]), shape)


def _of_spectra(around: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-mel and flatness of the channels' mean power, [batch, frames, ...]; autocorrelations [n, frames, ORDER + 1].

    Args:
        around: samples [n, (frames - 1) * HOP + WINDOW].
    """
    powers = power(stft(around, WINDOW, HOP, FFT)) / WINDOW
    mean = tf.reduce_mean(_paired(powers), axis=1)
    return _mel(mean), _flatness(mean), _autocorrelations(powers)


def _of_samples(samples: Tensor, coefficients: Tensor, peak: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sizes of what the prediction leaves [n, frames, HOP]; their peak, power and mean; powers of parts; and these.

    The greatest step from a sample to the next, and the shares of samples that are zero, held, or near the `peak`.

    Args:
        samples: [n, ORDER + frames * HOP], with ORDER before the first frame.
    """
    rows = _rows(samples)
    left, steps = tf.abs(_predicted(rows, coefficients)), _steps(rows)
    size = tf.abs(_framed(samples[:, ORDER:]))
    parts = tf.reduce_mean(tf.square(tf.reshape(size, [-1, PIECE, PARTS, HOP // PARTS])), axis=-1)
    shape = tf.concat([_greatest(left), _average(tf.square(left)), _average(left)], axis=-1)
    told = [_greatest(steps), _share(size < 1e-4), _share(steps < 1e-5), _share(size > 0.985 * peak)]
    return left, shape, parts, tf.concat(told, axis=-1)


def _around(samples: Tensor, window: int, hop: int) -> Tensor:
    """`samples` [n, samples] padded so that frame n of `window` samples is centred on (n + 1/2) * hop, to the end."""
    before = (window - hop) // 2
    return tf.pad(samples, [[0, 0], [before, window - hop - before]])


def _paired(values: Tensor) -> Tensor:
    """[batch * CHANNELS, ...] to [batch, CHANNELS, ...]."""
    return tf.reshape(values, tf.concat([[-1, CHANNELS], tf.shape(values)[1:]], axis=0))


def _most_and_least(values: Tensor) -> Tensor:
    """Of the channels: [batch * CHANNELS, frames, n] to [batch, frames, 2 n]."""
    pairs = _paired(values)
    return tf.concat([tf.reduce_max(pairs, axis=1), tf.reduce_min(pairs, axis=1)], axis=-1)


def _log(powers: Tensor) -> Tensor:
    """Tenths of decibels, about: log10, not below FLOOR."""
    return SCALE * tf.math.log(tf.maximum(powers, FLOOR))


def _smooth(values: Tensor, frames: int) -> Tensor:
    """Moving average along [n, frames, features]; at the ends of what there is."""
    return tf.nn.avg_pool1d(values, frames, 1, "SAME")


def _mel(powers: Tensor) -> Tensor:
    matrix = librosa_mel(sr=RATE_HZ, n_fft=FFT, n_mels=BANDS, fmin=30, fmax=HIGHEST_HZ, norm=None).T
    weights = np.asarray(matrix / np.maximum(matrix.sum(axis=0), 1e-6), np.float32)
    return _log(tf.matmul(powers, tf.constant(weights))) + 3.0


def _residual(left: Tensor, shape: Tensor, parts: Tensor) -> Tensor:
    """What a linear prediction leaves: peak, level, shape and outliers of each frame against those near by."""
    greatest, mean_square, mean = tf.split(shape, 3, axis=-1)
    peak, level = _log(tf.square(greatest)), _log(mean_square)
    near = _smooth(level, NEAR_FRAMES)
    ordinary = tf.maximum(_smooth(mean, NEAR_FRAMES), 1e-5)
    outliers = _share(left > 6 * ordinary)
    whole = _log(_average(parts))
    told = [peak - near, level - near, level - _log(tf.square(mean)), _log(outliers + 1e-3)]
    return _most_and_least(tf.concat([*told, near - _smooth(whole, NEAR_FRAMES), near + 3.0], axis=-1))


def _autocorrelations(powers: Tensor) -> Tensor:
    """At lags of 0 to ORDER samples, [n, frames, ORDER + 1], by the inverse transform."""
    bins = FFT // 2 + 1
    weights = np.cos(2 * np.pi / FFT * np.outer(np.arange(bins), np.arange(ORDER + 1)))
    weights[1:-1] *= 2
    return tf.matmul(powers, tf.constant(weights / FFT, tf.float32))


def _prediction(correlations: Tensor) -> Tensor:
    """Coefficients [n, frames, ORDER + 1] of the prediction error, by the Levinson-Durbin recursion."""
    r = tf.unstack(_smooth(correlations, PREDICTED_FRAMES), axis=-1)
    r[0] = r[0] * (1 + 1e-5) + 1e-9
    a, error = [tf.ones_like(r[0])], r[0]
    for order in range(1, ORDER + 1):
        k = -tf.add_n([a[i] * r[order - i] for i in range(order)]) / error
        k = tf.clip_by_value(k, -0.9999, 0.9999)
        grown = [*a, tf.zeros_like(r[0])]
        a = [grown[i] + k * grown[order - i] for i in range(order + 1)]
        error = error * (1 - k * k)
    return tf.stack(a, axis=-1)


def _rows(samples: Tensor) -> Tensor:
    """Pieces of ROW samples with the ORDER samples before: [n, frames, HOP / ROW, ORDER + ROW]."""
    rows = tf.reshape(samples[:, ORDER:], [-1, PIECE * HOP // ROW, ROW])
    before = tf.concat([samples[:, None, :ORDER], rows[:, :-1, -ORDER:]], axis=1)
    return tf.reshape(tf.concat([before, rows], axis=-1), [-1, PIECE, HOP // ROW, ORDER + ROW])


def _predicted(rows: Tensor, coefficients: Tensor) -> Tensor:
    """The error of the prediction, [n, frames, HOP]: each frame's rows by the Toeplitz matrix of its coefficients."""
    late = ORDER + np.arange(ROW) - np.arange(ORDER + ROW)[:, None]  # of each output behind each input
    bands = (late == np.arange(ORDER + 1)[:, None, None]).reshape(ORDER + 1, -1)
    matrices = tf.reshape(tf.matmul(coefficients, tf.constant(bands, tf.float32)), [-1, PIECE, ORDER + ROW, ROW])
    return tf.reshape(tf.matmul(rows, matrices), [-1, PIECE, HOP])


def _steps(rows: Tensor) -> Tensor:
    """How far each sample is from the one before, [n, frames, HOP]."""
    step = np.eye(ORDER + ROW, ROW, -ORDER) - np.eye(ORDER + ROW, ROW, 1 - ORDER)
    return tf.abs(tf.reshape(tf.matmul(rows, tf.constant(step, tf.float32)), [-1, PIECE, HOP]))


def _framed(samples: Tensor) -> Tensor:
    """[n, frames * HOP] to [n, frames, HOP]."""
    return tf.reshape(samples, [-1, samples.shape[1] // HOP, HOP])


def _samples(parts: Tensor, told: Tensor) -> Tensor:
    """Levels of parts of frames, and shares of samples that are zero, held, or near the peak."""
    parts = _log(parts)
    near = _smooth(_average(parts), NEAR_FRAMES)
    least, most = tf.reduce_min(parts, axis=-1, keepdims=True) - near, _greatest(parts) - near
    step, zero, held, high = tf.split(told, 4, axis=-1)
    step = _log(tf.square(step))
    found = [least, most, near + 3.0, step - _smooth(step, NEAR_FRAMES), zero, held, _log(high + 1e-3) + 3.0]
    return _most_and_least(tf.concat(found, axis=-1))


def _share(true: Tensor) -> Tensor:
    return _average(tf.cast(true, tf.float32))


def _average(values: Tensor) -> Tensor:
    return tf.reduce_mean(values, axis=-1, keepdims=True)


def _greatest(values: Tensor) -> Tensor:
    return tf.reduce_max(values, axis=-1, keepdims=True)


def _stereo(each: Tensor) -> Tensor:
    """How much the channels' levels and likeness differ from those of the window."""
    left, right = tf.unstack(_paired(_framed(each)), axis=1)
    own = [tf.reduce_mean(tf.square(side), axis=-1, keepdims=True) for side in (left, right)]
    common = tf.reduce_mean(left * right, axis=-1, keepdims=True)
    slow = [_smooth(value, 5) for value in (*own, common)]
    difference = _log(slow[0] + 1e-6) - _log(slow[1] + 1e-6)
    likeness = slow[2] / (tf.sqrt(slow[0] * slow[1]) + 1e-6)
    away = tf.abs(difference - tf.reduce_mean(difference, axis=1, keepdims=True))
    turned = likeness - tf.reduce_mean(likeness, axis=1, keepdims=True)
    return tf.concat([tf.abs(difference), away, likeness, turned], axis=-1)


def _flatness(powers: Tensor) -> Tensor:
    """Mean of logarithms less logarithm of the mean, by octaves: 0 for white noise on average, down to -4 for tones."""
    edges = [round(hz / RATE_HZ * FFT) for hz in OCTAVES_HZ]
    told = []
    for low, high in itertools.pairwise(edges):
        part = powers[..., low:high]
        told.append(_average(_log(part)) - _log(_average(part)))
    return tf.concat(told, axis=-1)


def _shifts(each: Tensor) -> Tensor:
    """Likeness of spectra before and after, shifted by -SHIFTS..SHIFTS steps: [batch, FRAMES, 2 SHIFTS + 1]."""
    mono = tf.reduce_mean(_paired(each), axis=1)
    spectra = stft(_around(mono, PITCH_WINDOW, PITCH_HOP), PITCH_WINDOW, PITCH_HOP, PITCH_FFT)
    pitches = _pitches()
    heard = slice(*(np.flatnonzero(pitches.any(axis=1))[[0, -1]] + (0, 1)).tolist())  # the bins that any has
    levels = _log(tf.matmul(power(spectra[..., heard]) / PITCH_WINDOW, tf.constant(pitches[heard])) + 1e-7)
    peaks = tf.nn.relu(tf.matmul(levels, tf.constant(_beyond_neighbours(15))))
    peaks = peaks / tf.maximum(tf.norm(peaks, axis=-1, keepdims=True), 1.0)
    padded = tf.pad(peaks, [[0, 0], [LAG, LAG], [0, 0]])
    before, after = padded[:, : -2 * LAG, SHIFTS:-SHIFTS], padded[:, 2 * LAG :]
    shifted = tf.stack([after[..., s : s + before.shape[-1]] for s in range(2 * SHIFTS + 1)], axis=-2)
    return tf.repeat(tf.linalg.matvec(shifted, before), PITCH_HOP // HOP, axis=1)


def _beyond_neighbours(width: int) -> FloatArray:
    """[steps, steps]: each step of pitch less the mean of `width` around it, of those that there are."""
    steps = np.arange(PITCHES_PER_OCTAVE * PITCH_OCTAVES)
    near = np.abs(steps[:, None] - steps) <= width // 2
    return np.asarray(np.eye(len(steps)) - near / near.sum(axis=0), np.float32)


def _pitches() -> FloatArray:
    """[bins, steps of pitch]: triangles, at least a bin wide."""
    steps = PITCHES_PER_OCTAVE * PITCH_OCTAVES
    centres = PITCH_HZ * 2 ** (np.arange(steps) / PITCHES_PER_OCTAVE) / RATE_HZ * PITCH_FFT
    width = np.maximum(1.0, centres * (2 ** (1 / PITCHES_PER_OCTAVE) - 1))
    triangles = np.maximum(0, 1 - np.abs(np.arange(PITCH_FFT // 2 + 1)[:, None] - centres) / width)
    return np.asarray(triangles / triangles.sum(axis=0), np.float32)
