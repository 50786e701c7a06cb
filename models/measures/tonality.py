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
        self._places = [int(hz * self._size / rate_hz) for hz in edges_hz]
        bins, width = np.arange(self._size // 2 + 1), max(3, round(WHITE_HZ * self._size / rate_hz))
        self._around = np.maximum(bins - width, 0), np.minimum(bins + width, len(bins))
        self._lags = slice(*(round(seconds * rate_hz) for seconds in PITCHES_S))

    def of(self, wave: Samples, bands: Array) -> float:
        """The highest autocorrelation at lags of pitches, over the deviation that noise has: 2 to 5 of noise.

        Args:
            wave: [frames]; of a longer one its end is heard.
            bands: which of them are heard, bool [bands].
        """
        wave = wave[-self.frames :]
        power = np.square(np.abs(scipy.fft.rfft(wave * self._window[: len(wave)], self._size)))
        low, high = self._around
        sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
        heard = np.zeros(len(power))
        heard[self._places[0] : self._places[-1]] = np.repeat(bands, np.diff(self._places))
        white = heard * np.minimum(power * (high - low) / (sums[high] - sums[low] + 1e-20), HIGHEST)
        again = scipy.fft.irfft(white.astype(np.float32), self._size)
        deviation = 1 / np.sqrt(heard.sum() * len(wave) / self._size + 1)
        return float(again[self._lags].max() / max(again[0], 1e-12) / deviation)
