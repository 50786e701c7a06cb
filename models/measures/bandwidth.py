"""Effective bandwidth: the highest frequency, Hz, up to which a recording has content.

Content is what rises above three floors in at least 3 % of the moments: the dither of 16 bit, the stationary
background, and 100 dB below the strongest band. A recording that is nothing but stationary noise has no content in that
sense; there the background counts as content. What lies beyond a cliff, a fall by 35 dB within 8 % of the frequency
that nothing above makes good, is the leakage of a low-pass filter and no content.
"""

from __future__ import annotations

import numpy as np

from models.measures.blocks import Array, Samples
from models.measures.spectrum import BINS_PER_BAND, FIRST_BIN, Spectrum, spectral_statistics

DITHER_POWER = (1 / 32768) ** 2 / 4  # triangular dither and the rounding: 1/6 + 1/12 of a squared step
OVER_DITHER_DB, OVER_BACKGROUND_DB, UNDER_STRONGEST_DB = 6.0, 6.0, 100.0
CLIFF_DB, CLIFF_WIDTH, CLIFF_ABOVE_HZ = 35.0, 0.08, 2000.0


def bandwidth_of(found: Spectrum | None) -> float | None:
    """Effective bandwidth from the spectral pass; None if there was nothing to look at or nothing above the dither."""
    if found is None:
        return None
    floor = DITHER_POWER / len(found.mean) * 10 ** (OVER_DITHER_DB / 10)
    floor = max(floor, float(found.loud.max()) * 10 ** (-UNDER_STRONGEST_DB / 10))
    audible = found.loud > floor
    content = audible & (found.loud > found.background * 10 ** (OVER_BACKGROUND_DB / 10))
    chosen = content if content.any() else audible
    if not chosen.any():
        return None
    highest = int(np.flatnonzero(chosen)[-1])
    cliff = _cliff(np.maximum(found.loud, floor), found.bin_hz * BINS_PER_BAND)
    return _upper_edge_hz(found, highest if cliff is None else min(cliff, highest), floor)


def _cliff(levels: Array, band_hz: float) -> int | None:
    """The highest band in front of a cliff, None if there is none."""
    loudest_from = np.maximum.accumulate(levels[::-1])[::-1]  # of a band and all above it
    bands = np.arange(int(CLIFF_ABOVE_HZ / band_hz), len(levels))
    beyond = bands + 1 + np.ceil(bands * CLIFF_WIDTH).astype(int)
    bands = bands[beyond < len(levels)]
    falls = levels[bands] > loudest_from[beyond[: len(bands)]] * 10 ** (CLIFF_DB / 10)
    return int(bands[falls][-1]) if falls.any() else None


def _upper_edge_hz(found: Spectrum, band: int, floor: float) -> float:
    """The highest bin of `band` that is not far below its strongest; the last band reaches to half the sample rate."""
    if band == len(found.loud) - 1:
        return (len(found.mean) + FIRST_BIN - 1) * found.bin_hz
    bins = found.mean[band * BINS_PER_BAND : (band + 1) * BINS_PER_BAND]
    highest = int(np.flatnonzero(bins >= max(bins.max() / 100, min(floor, bins.max())))[-1])
    return float((FIRST_BIN + band * BINS_PER_BAND + highest + 0.5) * found.bin_hz)


def effective_bandwidth(samples: Samples, sample_rate_hz: int) -> float | None:
    """Effective bandwidth of a whole recording, [frames] or [frames, channels], Hz."""
    return bandwidth_of(spectral_statistics(samples, sample_rate_hz))
