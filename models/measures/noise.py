"""Noise floor and signal-to-noise ratio, by minimum statistics (Martin, IEEE Trans. SAP 9(5), 2001) per band.

The noise floor is the level of what is always there and is no tone, in dBFS (mean square; 0 dBFS is mean square 1), of
all frequencies together, unweighted. Music that never rests hides its noise, and then its own quietest moments count;
as it falls more steeply with frequency than noise, its highs bound the noise of its lows. The ratio is the mean level
of everything over the noise floor, 0 dB for noise alone.
"""

from __future__ import annotations

import numpy as np

from models.measures.bandwidth import DITHER_POWER, bandwidth_of
from models.measures.blocks import Array, Samples, power_db
from models.measures.spectrum import BINS_PER_BAND, Spectrum, spectral_statistics

STEEPEST = 1.5  # noise falls with frequency by 4.5 dB an octave at most: hiss is flat, rooms and grooves are pink
PLAY = 1.4  # since each band's background is an estimate


def noise_power(found: Spectrum) -> Array:
    """Background of each bin, [bins]."""
    per_bin = np.repeat(_capped(found), BINS_PER_BAND)
    return np.asarray(np.pad(per_bin, (0, len(found.mean) - len(per_bin)), mode="edge"))


def _capped(found: Spectrum) -> Array:
    """Background [bands] without what falls more steeply than noise does: that is dense music's own.

    The bands above the bandwidth have no say: a low-pass filter took their noise away.
    """
    weight = np.arange(1, len(found.background) + 1.0) ** STEEPEST
    top_hz = 0.9 * (bandwidth_of(found) or np.inf)
    within = np.arange(1, len(weight) + 1) * BINS_PER_BAND * found.bin_hz < top_hz
    # Lossy codecs leave nothing at all in quiet high bands: below the dither of 16 bit is not evidence of less.
    background = np.maximum(found.background, DITHER_POWER / len(found.mean))
    steepest = np.minimum.accumulate(np.where(within, background * weight, np.inf)[::-1])[::-1] / weight
    return np.minimum(found.background, PLAY * steepest)


def noise_floor_of(found: Spectrum | None) -> float | None:
    """Noise floor, dBFS, from the spectral pass."""
    return None if found is None else power_db(float(noise_power(found).sum()))


def snr_of(found: Spectrum | None) -> float | None:
    """Mean level over the noise floor, dB, at least 0, from the spectral pass."""
    if found is None:
        return None
    ratio = power_db(float(found.mean.sum() / noise_power(found).sum()))
    return None if ratio is None else max(0.0, ratio)


def noise_floor(samples: Samples, sample_rate_hz: int) -> float | None:
    """Noise floor of a whole recording, [frames] or [frames, channels], dBFS; None if too short (0.1 s) or silent."""
    return noise_floor_of(spectral_statistics(samples, sample_rate_hz))


def signal_to_noise(samples: Samples, sample_rate_hz: int) -> float | None:
    """Level of a whole recording over its noise floor, dB; None if too short (0.1 s) or digitally silent."""
    return snr_of(spectral_statistics(samples, sample_rate_hz))
