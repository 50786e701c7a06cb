"""Impulses told from pulses: what was added to a sound, from what excites it.

Conventions. `weights` is a prediction error filter [order + 1] that begins with 1; `wave` is one channel, full scale
+-1.0. A sample that was added (a bit error, a click of the line) leaves in the prediction's residual a copy of the
filter, for it disturbs the prediction of all that follows while the sound itself goes on as before. A singer's glottal
pulse, a plosive, a stick on wood enters the sound: it is a single outlier of the residual, and what follows is as
foreseen. Fox, "Outliers in Time Series", 1972, calls them additive and innovation outliers; Godsill and Rayner, Digital
Audio Restoration, 1998, chapter 5, interpolate the additive ones by least squares, as is done here to see whether that
explains the residual.
"""

from __future__ import annotations

import numpy as np

from models.measures.blocks import Array

WIDEST = 3  #: samples
BETTER = 0.02  #: of the share, that another sample must be worth


def added(residual: Array, weights: Array, first: int) -> tuple[float, int, float]:
    """How well samples added from `first` on explain the residual: share of its energy (0..1), width, height.

    Args:
        residual: signed, of one channel, at least WIDEST + order samples from `first` on.
    """
    best = (0.0, 1, 0.0)
    for width in range(1, WIDEST + 1):
        target = residual[first : first + width + len(weights) - 1]
        copies = np.zeros((len(target), width))
        for place in range(width):
            copies[place : place + len(weights), place] = weights[: len(target) - place]
        heights = np.linalg.lstsq(copies, target, rcond=None)[0]
        left = target - copies @ heights
        share = 1.0 - float(left @ left) / (float(target @ target) + 1e-20)
        if share > best[0] + BETTER:
            best = share, width, float(np.abs(heights).max())
    return best
