"""Joints: what two predictions say of a place, that of the sound before and, backwards, that of the sound after.

Conventions. Waves are float64 [frames]. A prediction is fitted to what is on one side of the place, `guard` frames off,
by least squares in both directions of time, which is sharp for short waves (the modified covariance method: Kay, Modern
Spectral Estimation, 1988, chapter 7); its error is told in units of what is usual on that side. Of a pair the first
number is that of the prediction of the sound before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv

from models.measures.blocks import Array
from models.measures.compiled import compiled
from models.measures.finding import rms
from models.measures.prediction import filtered

ORDER, BASE = 32, 400  # of predictions; frames whose error is the measure
RIDGE = 1e-9  # of the power, or nothing limits what a steady tone asks for
NEAR = 20  # frames on either side that must be foreseen
BEYOND = 8  # frames that must not be
BESIDE = 8  # frames about the place that belong to neither side for sure
FAILS = 5.0  # of a silent channel, at the place: it says nothing

_ONE = np.eye(ORDER)
_MOST = 1e6  # of what goes on: no law keeps such a filter stable


class Joint(NamedTuple):
    """What two predictions say of a place; the first of each pair is that of the sound before."""

    place: int  #: first frame of the sound after
    foresees: tuple[float, float]  #: error on its own side, of its measure
    fails: tuple[float, float]  #: error beyond, of its measure
    at_once: tuple[float, float]  #: that of the first frame
    off: float  #: by how much the first frame is off, in the units of the wave
    other: tuple[float, float]  #: how far the sound beyond is another one than would have gone on, 0..2
    least: float  #: error beyond of the channel that has least, of its measure
    at_full: float = 1.0  #: how loud both sounds are at once, as who knows the rate may say


def joint(channels: Array, centre: int, guard: int, least: float, goes_on: int) -> Joint | None:
    """Of the place within `guard` of `centre` at which the sounds on both sides of it meet best, in all channels.

    Args:
        channels: [channels, frames] about the place.
        least: about the centre the prediction of what comes after must fail so much, or it is no joint: None.
        goes_on: frames for which a sound is made to go on beyond the place.
    """
    around = channels.sum(axis=0)
    turned = around[::-1].copy()
    back, error_back = _predicted(turned, len(around) - centre, guard)
    error_back = error_back[::-1]
    if rms(error_back[centre - guard : centre + guard]) < least:  # most that is struck
        return None
    ahead, error_ahead = _predicted(around, centre, guard)
    place = _meeting(error_ahead, error_back, centre, guard)
    return Joint(
        place,
        (rms(error_ahead[place - NEAR : place]), rms(error_back[place : place + NEAR])),
        (rms(error_ahead[place : place + BEYOND]), rms(error_back[place - BEYOND : place])),
        (abs(float(error_ahead[place])), abs(float(error_back[place - 1]))),
        abs(float(around[place] + ahead[1:] @ around[place - ORDER : place][::-1])),
        (_other(around, ahead, place, goes_on), _other(turned, back, len(around) - place, goes_on)),
        min(_fails(channel, ahead, place) for channel in channels),
    )


def _predicted(around: Array, centre: int, guard: int) -> tuple[Array, Array]:
    """The prediction of what is before `centre`, and its error about there, of its root mean square just before."""
    products = _products(around[: centre - guard], ORDER)
    products += products[::-1, ::-1]
    ridge = RIDGE * float(products.trace()) / (ORDER + 1) + 1e-12
    weights = np.ones(ORDER + 1)
    weights[1:] = -dposv(products[1:, 1:] + ridge * _ONE, products[1:, 0])[1]
    error = np.zeros(len(around))
    first, last = max(ORDER, centre - guard - BASE), centre + guard + 2 * NEAR
    filtered(around[first - ORDER : last], weights, error[first:last])
    return weights, error / (rms(error[first : centre - guard]) + 1e-9)


@compiled
def _products(wave: Array, order: int) -> Array:
    """Sums of the products of any two places in all windows of order + 1 samples, [order + 1, order + 1].

    One of them has a product more at the end than the one before it on its diagonal, and one less at the beginning.
    """
    found, windows = np.empty((order + 1, order + 1)), len(wave) - order
    for apart in range(order + 1):
        early, late, products = wave[:windows], wave[apart:], 0.0
        for at in range(windows):
            products += early[at] * late[at]
        for place in range(order + 1 - apart):
            found[place, place + apart] = found[place + apart, place] = products
            products += wave[windows + place] * wave[min(windows + place + apart, len(wave) - 1)]
            products -= early[place] * late[place]
    return found


def _meeting(ahead: Array, back: Array, centre: int, guard: int) -> int:
    """The place up to which the one error and from which on the other one are least, in sum."""
    first, last = centre - guard - BESIDE, centre + guard
    before = np.concatenate([[0.0], np.cumsum(ahead[first:last] ** 2)])
    after = np.concatenate([[0.0], np.cumsum(back[first:last][::-1] ** 2)])[::-1]
    return first + int((before + after).argmin())


def _other(around: Array, weights: Array, place: int, length: int) -> float:
    """How far what comes from `place` on is another sound than what would have gone on: 0..2."""
    came = around[place : place + length]
    foreseen = _gone_on(around[place - ORDER : place], weights, len(came))
    return float(np.sum((came - foreseen) ** 2) / (np.sum(came**2) + np.sum(foreseen**2) + 1e-20))


@compiled
def _gone_on(before: Array, weights: Array, length: int) -> Array:
    """What the law of the filter [order + 1] makes of what was before, [order], for `length` frames."""
    order = len(before)
    wave = np.zeros(order + length)
    wave[:order] = before
    for at in range(length):
        for late in range(1, order + 1):
            wave[order + at] -= weights[late] * wave[order + at - late]
    return np.clip(wave[order:], -_MOST, _MOST)


def _fails(channel: Array, weights: Array, place: int) -> float:
    """By how much the prediction of all channels fails in one, of its error there before."""
    first = max(ORDER, place - BASE)
    error = np.empty(place + BEYOND - first)
    filtered(channel[first - ORDER : place + BEYOND], weights, error)
    usual = rms(error[: place - BESIDE - first])
    return rms(error[place - first :]) / usual if usual > 1e-7 else FAILS
