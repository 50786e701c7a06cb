"""Linear prediction of short rows of a wave from the samples before, by the autocorrelation of what is around them.

Conventions. A row of `size` samples is predicted by a filter that is fitted to it and to half as much on either side,
under a Hann window. Waves are float32 [frames]; filters begin with 1, so that their output is the error. Filters are
found by the recursion of Levinson and Durbin (Makhoul, "Linear Prediction: A Tutorial Review", 1975).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from models.measures.blocks import Array, Samples
from models.measures.compiled import compiled

ORDER = 16
LIFT = 1e-9  #: of the power, that noise is taken to have at least: it bounds what steady tones ask for


def padded_for(planes: Samples, size: int) -> Samples:
    """With what `errors_of` needs before the first row of `size` samples and after the last one."""
    before, count = size // 2 + ORDER, -(-planes.shape[1] // size)
    padded = np.zeros((len(planes), before + (count + 2) * size), np.float32)
    padded[:, before : before + planes.shape[1]] = planes
    return padded


def errors_of(padded: Samples, size: int, rows: Array) -> Array:
    """How far the samples of some rows are off their prediction, [rows, size]; `size` is even."""
    window, errors = hann(2 * size), np.empty((len(rows), size))
    for place, row in enumerate(rows.tolist()):
        around = padded[row * size + ORDER :][: 2 * size]
        filter_ = predictors(lags_of((around * window)[None], ORDER), LIFT)[0]
        filtered(padded[row * size + size // 2 :][: size + ORDER].astype(np.float64), filter_, errors[place])
    return np.abs(errors, out=errors)


@compiled
def filtered(wave: Array, filter_: Array, output: Array) -> None:
    """Gives `output` [frames] what the filter [order + 1] makes of `wave` [order + frames]."""
    output[:] = 0.0
    order = len(filter_) - 1
    for late in range(order + 1):
        weight, came = filter_[late], wave[order - late :]
        for at in range(len(output)):
            output[at] += weight * came[at]


@compiled
def lags_of(windows: Array, order: int) -> Array:
    """The autocorrelations [rows, order + 1] of windows [rows, frames], float64."""
    lags = np.zeros((len(windows), order + 1))
    for row in range(len(windows)):
        for lag in range(order + 1):
            early, late, products = windows[row], windows[row, lag:], 0.0
            for at in range(len(late)):
                products += early[at] * late[at]
            lags[row, lag] = products
    return lags


@compiled
def predictors(lags: Array, lift: float) -> Array:
    """Prediction error filters [rows, order + 1] by autocorrelations of that shape, float64; `lift` as LIFT."""
    filters, before = np.zeros(lags.shape), np.zeros(lags.shape[1])
    for row in range(len(lags)):
        own, known = filters[row], lags[row]
        own[0], error = 1.0, known[0] * (1 + lift) + 1e-9
        for order in range(1, len(known)):
            off = known[order]
            for tap in range(1, order):
                off += own[tap] * known[order - tap]
            reflected = -off / error
            before[:order] = own[:order]
            for tap in range(1, order + 1):
                own[tap] = before[tap] * (tap < order) + reflected * before[order - tap]
            error *= 1 - reflected * reflected
    return filters


@cache
def hann(size: int) -> Array:
    """The window of a fit, [size]; made once."""
    return np.hanning(size)
