"""Where a wave comes again within 60 ms, whatever its gain: by the signs of its samples.

No gain changes signs, and rounding changes those of the faintest samples alone. So the signs of 32 samples, every
millisecond, are looked for in what follows, as keys in a table; where they are found, two milliseconds are compared.
Recorded music has hardly a place where these agree to -25 dB.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.measures.blocks import Array, Samples

Places = npt.NDArray[np.int64]
Halves = npt.NDArray[np.uint16]  # halves of words, or keys of whole ones

SHORTEST_LAG_S, LONGEST_LAG_S = 0.005, 0.0605
WORD = 32  # signs that are looked for
FEWEST = 4  # of one sign among them: what is nearly all of one tells nothing
ANCHORS_S = 0.001
NEAREST = 3  # places of the same signs that are tried
ALIKE = 10 ** (-25 / 10)  # power of what a gain does not explain, of all
FAINTEST = 1e-5


class Pairs(NamedTuple):
    """Places where the same sound begins, [pairs] each."""

    sources: Places
    copies: Places  #: later ones

    def where(self, true: npt.NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(self.sources[true], self.copies[true])


def pairs_in(sound: Samples, core: slice, rate_hz: int) -> Pairs:
    """Pairs whose sources lie in the `core` of a `sound` [frames], whitened alike but for a gain for 2 ms."""
    window, step = _window(rate_hz), _step(rate_hz)
    begin = max(0, core.start + int(window[0])) // step * step
    # Not much more than what is looked at: the longest lag, and a word or a window after it.
    stop = core.stop + round(LONGEST_LAG_S * rate_hz) + WORD + len(window)
    wave = whitened(sound[begin : stop + 2])
    pairs = _same_signs(wave, slice(core.start - begin, core.stop - begin), rate_hz)
    pairs = _alike(wave, pairs, window) if len(pairs.copies) else pairs
    return Pairs(begin + pairs.sources, begin + pairs.copies)


def whitened(sound: Samples) -> Samples:
    """The second difference, [frames - 2]."""
    rises = sound[1:] - sound[:-1]
    return np.asarray(rises[1:] - rises[:-1])


def _same_signs(wave: Samples, core: slice, rate_hz: int) -> Pairs:
    longest = round(LONGEST_LAG_S * rate_hz)
    halves = _half_words(wave[core.start : core.stop + longest + WORD])
    keys = _keys(halves)
    step = _step(rate_hz)
    anchors = np.arange((-core.start) % step, min(core.stop - core.start, len(keys)), step)
    signs = np.bitwise_count(_words(halves, anchors))
    anchors = anchors[(signs >= FEWEST) & (signs <= WORD - FEWEST)]
    places = _maybe(halves, keys, anchors)
    if not len(places):
        return Pairs(places, places)
    found = _met(halves, anchors, places, longest)
    lags = found.copies - found.sources
    found = found.where(lags >= round(SHORTEST_LAG_S * rate_hz))
    return Pairs(core.start + found.sources, core.start + found.copies)


def _maybe(halves: Halves, keys: Halves, anchors: Places) -> Places:
    """Places that may have the word of one of `anchors`, but for those that are known to be nothing but themselves."""
    sought, known = keys[anchors], np.zeros(2**16, bool)
    known[sought] = True
    first, last = np.empty((2, 2**16), np.int32)  # place of the first and the last anchor of a key
    first[sought[::-1]], last[sought] = anchors[::-1], anchors
    maybe = known.take(keys)
    maybe[anchors] = first[sought] != last[sought]
    places = np.flatnonzero(maybe)
    words, keys = _words(halves, places), keys[places]
    kept = np.zeros(len(places), bool)
    for some in (first[keys], last[keys]):
        kept |= (places != some) & (words == _words(halves, some))
    between = (first[sought] != anchors) & (last[sought] != anchors)
    if between.any():
        known[:] = False
        known[sought[between]] = True
        kept |= known[keys]
    return places[kept]


def _met(halves: Halves, anchors: Places, places: Places, longest: int) -> Pairs:
    """The first NEAREST of `anchors` that lie no more than `longest` before each of `places` and have the same word."""
    ordered = np.append(np.sort(_words(halves, anchors).astype(np.int64) << 31 | anchors), -1)
    sought = _words(halves, places).astype(np.int64) << 31
    first = np.searchsorted(ordered[:-1], sought | np.maximum(places - longest, 0))
    near = ordered[np.minimum(first + np.arange(NEAREST)[:, None], len(ordered) - 1)] - sought  # or another word's
    later, met = np.nonzero((near <= places) & (near >= places - longest))
    return Pairs(near[later, met], places[met])


def _half_words(wave: Samples) -> Halves:
    """The signs of the WORD / 2 samples from each place on, a bit each."""
    signs = (wave > 0).view(np.uint8)
    for bits in (1, 2, 4):
        signs = signs[:-bits] | signs[bits:] * np.uint8(1 << bits)  # NumPy shifts bytes one by one
    wide = signs.astype(np.uint16)
    return wide[:-8] | (wide[8:] << np.uint16(8))


def _words(halves: Halves, places: npt.NDArray[np.integer]) -> npt.NDArray[np.uint32]:
    """The signs of the WORD samples from each of `places` on."""
    return np.asarray(halves[places] | (halves[places + WORD // 2].astype(np.uint32) << np.uint32(WORD // 2)))


def _keys(halves: Halves) -> Halves:
    """A number for each word: mostly another for others."""
    return halves[: -WORD // 2] * np.uint16(0xCA6B) ^ halves[WORD // 2 :] * np.uint16(0x3C6D)


def _step(rate_hz: int) -> int:
    """Frames from one anchor to the next."""
    return max(8, round(ANCHORS_S * rate_hz))


def _window(rate_hz: int) -> Places:
    """What is compared around a place."""
    return np.arange(-8, max(48, round(0.002 * rate_hz)))


def _alike(wave: Samples, pairs: Pairs, window: Places) -> Pairs:
    pairs = pairs.where((pairs.sources >= -window[0]) & (pairs.copies + len(window) < len(wave)))
    sources, copies = (wave.take(places[:, None] + window) for places in pairs)
    error, power = unlike(sources, copies)
    return pairs.where((error < ALIKE) & (power > len(window) * FAINTEST**2))


def unlike(sources: Array, copies: Array) -> tuple[Array, Array]:
    """Of rows: the power in `copies` that no gain of `sources` explains, of all (0..1); and the power, summed."""
    before, after, both = (
        np.einsum("ij,ij->i", a, b).astype(np.float64)
        for a, b in ((sources, sources), (copies, copies), (sources, copies))
    )
    explained = np.where(both > 0, both, 0) ** 2 / np.maximum(before * after, 1e-60)
    return np.maximum(1 - explained, 0), after


def unlike_faded(sources: Array, rises: Array, copies: Array) -> tuple[Array, Array]:
    """Of rows: the power in `copies`, of all, that no gain explains that changes steadily; and the gain midway.

    Args:
        sources, copies: [rows, frames], second differences of the sound.
        rises: its first differences, from the second to the third of the samples that make up `sources`: a gain that
            changes from sample to sample acts on the sound, before it is whitened.
    """
    x, y = sources.astype(np.float64), copies.astype(np.float64)
    frames = x.shape[1]
    z = x * (np.arange(frames) - frames / 2) + 2.0 * rises
    xx, xz, zz, xy, zy, yy = (np.einsum("ij,ij->i", a, b) for a, b in ((x, x), (x, z), (z, z), (x, y), (z, y), (y, y)))
    whole = np.maximum(xx * zz - xz**2, 1e-60)
    gain, slope = (xy * zz - zy * xz) / whole, (zy * xx - xy * xz) / whole
    return np.maximum(1 - (gain * xy + slope * zy) / np.maximum(yy, 1e-60), 0), gain
