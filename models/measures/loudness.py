"""Loudness and true peak after ITU-R BS.1770-4, EBU R 128, EBU Tech 3341 (momentary, short-term) and 3342 (range).

Loudness is LUFS, its range LU, true peak dBTP. The K-weighting is derived from the analogue prototype behind the
standard's table of 48 kHz, so that it holds at any rate. The largest momentary and short-term loudness are sought every
10 ms, finer than the 100 ms asked for, since Tech 3341 (cases 13, 14) has tones that fall between.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from models.measures.blocks import LFE, Array, Meter, Samples, measured

TICKS_PER_S = 100  # loudness is looked at every 10 ms ...
TICKS_PER_HOP = 10  # ... and gated every 100 ms
MOMENTARY_HOPS, SHORT_TERM_HOPS = 4, 30
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU, RANGE_GATE_LU = -70.0, -10.0, -20.0
SURROUND = 1.41

# Channels in the order of WAV and FLAC. The weight goes by azimuth (BS.1770-4, table 4): 1.41 from 60 to 120 degrees,
# where 5.1's surrounds and 7.1's sides are; 1 in front and at the back; 0 for the low-frequency channel.
_WEIGHTS = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),
    4: (1.0, 1.0, SURROUND, SURROUND),
    5: (1.0, 1.0, 1.0, SURROUND, SURROUND),
    6: (1.0, 1.0, 1.0, 0.0, SURROUND, SURROUND),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, SURROUND, SURROUND),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, SURROUND, SURROUND),
}
assert all(len(w) == n and (n < 6 or w[LFE] == 0.0) for n, w in _WEIGHTS.items())


@dataclass(frozen=True, kw_only=True)
class Loudness:
    """What can be said about the loudness of a recording; None where it is too short or nothing passes the gate."""

    integrated_lufs: float | None
    range_lu: float | None
    max_momentary_lufs: float | None
    max_short_term_lufs: float | None


def k_weighting(sample_rate_hz: int) -> Array:
    """The K filter as second-order sections [2, 6]: a shelf for the head, then a high-pass (BS.1770-4, annex 1).

    >>> [round(float(b), 8) for b in k_weighting(48000)[0, :3]]  # the standard's table 1
    [1.53512486, -2.69169619, 1.19839281]
    """
    shelf_k, high_k = (np.tan(np.pi * f / sample_rate_hz) for f in (1681.974450955533, 38.13547087602444))
    shelf_q, high_q = 0.7071752369554196, 0.5003270373238773
    top = 10 ** (3.999843853973347 / 20)
    middle = top**0.4996667741545416
    scale = 1 + shelf_k / shelf_q + shelf_k**2
    shelf = [top + middle * shelf_k / shelf_q + shelf_k**2, 2 * (shelf_k**2 - top)]
    shelf += [top - middle * shelf_k / shelf_q + shelf_k**2]
    shelf += [scale, 2 * (shelf_k**2 - 1), 1 - shelf_k / shelf_q + shelf_k**2]
    # The table's high-pass has 1, -2, 1 at 48 kHz: the analogue filter with this gain, kept at the other rates.
    reference_k = np.tan(np.pi * 38.13547087602444 / 48_000)
    gain = 1 + reference_k / high_q + reference_k**2
    high_scale = 1 + high_k / high_q + high_k**2
    high = [gain, -2 * gain, gain, high_scale, 2 * (high_k**2 - 1), 1 - high_k / high_q + high_k**2]
    return np.array([np.array(shelf) / scale, np.array(high) / high_scale])


class LoudnessMeter(Meter[Loudness]):
    """Integrated loudness, its range, and the largest momentary and short-term loudness. Keeps 80 bytes a second."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._filter = k_weighting(sample_rate_hz)
        self._state = np.zeros((2, channels, 2))
        self._weights = np.array(_WEIGHTS[channels])
        self._edges = np.arange(TICKS_PER_S + 1) * sample_rate_hz // TICKS_PER_S
        self._recent = np.empty(0)  # powers of the last ticks, as many as a short-term window still needs
        self._hops = array("d")  # power of each 100 ms
        self._loudest = {MOMENTARY_HOPS: 0.0, SHORT_TERM_HOPS: 0.0}

    def _fold(self, planes: Samples) -> None:
        from scipy.signal import sosfilt  # here, since scipy.signal takes a second to import

        weighted, self._state = sosfilt(self._filter, planes.astype(np.float64), zi=self._state)
        self._state[np.abs(self._state) < 1e-30] = 0.0  # subnormal numbers after a sound's end would cost much time
        ticks = self._ticks(weighted)
        whole = len(ticks) // TICKS_PER_HOP * TICKS_PER_HOP
        self._hops.extend(ticks[:whole].reshape(-1, TICKS_PER_HOP).mean(1).tolist())
        self._recent = np.concatenate([self._recent, ticks])
        for hops in self._loudest:
            windows = sliding_mean(self._recent, hops * TICKS_PER_HOP)
            self._loudest[hops] = max(self._loudest[hops], float(windows.max(initial=0.0)))
        self._recent = self._recent[-SHORT_TERM_HOPS * TICKS_PER_HOP :]

    def _ticks(self, weighted: Array) -> Array:
        """Channel-weighted mean square of each whole 10 ms of a second."""
        edges = self._edges[self._edges <= weighted.shape[1]]
        if len(edges) < 2:
            return np.empty(0)
        squares = np.add.reduceat(weighted[:, : edges[-1]] ** 2, edges[:-1], axis=1)
        return np.asarray(self._weights @ squares / np.diff(edges))

    def _conclude(self) -> Loudness:
        hops = np.frombuffer(self._hops, np.float64) if self._hops else np.empty(0)
        return Loudness(
            integrated_lufs=_integrated(sliding_mean(hops, MOMENTARY_HOPS)),
            range_lu=_range(sliding_mean(hops, SHORT_TERM_HOPS)),
            max_momentary_lufs=_lufs(self._loudest[MOMENTARY_HOPS]),
            max_short_term_lufs=_lufs(self._loudest[SHORT_TERM_HOPS]),
        )


