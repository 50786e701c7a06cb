"""Linear prediction of short rows of a wave from the samples before, by the autocorrelation of what is around them.

Conventions. A row of `size` samples is predicted by a filter that is fitted to it and to half as much on either side,
under a Hann window. Waves are float32 [frames]; filters begin with 1, so that their output is the error.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.measures.blocks import Array, Samples

ORDER = 16
_AT_ONCE = 6  # rows, which fit a cache


def padded_for(planes: Samples, size: int) -> Samples:
    """With what `errors_of` needs before the first row of `size` samples and after the last one."""
    before, count = size // 2 + ORDER, -(-planes.shape[1] // size)
    padded = np.zeros((len(planes), before + (count + 2) * size), np.float32)
    padded[:, before : before + planes.shape[1]] = planes
    return padded


def errors_of(padded: Samples, size: int, rows: Array) -> Array:
    """How far the samples of some rows are off their prediction, [rows, size]; `size` is a multiple of 2 ORDER."""
    errors = np.empty((len(rows), size))
    for at in range(0, len(rows), _AT_ONCE):
        some = (rows[at : at + _AT_ONCE] * size + ORDER).tolist()
        errors[at : at + _AT_ONCE] = _errors(np.stack([padded[start : start + 2 * size] for start in some]))
    return np.abs(errors, out=errors)


def _errors(around: Samples) -> Array:
    """Errors of the middle halves of [rows, samples], which the filters are fitted to.

    Sums of products are products of matrices, ORDER samples at once: far faster than one after another.
    """
    count, samples = around.shape
    around = around.astype(np.float64)
    filters = np.append(predictors(_lags_of_each(around * hann(samples))), np.zeros((count, 1)), axis=1)
    before, within = filters[:, _taps()[:ORDER]], filters[:, _taps()[ORDER:]]
    pieces = around.reshape(count, samples // ORDER, ORDER)
    middle = slice(samples // ORDER // 4, samples // ORDER * 3 // 4)
    errors = pieces[:, middle] @ within
    errors += pieces[:, middle.start - 1 : middle.stop - 1] @ before
    return np.asarray(errors.reshape(count, samples // 2))


def _lags_of_each(windows: Array) -> Array:
    """The autocorrelations of windows [rows, samples], [rows, ORDER + 1]: sums along diagonals of products."""
    pieces = windows.reshape(len(windows), windows.shape[1] // ORDER, ORDER)
    turned = pieces.copy().transpose(0, 2, 1)  # a product with itself is slow, for it is thought to be a large one
    products = np.concatenate([turned @ pieces, turned[..., :-1] @ pieces[:, 1:]], axis=2)
    return np.asarray(products.reshape(len(windows), 2 * ORDER**2) @ _diagonals())


@cache
def _diagonals() -> Array:
    """Which of [ORDER, 2 ORDER] products are of samples that are so far apart, [products, ORDER + 1]; made once."""
    apart = np.arange(2 * ORDER) - np.arange(ORDER)[:, None]
    return np.asarray(apart.ravel()[:, None] == np.arange(ORDER + 1), np.float64)


@cache
def _taps() -> Array:
    """The tap by which each of ORDER outputs takes 2 ORDER inputs, ORDER + 1 for none, [2 ORDER, ORDER]; made once."""
    taps = ORDER + np.arange(ORDER) - np.arange(2 * ORDER)[:, None]
    return np.where((taps >= 0) & (taps <= ORDER), taps, ORDER + 1)


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
