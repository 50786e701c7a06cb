"""Linear prediction of short rows of a wave from the samples before, by the autocorrelation of what is around them.

Conventions. A row of `size` samples is predicted by a filter that is fitted to it and to half as much on either side,
under a Hann window. Waves are float32 [frames]; filters begin with 1, so that their output is the error.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.measures.blocks import Array, Samples

ORDER = 16
_APART = np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))


def padded_for(planes: Samples, size: int) -> Samples:
    """With what `errors_of` needs before the first row of `size` samples and after the last one."""
    before, count = size // 2 + ORDER, -(-planes.shape[1] // size)
    padded = np.zeros((len(planes), before + (count + 2) * size), np.float32)
    padded[:, before : before + planes.shape[1]] = planes
    return padded


def errors_of(padded: Samples, size: int, rows: Array) -> Array:
    """How far the samples of some rows are off their prediction, [rows, size]."""
    errors, lags = np.empty((len(rows), size)), np.empty((len(rows), ORDER + 1))
    starts = (rows * size).tolist()
    for row, start in enumerate(starts):
        lags[row] = lags_of(padded[ORDER + start :][: 2 * size] * hann(2 * size))
    half = ORDER // 2 + 1  # NumPy is fast with short filters
    for error, start, filter_ in zip(errors, starts, predictors(lags), strict=True):
        known = padded[start + size // 2 :][: size + ORDER].astype(np.float64)
        error[:] = np.convolve(known[half - 1 :], filter_[:half], "valid")
        error += np.convolve(known[:-half], filter_[half:], "valid")
    return np.abs(errors, out=errors)


def lags_of(window: Array) -> Array:
    """The autocorrelation of a window, [ORDER + 1]."""
    return np.correlate(np.append(window, np.zeros(ORDER)), window)


def predictors(lags: Array) -> Array:
    """Prediction error filters [rows, ORDER + 1] by their autocorrelations."""
    lags = np.concatenate([lags[:, :1] * (1 + 1e-9) + 1e-9, lags[:, 1:]], axis=1)
    weights = np.ones((len(lags), ORDER + 1))
    weights[:, 1:] = np.linalg.solve(lags[:, _APART], -lags[:, 1:, None])[..., 0]
    return weights


@cache
def hann(size: int) -> Array:
    """The window of a fit, [size]; made once."""
    return np.hanning(size)
