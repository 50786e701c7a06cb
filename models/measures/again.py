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
from models.measures.compiled import compiled

Places = npt.NDArray[np.int64]

SHORTEST_LAG_S, LONGEST_LAG_S = 0.005, 0.0605
WORD = 32  # signs that are looked for
FEWEST = 4  # of one sign among them: what is nearly all of one tells nothing
ANCHORS_S = 0.001
NEAREST = 3  # places of the same signs that are tried, of those the farthest
BEFORE = 8  # samples before a place that are compared, too
ALIKE = 10 ** (-25 / 10)  # power of what a gain does not explain, of all
FAINTEST = 1e-5
_KEY_BITS = 14


class Pairs(NamedTuple):
    """Places where the same sound begins, [pairs] each."""

    sources: Places
    copies: Places  #: later ones


def pairs_in(sound: Samples, core: slice, rate_hz: int) -> Pairs:
    """Pairs whose sources lie in the `core` of a `sound` [frames], whitened alike but for a gain for 2 ms."""
    step, ahead = max(8, round(ANCHORS_S * rate_hz)), max(48, round(0.002 * rate_hz))
    shortest, longest = round(SHORTEST_LAG_S * rate_hz), round(LONGEST_LAG_S * rate_hz)
    begin = max(0, core.start - BEFORE)
    wave = whitened(sound[begin : core.stop + longest + WORD + ahead + 2])
    first, stop = -(-core.start // step) * step - begin, core.stop - begin
    found = _pairs(wave, (wave > 0).view(np.uint8), (first, stop), (shortest, longest), step, ahead)
    return Pairs(begin + found[0], begin + found[1])


def whitened(sound: Samples) -> Samples:
    """The second difference, [frames - 2]."""
    rises = sound[1:] - sound[:-1]
    return np.asarray(rises[1:] - rises[:-1])


@compiled
def _pairs(
    wave: Samples, signs: npt.NDArray[np.uint8], core: tuple[int, int], lags: tuple[int, int], step: int, ahead: int
) -> Places:
    """Sources and copies, [2, pairs]: every `step` of the core, and the same signs that lie by one of `lags` behind.

    Anchors of one key are a chain from the last one back; they join it when they are the shortest lag behind.
    """
    first, last = core[0], min(core[1] + lags[1], len(wave) - max(WORD, ahead) + 1)
    count = max(0, (last - first) // step + 1)
    words, earlier, heads = np.empty(count, np.int64), np.empty(count, np.int64), np.full(1 << _KEY_BITS, -1, np.int32)
    found, pairs, met = np.empty((2, NEAREST * max(0, last - first)), np.int64), 0, np.empty(NEAREST, np.int64)
    noted, due, word = 0, 0, 0
    for place in range(first, first + WORD - 1 if count else first):
        word = word >> 1 | signs[place] << WORD - 1
    for place in range(first, last):
        word = word >> 1 | signs[place + WORD - 1] << WORD - 1
        if place == first + noted * step and place < core[1]:
            words[noted] = word
            noted += 1
        if due < noted and place - lags[0] == first + due * step:
            if FEWEST <= _signs(words[due]) <= WORD - FEWEST:
                key = _key(words[due])
                earlier[due], heads[key] = heads[key], due
            due += 1
        anchor, times = heads[_key(word)], 0
        while anchor >= 0 and place - first - anchor * step <= lags[1]:
            if words[anchor] == word:
                met[times % NEAREST] = first + anchor * step
                times += 1
            anchor = earlier[anchor]
        for number in range(min(times, NEAREST)):
            source = met[number]
            if source >= BEFORE and _is_alike(wave, source, place, ahead):
                found[0, pairs], found[1, pairs] = source, place
                pairs += 1
    return found[:, :pairs].copy()


@compiled
def _key(word: int) -> int:
    """A number for a word, mostly another for others."""
    return word * 0x9E3779B1 >> WORD - _KEY_BITS & (1 << _KEY_BITS) - 1


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
