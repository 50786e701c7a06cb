"""Linear prediction of short rows of a wave from the samples before, by the autocorrelation of what is around them.

Conventions. A row of `size` samples is predicted by a filter that is fitted to it and to half as much on either side,
under a Hann window. Waves are float32 [frames]; filters begin with 1, so that their output is the error.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.measures.blocks import Array, Samples

ORDER = 16


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


def lags_of(window: Array, order: int = ORDER) -> Array:
    """The autocorrelation of a window, [order + 1]."""
    return np.correlate(np.append(window, np.zeros(order)), window)


def predictors(lags: Array) -> Array:
    """Prediction error filters [rows, order + 1] by autocorrelations of that shape."""
    lags = np.concatenate([lags[:, :1] * (1 + 1e-9) + 1e-9, lags[:, 1:]], axis=1)
    weights = np.ones_like(lags)
    weights[:, 1:] = np.linalg.solve(lags[:, _apart(lags.shape[1] - 1)], -lags[:, 1:, None])[..., 0]
    return weights


@cache
def _apart(order: int) -> Array:
    """How far two of `order` samples are apart, [order, order]; made once."""
    return np.abs(np.subtract.outer(np.arange(order), np.arange(order)))


@cache
def hann(size: int) -> Array:
    """The window of a fit, [size]; made once."""
    return np.hanning(size)
