"""A stream at a lower rate: a filter of finite length, of whose outputs every so many are kept.

Conventions. Waves are float32 [channels, frames]. A filter is a sum of products, so BLOCK outputs at once are a row of
samples times a matrix: far faster than one after another, though most of the matrix is 0.
"""

from __future__ import annotations

import numpy as np

from models.measures.blocks import Samples

BLOCK = 16  # outputs of a row of samples


class Decimator:
    """Takes a recording in blocks, gives every `step`-th output of the filter.

    Args:
        taps: of the filter, [up to BLOCK * step + 1], of which the last is for the oldest sample.
        lead: zeros that are put before the recording, in samples.
    """

    def __init__(self, taps: Samples, step: int, channels: int, lead: int) -> None:
        self._step, self._length = step, len(taps)
        matrix = np.zeros((2, BLOCK * step, BLOCK), np.float32)
        for output in range(BLOCK):
            matrix.reshape(-1, BLOCK)[output * step : output * step + len(taps), output] = taps[::-1]
        self._own, self._next = matrix[0], matrix[1, : len(taps)]
        self._left = np.zeros((channels, lead), np.float32)

    def add(self, planes: Samples) -> Samples:
        """The outputs that `planes` completes, [channels, outputs]."""
        channels, kept = self._left.shape
        outputs = max(0, (kept + planes.shape[1] - self._length) // self._step + 1)
        rows = max(-(-outputs // BLOCK) + 1, -(-(kept + planes.shape[1]) // (BLOCK * self._step)))
        joined = np.zeros((channels, rows * BLOCK * self._step), np.float32)
        joined[:, :kept], joined[:, kept : kept + planes.shape[1]] = self._left, planes
        self._left = joined[:, outputs * self._step : kept + planes.shape[1]].copy()
        samples = joined.reshape(channels, rows, -1)
        found = samples[:, :-1] @ self._own + samples[:, 1:, : len(self._next)] @ self._next
        return np.asarray(found.reshape(channels, -1)[:, :outputs])