def sliding_mean(values: Array, width: int) -> Array:
    """Means of all windows of `width` values, summed afresh so that no rounding is carried along."""
    if len(values) < width:
        return np.empty(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, width).mean(-1))


def _lufs(power: float) -> float | None:
    return float(-0.691 + 10 * np.log10(power)) if power > 0 else None


def _gate(lufs: float) -> float:
    """The power that has a loudness."""
    return float(10 ** ((lufs + 0.691) / 10))


def _integrated(powers: Array) -> float | None:
    """Gated loudness of 400 ms windows (BS.1770-4, annex 1, equations 3 to 7)."""
    powers = powers[powers > _gate(ABSOLUTE_GATE_LUFS)]
    if not len(powers):
        return None
    return _lufs(float(powers[powers > powers.mean() * 10 ** (RELATIVE_GATE_LU / 10)].mean()))


def _range(powers: Array) -> float | None:
    """Loudness range of 3 s windows: from the 10th to the 95th percentile of what passes the gates (Tech 3342)."""
    powers = powers[powers > _gate(ABSOLUTE_GATE_LUFS)]
    if not len(powers):
        return None
    powers = np.sort(powers[powers > powers.mean() * 10 ** (RANGE_GATE_LU / 10)])
    low, high = (powers[int(np.floor((len(powers) - 1) * share + 0.5))] for share in (0.10, 0.95))
    return float(10 * np.log10(high / low))


def measure_loudness(samples: Samples, sample_rate_hz: int) -> Loudness:
    """Loudness of a whole recording, [frames] or [frames, channels]."""
    return measured(LoudnessMeter, samples, sample_rate_hz)


def integrated_loudness(samples: Samples, sample_rate_hz: int) -> float | None:
    """Integrated loudness in LUFS of a whole recording; None below 400 ms or if nothing passes the gate.

    >>> tone = np.sin(2 * np.pi * 997 * np.arange(48_000) / 48_000).astype(np.float32)
    >>> round(integrated_loudness(tone, 48_000), 2)
    -3.01
    """
    return measure_loudness(samples, sample_rate_hz).integrated_lufs
