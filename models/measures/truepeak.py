"""True peak: the largest value of the signal between the samples (ITU-R BS.1770-4, annex 2), as dBTP.

Four values a sample up to 96 kHz by the standard's filter, two from 96 kHz, the samples themselves from 192 kHz. Most
of a recording is not filtered at all: where no sample reaches the largest value so far divided by the filter's largest
gain, no value in between can exceed it. What is left out cannot change the result.
"""

from __future__ import annotations

import numpy as np

from models.measures.blocks import Array, Meter, Samples, measured, power_db

# Phases 0 and 1 of the standard's table; 3 and 2 are the same backwards.
_PHASE_0 = (
    0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625,
    0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500,
)  # fmt: skip
_PHASE_1 = (
    -0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250,
    0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375,
)  # fmt: skip
TAPS = 12
ROW = 32  # samples that are kept or left out together


def true_peak_phases(sample_rate_hz: int) -> Array:
    """Interpolation filters, float32 [phases, TAPS], each a phase between two samples; none from 192 kHz."""
    if sample_rate_hz >= 192_000:
        return np.empty((0, TAPS), np.float32)
    if sample_rate_hz >= 96_000:
        offsets = np.arange(TAPS) - (TAPS - 1) / 2
        half = np.sinc(offsets) * np.kaiser(TAPS, 5.0)
        return np.array([half / half.sum()], np.float32)
    return np.array([_PHASE_0, _PHASE_1, _PHASE_1[::-1], _PHASE_0[::-1]], np.float32)


class TruePeakMeter(Meter[float | None]):
    """True peak of the loudest channel, dBTP; None for digital silence."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        phases = true_peak_phases(sample_rate_hz)
        self._gain = float(np.abs(phases).sum(1).max(initial=0.0)) * (1 + 1e-6)  # and a little for float32's rounding
        self._filter = _banded(phases)
        self._before = np.zeros((channels, TAPS - 1), np.float32)
        self._peak = 0.0

    def _fold(self, planes: Samples) -> None:
        self._peak = max(self._peak, float(planes.max()), -float(planes.min()))
        if not self._gain:
            return
        rows = self._rows(planes)
        reach = np.maximum(rows.max(1), -rows.min(1))
        order = np.argsort(reach)[::-1]
        # The highest rows first: what they hold between the samples spares most of the others.
        self._interpolate(rows[order[:16]])
        rest = order[16:]
        self._interpolate(rows[rest[reach[rest] * self._gain > self._peak]])

    def _rows(self, planes: Samples) -> Samples:
        """All samples, each row [ROW + TAPS - 1] with those that the filter needs before its own."""
        channels, frames = planes.shape
        padded = np.zeros((channels, TAPS - 1 + -(-frames // ROW) * ROW + ROW), np.float32)
        padded[:, : TAPS - 1] = self._before
        padded[:, TAPS - 1 : TAPS - 1 + frames] = planes
        self._before = padded[:, frames : frames + TAPS - 1].copy()
        windows = np.lib.stride_tricks.sliding_window_view(padded, ROW + TAPS - 1, axis=1)
        return windows[:, ::ROW].reshape(-1, ROW + TAPS - 1)

    def _interpolate(self, rows: Samples) -> None:
        if len(rows):
            between = rows @ self._filter
            self._peak = max(self._peak, float(between.max()), -float(between.min()))

    def _conclude(self) -> float | None:
        # A signal that ends on a large sample still rings behind it.
        if self._gain:
            self._interpolate(self._rows(np.zeros((self.channels, TAPS), np.float32)))
        return power_db(self._peak**2)


def _banded(phases: Array) -> Array:
    """The filters as a matrix [ROW + TAPS - 1, ROW * phases], so that a row is filtered by one product."""
    matrix = np.zeros((ROW + TAPS - 1, ROW, len(phases)), np.float32)
    for at in range(ROW):
        matrix[at : at + TAPS, at] = phases[:, ::-1].T
    return matrix.reshape(ROW + TAPS - 1, -1)


def true_peak(samples: Samples, sample_rate_hz: int) -> float | None:
    """True peak of a whole recording, [frames] or [frames, channels], dBTP; None for digital silence."""
    return measured(TruePeakMeter, samples, sample_rate_hz)
