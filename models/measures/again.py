"""Where a wave comes again within 60 ms, whatever its gain: by the signs of its samples.

No gain changes signs, and rounding changes those of the faintest samples alone. So the signs of 32 samples, more than
once in a millisecond, are looked for in what follows, as keys in a table; where they are found, two milliseconds are
compared. Recorded music has hardly a place where these agree to -25 dB.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.measures.blocks import Array, Places, Samples
from models.measures.compiled import compiled

SHORTEST_LAG_S, LONGEST_LAG_S = 0.005, 0.0605
WORD = 32  # signs that are looked for
FEWEST = 4  # of one sign among them: what is nearly all of one tells nothing
EVERY_S = 0.0007  # on average
NEAREST = 3  # places of the same signs that are tried, of those the farthest
BEFORE = 8  # samples before a place that are compared, too
ALIKE = 10 ** (-25 / 10)  # power of what a gain does not explain, of all
FAINTEST = 1e-5
_KEY_BITS = 12


class Pairs(NamedTuple):
    """Places where the same sound begins, [pairs] each."""

    sources: Places
    copies: Places  #: later ones


def pairs_in(sound: Samples, core: slice, rate_hz: int) -> Pairs:
    """Pairs whose sources lie in the `core` of a `sound` [frames], whitened alike but for a gain for 2 ms."""
    ahead, every = max(48, round(0.002 * rate_hz)), round(EVERY_S * rate_hz)
    lags = round(SHORTEST_LAG_S * rate_hz), round(LONGEST_LAG_S * rate_hz)
    begin = max(0, core.start - BEFORE)
    wave = whitened(sound[begin : core.stop + lags[1] + WORD + ahead + 2])
    last = min(core.stop - begin + lags[1], len(wave) - max(WORD, ahead) + 1)
    marks = _marks((wave > 0).view(np.uint8), core.start - begin, last, every)
    found = _pairs(wave, marks, core.stop - begin, lags, ahead)
    return Pairs(begin + found[0], begin + found[1])


def whitened(sound: Samples) -> Samples:
    """The second difference, [frames - 2]."""
    rises = sound[1:] - sound[:-1]
    return np.asarray(rises[1:] - rises[:-1])


@compiled
def _marks(signs: npt.NDArray[np.uint8], first: int, last: int, every: int) -> Places:
    """Places from `first` up to `last`, and their words, [2, marks], of those words that are marks.

    A word says itself whether it is one, as one among `every` is: so those of a source and of its copy are the same.
    """
    found, count, word = np.empty((2, max(0, last - first)), np.int64), 0, 0
    for place in range(first, first + min(found.shape[1], WORD - 1)):
        word = word >> 1 | signs[place] << WORD - 1
    for place in range(first, last):
        word = word >> 1 | signs[place + WORD - 1] << WORD - 1
        if _mixed(word) * every < 1 << 32 and FEWEST <= _signs(word) <= WORD - FEWEST:
            found[0, count], found[1, count] = place, word
            count += 1
    return found[:, :count].copy()


@compiled
def _pairs(wave: Samples, marks: Places, stop: int, lags: tuple[int, int], ahead: int) -> Places:
    """Sources before `stop` and their copies, by one of `lags` behind, [2, pairs], of marks [2, marks].

    Marks of one key are a chain, from the last one back.
    """
    count = marks.shape[1]
    heads, earlier = np.full(1 << _KEY_BITS, -1), np.empty(count, np.int64)
    found, pairs, met = np.empty((2, NEAREST * count), np.int64), 0, np.empty(NEAREST, np.int64)
    for number in range(count):
        place, word, times = marks[0, number], marks[1, number], 0
        key = _mixed(word) & (1 << _KEY_BITS) - 1
        known, earlier[number], heads[key] = heads[key], heads[key], number
        while known >= 0 and place - marks[0, known] <= lags[1]:
            if marks[1, known] == word and place - marks[0, known] >= lags[0] and BEFORE <= marks[0, known] < stop:
                met[times % NEAREST] = marks[0, known]
                times += 1
            known = earlier[known]
        for one in range(min(times, NEAREST)):
            if _is_alike(wave, met[one], place, ahead):
                found[0, pairs], found[1, pairs] = met[one], place
                pairs += 1
    return found[:, :pairs].copy()


@compiled
def _mixed(word: int) -> int:
    """A number of 32 bits for a word, another one for each, all bits of which depend on all signs."""
    mixed = word * 0x9E3779B1 & 0xFFFFFFFF
    return (mixed ^ mixed >> 15) * 0x2C1B3C6D & 0xFFFFFFFF


@compiled
def _signs(word: int) -> int:
    """How many of them are positive."""
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@compiled
def _is_alike(wave: Samples, source: int, copy: int, ahead: int) -> bool:
    """Whether what is around two places is the same but for a gain, and not silent."""
    before = after = both = 0.0
    for at in range(-BEFORE, ahead):
        x, y = float(wave[source + at]), float(wave[copy + at])
        before, after, both = before + x * x, after + y * y, both + x * y
    explained = max(both, 0.0) ** 2 / max(before * after, 1e-60)
    return after > (BEFORE + ahead) * FAINTEST**2 and 1 - explained < ALIKE


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
