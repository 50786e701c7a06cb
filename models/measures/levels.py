"""Sample peak (dBFS) and DC offset (share of full scale, signed)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.measures.blocks import Meter, Samples, measured, power_db


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The extremes of a recording."""

    sample_peak_dbfs: float | None  #: None for digital silence
    dc_offset: float  #: mean of the channel whose mean is farthest from 0
    channel_peaks: tuple[float, ...]  #: largest magnitude of each channel
    channel_powers: tuple[float, ...]  #: mean square of each channel, DC included


class LevelMeter(Meter[Levels]):
    """Sample peak and DC offset."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._sums = np.zeros(channels)
        self._squares = np.zeros(channels)
        self._peaks = np.zeros(channels)

    def _fold(self, planes: Samples) -> None:
        self._peaks = np.maximum(self._peaks, np.maximum(planes.max(1), -planes.min(1)))
        wide = planes.astype(np.float64)
        self._sums += wide.sum(1)
        self._squares += np.einsum("cf,cf->c", wide, wide)

    def _conclude(self) -> Levels:
        means = self._sums / max(self.frames, 1)
        return Levels(
            sample_peak_dbfs=power_db(float(self._peaks.max()) ** 2),
            dc_offset=float(means[np.abs(means).argmax()]),
            channel_peaks=tuple(self._peaks.tolist()),
            channel_powers=tuple((self._squares / max(self.frames, 1)).tolist()),
        )


def sample_levels(samples: Samples, sample_rate_hz: int) -> Levels:
    """Peaks and DC offset of a whole recording, [frames] or [frames, channels].

    >>> sample_levels(np.array([0.5, -0.25], np.float32), 8000).dc_offset
    0.125
    """
    return measured(LevelMeter, samples, sample_rate_hz)
