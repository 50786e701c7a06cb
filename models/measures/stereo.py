"""How the channels relate: correlation, one signal in two channels, opposite polarity, channels without signal.

Of more than two channels the first two are left and right, as in all standard layouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.measures.blocks import LFE, Array, Meter, Samples, measured

SILENT_POWER = 1e-12  # a channel below -120 dBFS carries no signal whatever the others do ...
MISSING_BELOW = 1e-6  # ... nor does one 60 dB below the loudest
FALSE_BELOW = 1e-6  # power of what the channels do not share, 60 dB below
INVERTED_BELOW = -0.9


@dataclass(frozen=True, kw_only=True)
class Stereo:
    """Relations of the channels."""

    correlation: float | None  #: of left and right, -1..1; None unless both carry signal
    false_stereo: bool  #: exactly two channels, and one is the other, perhaps at another level
    missing_channels: tuple[int, ...]  #: without signal while others have one, from 0; the low-frequency channel may be
    inverted: bool  #: left and right carry one signal with opposite polarity


class StereoMeter(Meter[Stereo]):
    """Correlation and what follows from it, from second moments about the mean."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._sums = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def _fold(self, planes: Samples) -> None:
        wide = planes.astype(np.float64)
        self._sums += wide.sum(1)
        self._products += wide @ wide.T

    def _conclude(self) -> Stereo:
        frames = max(self.frames, 1)
        covariance = self._products / frames - np.outer(self._sums, self._sums) / frames**2
        powers = covariance.diagonal()
        carries = powers > max(SILENT_POWER, float(powers.max()) * MISSING_BELOW)
        correlation = _correlation(covariance) if self.channels > 1 and carries[:2].all() else None
        return Stereo(
            correlation=correlation,
            false_stereo=self.channels == 2 and correlation is not None and _is_one_signal(covariance),
            missing_channels=_missing(carries),
            inverted=correlation is not None and correlation <= INVERTED_BELOW,
        )


def _correlation(covariance: Array) -> float:
    return float(np.clip(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), -1, 1))


def _is_one_signal(covariance: Array) -> bool:
    """Whether the best multiple of one channel leaves next to nothing of the other, in the same polarity."""
    unshared = 1 - covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
    return bool(covariance[0, 1] > 0 and unshared < FALSE_BELOW)


def _missing(carries: Array) -> tuple[int, ...]:
    if not carries.any():
        return ()
    has_lfe = len(carries) >= 6
    return tuple(int(c) for c in np.flatnonzero(~carries) if not (has_lfe and c == LFE))


def stereo_image(samples: Samples, sample_rate_hz: int) -> Stereo:
    """Relations of the channels of a whole recording, [frames] or [frames, channels]."""
    return measured(StereoMeter, samples, sample_rate_hz)
