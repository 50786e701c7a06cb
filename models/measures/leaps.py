"""Leaps: samples at which a wave breaks off its course, out of what it does for 12 ms on either side.

Differences of order 6 leave little of any music. What leaps out of them is looked at by those who know a law for it:
cuts (models/measures/splices.py), steps of a channel's gain (models/measures/steps.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.measures.blocks import Samples
from models.measures.compiled import compiled

ORDER = 6  # of the differences
HOP_S, BESIDE_HOPS = 0.001, 12
LEAP = 1.7  # of what is beside
GUARD = ORDER + 2  # samples beside the leap that are the leap's


def hop_of(sample_rate_hz: int) -> int:
    """Samples of a hop: what is beside a place reaches for BESIDE_HOPS of them."""
    return max(16, round(HOP_S * sample_rate_hz))


def leaps(planes: Samples, order: int = ORDER) -> Samples:
    """Differences, of all channels [channels, frames] together: [frames]; `order` is 2 or ORDER."""
    found = np.zeros(planes.shape[1], np.float32)
    for wave in planes:
        (_add_sixth if order == ORDER else _add_second)(wave, found)
    return found


@compiled
def _add_sixth(wave: Samples, found: Samples) -> None:
    for at in range(len(wave) - 6):  # from 0 on, or Numba looks for negative places at each step
        outer, inner, near = wave[at] + wave[at + 6], wave[at + 1] + wave[at + 5], wave[at + 2] + wave[at + 4]
        found[at + 6] += abs(outer - np.float32(6) * inner + np.float32(15) * near - np.float32(20) * wave[at + 3])


@compiled
def _add_second(wave: Samples, found: Samples) -> None:
    for at in range(len(wave) - 2):
        found[at + 2] += abs(wave[at] - np.float32(2) * wave[at + 1] + wave[at + 2])


@compiled
def _tops(bits: npt.NDArray[np.int32], hop: int, tops: npt.NDArray[np.int32]) -> None:
    """The highest of each hop; of floats from 0 on the bits are in the same order, and are compared many at once."""
    for row in range(len(tops)):
        for at in range(row * hop, (row + 1) * hop):
            tops[row] = max(tops[row], bits[at])


def leaping(heights: Samples, hop: int, core: slice, least: float = LEAP) -> list[int]:
    """Frames in the core whose `heights`, of `leaps`, leap `least` times out of what is beside; a leap has one."""
    rows = len(heights) // hop
    if rows < 2 * BESIDE_HOPS:
        return []
    first, stop = max(0, core.start // hop - BESIDE_HOPS), min(rows, core.stop // hop + BESIDE_HOPS + 1)
    count = stop - first
    tops = np.zeros(count + 2 * BESIDE_HOPS, np.float32)  # with nothing beyond both ends
    _tops(heights[first * hop :].view(np.int32), hop, tops[BESIDE_HOPS:-BESIDE_HOPS].view(np.int32))
    leap = first + _out(tops, least)
    places = [int(row * hop + heights[row * hop :][:hop].argmax()) for row in leap.tolist()]
    return [p for p in places if core.start <= p < core.stop and _ratio(heights, p, BESIDE_HOPS * hop) > least]


@compiled
def _out(tops: Samples, least: float) -> npt.NDArray[np.int64]:
    """Which of the tops, BESIDE_HOPS at both ends aside, are so many times as high as those beside but the next."""
    found, count = np.empty(len(tops), np.int64), 0
    for row in range(len(tops) - 2 * BESIDE_HOPS):
        own, away = tops[row + BESIDE_HOPS], 2
        while away <= BESIDE_HOPS and own > least * max(tops[row + BESIDE_HOPS - away], tops[row + BESIDE_HOPS + away]):
            away += 1
        if away > BESIDE_HOPS:
            found[count] = row
            count += 1
    return found[:count].copy()


@compiled
def _ratio(heights: Samples, place: int, reach: int) -> float:
    """How far a frame leaps out of both sides; 0 if it is not the highest of its leap."""
    first, stop = max(0, place - GUARD), min(len(heights), place + GUARD + 1)
    for at in range(first, stop):
        if heights[at] > heights[place] or (heights[at] == heights[place] and at < place):
            return 0.0  # the same leap, seen from the next hop
    beside = np.float32(1e-9)
    for at in range(max(0, place - reach), first):
        beside = max(beside, heights[at])
    for at in range(stop, min(len(heights), place + reach)):
        beside = max(beside, heights[at])
    return float(heights[place] / beside)
