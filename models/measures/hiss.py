"""Hiss: a floor of noise that nothing falls below, as high at high frequencies as at lower ones.

Noise that is added all along can only add. So in each band of half an octave, the softest of some moments has the same
level wherever one looks, to within what noise itself varies by; music's softest moments wander by many decibels. And
hiss is broad: noise of tape and of amplifiers is level over frequency or rises, while music falls. Where two
neighbouring bands have such a floor, level with each other and with all bands above, and not far below the music, it is
hiss. It goes on for as long as no moment falls below the floor, and many lie at it. (Minimum statistics are Martin's,
IEEE Trans. SAP 9(5), 2001; there they estimate noise, here their steadiness is the proof of it.)

Bands stop at 16 kHz: above, codecs leave nothing. Levels are those that white noise of the same density has over all
frequencies, against the level of the whole recording in the same channel.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft
from scipy.ndimage import minimum_filter1d

from models.events import Event, merged, runs_of
from models.measures.blocks import Array, Meter, Samples, measured, within_float32
from models.measures.finding import everywhere

FRAME_S, HOP_S = 0.046, 0.07
BLOCK_HOPS = 14  # that are looked at together
BANDS_HZ = (1000.0, 1500.0, 2200.0, 3200.0, 4500.0, 6300.0, 8800.0, 12000.0, 16000.0)
HIGHEST = 0.46  # of the rate
SOFTEST_S, STEADY_S = 1.5, 3.0  # of which the softest moment is taken; over which that must be steady
STEADY_DB, SPREAD_DB = 1.0, 0.4  # of bands in which noise itself varies by as much; narrower ones may vary by more
SOFTEST_SPREADS, BELOW_SPREADS = 2.2, 4.5  # that noise's softest moment lies below its mean; that nothing lies below
LEAST_DB = -38.0  # of hiss, against the recording: what is softer is any old recording's own
FAINTEST_DBFS = -90.0  # the dither of 16 bit is none
RISES_DB, LEVEL_DB = 1.0, 2.5  # from band to band: usually, and up and down from that
FALLS_DB = 1.5  # by which a band above may lie below
CUT_DB = -70.0  # a band is empty: something was filtered out
SHORTEST_S = 2.0
AT_SPREADS, AT_S, AT_SHARE = 3.0, 1.0, 0.07  # at the floor, in both bands: altogether, and of the stretch, at least
APART_S = 1.0


class HissFinder(Meter[tuple[Event, ...]]):
    """Stretches of hiss, by channel."""

    name = "hiss"
    in_one_piece = False

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._hop = round(HOP_S * sample_rate_hz)
        super().__init__(sample_rate_hz, channels, block_samples=BLOCK_HOPS * self._hop)
        size = 2 ** round(np.log2(FRAME_S * sample_rate_hz))
        edges = np.array([hz for hz in BANDS_HZ if hz <= HIGHEST * sample_rate_hz])
        window = np.hanning(size + 1)[:-1]
        self._window = (window * np.sqrt(2 / size / np.sum(window**2))).astype(np.float32)
        self._bins = np.rint(edges * size / sample_rate_hz).astype(int)
        self._spreads_db = 10 / np.log(10) / np.sqrt(np.diff(self._bins) / 1.5)  # a Hann window's bins are no strangers
        self._density = 0.5 * size / np.diff(self._bins)
        self._levels = [np.empty((channels, 0, len(self._bins) - 1), np.float32)]
        self._energy = np.zeros(channels)

    def _fold(self, planes: Samples) -> None:
        planes, size = within_float32(planes), len(self._window)
        self._energy += np.einsum("cs,cs->c", planes, planes)
        if planes.shape[1] < size:
            return
        frames = sliding_window_view(planes, size, axis=1)[:, :: self._hop]
        parts = rfft(frames * self._window, axis=2)[:, :, : self._bins[-1]].view(np.float32)  # real and imaginary
        powers = np.add.reduceat(np.square(parts), 2 * self._bins[:-1], axis=2)
        self._levels.append((10 * np.log10(powers * self._density + 1e-14)).astype(np.float32))

    def _conclude(self) -> tuple[Event, ...]:
        levels = np.concatenate(self._levels, axis=1)
        if levels.shape[1] * HOP_S < STEADY_S or levels.shape[2] < 2:
            return ()
        over_db = np.maximum(10 * np.log10(self._energy / self.frames + 1e-12), FAINTEST_DBFS - LEAST_DB)
        events = [self._event(*found, c) for c in range(self.channels) for found in self._found(levels[c] - over_db[c])]
        return tuple(everywhere(merged(events, APART_S), self.channels))

    def _event(self, start: int, stop: int, level_db: float, channel: int) -> Event:
        duration_s, hop_s = self.frames / self.sample_rate_hz, self._hop / self.sample_rate_hz  # not HOP_S at any rate
        start_s, end_s = start * hop_s, min(stop * hop_s, duration_s)
        end_s = duration_s if duration_s - end_s < 2 * hop_s else end_s
        words = f"a steady floor of noise {-level_db:.0f} dB below the recording"
        return Event(self.name, start_s, end_s, channel, 0.9, words)

    def _found(self, levels: Array) -> list[tuple[int, int, float]]:
        """Stretches of frames (start, stop) with the floor's level, from levels [frames, bands], dB."""
        softest = _softest(levels, round(SOFTEST_S / HOP_S))
        reach = round(STEADY_S / HOP_S)
        varies = -_softest(-softest, reach) - _softest(softest, reach)
        floors = softest + SOFTEST_SPREADS * self._spreads_db
        steady = (varies <= STEADY_DB * np.maximum(1, self._spreads_db / SPREAD_DB)) & (floors > LEAST_DB)
        level = np.abs(np.diff(floors, axis=1) - RISES_DB) < LEVEL_DB
        above = np.minimum.accumulate(np.where(floors < CUT_DB, np.inf, floors)[:, ::-1], axis=1)[:, ::-1]
        pairs = steady[:, 1:] & steady[:, :-1] & level & (above[:, 1:] >= floors[:, :-1] - FALLS_DB)
        found: list[tuple[int, int, float]] = []
        for start, stop in runs_of(pairs.any(axis=1)):
            if not found or start >= found[-1][1]:
                pair = int(pairs[start:stop].sum(axis=0).argmax())
                bands = slice(pair, pair + 2)
                floor = np.median(floors[start:stop, bands], axis=0)
                over = (levels[:, bands] - floor) / self._spreads_db[bands]
                first, last = _between((over < -BELOW_SPREADS).any(axis=1), (start + stop) // 2)
                at_s = HOP_S * np.count_nonzero((np.abs(over[first:last]) < AT_SPREADS).all(axis=1))
                lasts_s = (last - first) * HOP_S
                if lasts_s >= SHORTEST_S and at_s >= max(AT_S, AT_SHARE * lasts_s):
                    found.append((first, last, float(floor.mean())))
        return found


def _softest(levels: Array, reach: int) -> Array:
    """The least of the `reach` moments around each, [frames, bands]."""
    return np.asarray(minimum_filter1d(levels, min(reach, len(levels)), axis=0, mode="nearest"))


def _between(stops: Array, middle: int) -> tuple[int, int]:
    """The stretch around `middle` in which no frame of `stops` [frames] holds.

    >>> _between(np.array([True, False, False, False, True]), 2)
    (1, 4)
    """
    before, after = np.flatnonzero(stops[:middle]), np.flatnonzero(stops[middle:])
    return int(before[-1]) + 1 if len(before) else 0, middle + int(after[0]) if len(after) else len(stops)


def find_hiss(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stretches of hiss of a whole recording, [frames] or [frames, channels]."""
    return measured(HissFinder, samples, sample_rate_hz)
