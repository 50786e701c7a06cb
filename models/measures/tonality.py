"""Whether a short stretch has a pitch, or is unforeseeable as noise is: the autocorrelation of its whitened spectrum.

What is divided by its own smooth spectrum has no colour left. Noise then is like itself at no lag, within a deviation
that follows from its length and bandwidth; partials of a tone, however many sound, are so at their period.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

from models.measures.blocks import Array, Samples

HEARD_S = 0.046
PITCHES_S = (0.0012, 0.02)  # lags
WHITE_HZ = 400.0  # to either side, for the spectrum that whitens
HIGHEST = 20.0  # that a bin counts, over what is around it


class Tonality:
    """Of stretches of `frames` samples, by bands.

    Args:
        edges_hz: of the bands, in order, below half the rate.
    """

    def __init__(self, rate_hz: int, edges_hz: Sequence[float]) -> None:
        self.frames = round(HEARD_S * rate_hz)
        self._size = scipy.fft.next_fast_len(2 * self.frames, True)
        self._window = np.hanning(self.frames).astype(np.float32)
        places = [int(hz * self._size / rate_hz) for hz in edges_hz]
        self._heard, self._widths = slice(places[0], places[-1]), np.diff(places)
        count, self._width = self._size // 2 + 1, max(3, round(WHITE_HZ * self._size / rate_hz))
        bins = np.arange(count)
        self._around = np.minimum(bins + self._width, count) - np.maximum(bins - self._width, 0)
        self._sums = np.zeros(count + 2 * self._width)  # of what is below each bin, and below others beyond both ends
        self._lags = slice(*(round(seconds * rate_hz) for seconds in PITCHES_S))

    def of(self, wave: Samples, bands: Array) -> float:
        """The highest autocorrelation at lags of pitches, over the deviation that noise has: 2 to 5 of noise.

        Args:
            wave: [frames]; of a longer one its end is heard.
            bands: which of them are heard, bool [bands].
        """
        wave = wave[-self.frames :]
        spectrum = scipy.fft.rfft(wave * self._window[: len(wave)], self._size)
        white = np.zeros(len(spectrum), np.float32)
        white[self._heard] = np.repeat(bands, self._widths) * self._whitened(spectrum)[self._heard]
        again = scipy.fft.irfft(white, self._size)
        deviation = 1 / np.sqrt(bands @ self._widths * len(wave) / self._size + 1)
        return float(again[self._lags].max() / max(again[0], 1e-12) / deviation)

    def _whitened(self, spectrum: Array) -> Array:
        """Power over what is around each bin on average, [bins]."""
        power, width = spectrum.real**2 + spectrum.imag**2, self._width
        np.cumsum(power, out=self._sums[width + 1 : width + 1 + len(power)])
        self._sums[width + 1 + len(power) :] = self._sums[width + len(power)]
        around = self._sums[2 * width :] - self._sums[: -2 * width]
        return np.asarray(np.minimum(power * self._around / (around + 1e-20), HIGHEST))
