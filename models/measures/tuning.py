"""Stretches that are tuned otherwise than the recording around them: a few seconds at another speed.

Music is tuned once. Its partials lie on one grid of semitones, whatever is played and sung; modulo 100 cents they point
in one direction, as vectors on a circle do (the estimate of tuning by circular means is that of K. Dressler and
S. Streich, "Tuning Frequency Estimation Using Circular Statistics", ISMIR 2007). At another speed all of them turn
together. So a stretch is told if it points clearly elsewhere than what is played right before and right after, and
these two agree with the recording as a whole. A change by whole semitones does not show here, and speech and noise
have no tuning. Partials are those of models/measures/partials.py; shifts are cents, -50..50, modulo semitones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.events import runs_of
from models.measures.blocks import Array, Samples
from models.measures.partials import FAINTEST_DB, NONE

SEMITONE = 100.0
RANGE_DB = 40.0  # below a frame's strongest partial, of those that count; by the root of their amplitudes
SMOOTH_S, SHORTEST_S, BESIDE_S, LEAST_BESIDE_S = 0.5, 0.4, 1.0, 0.3
CELLS = 40  # of the circle, among which the recording's own tuning is the one with most
SPREAD_CELLS, NEAR = 1.2, 0.12  # of what counts for a cell; as a share of the circle, for its exact place
CLEAR, SURELY_CLEAR = 0.4, 0.5  # length of the mean vector, 1 if all partials agree
AS_CLEAR = 0.75  # as what is beside it; and what is beside it, as CLEAR
LEAST_CENTS, SURE_CENTS = 18.0, 25.0  # of what is surely clear, and of all else
BESIDE_CENTS = 7.0  # off the recording's own tuning


class Detuned(NamedTuple):
    """Frames from `first` to `stop`."""

    first: int
    stop: int
    cents: float  #: higher than the recording, modulo semitones


class _Vectors(NamedTuple):
    sums: Array  # complex, of each frame
    weights: Array

    def mean(self, first: int, stop: int) -> complex:
        """Of some frames: its length tells how far their partials agree."""
        return complex(self.sums[first:stop].sum() / max(float(self.weights[first:stop].sum()), 1e-9))


def detuned(places: Samples, levels: Samples, hop_s: float) -> list[Detuned]:
    """Stretches that are tuned otherwise, in order, of partials [frames, most] that are `hop_s` apart."""
    vectors = _vectors(places, levels)
    smooth = round(SMOOTH_S / hop_s)
    if len(places) < 2 * smooth:
        return []
    local = _sums_around(vectors.sums, smooth) / np.maximum(_sums_around(vectors.weights, smooth), 1e-9)
    own = _own(local)
    away = (np.abs(_cents(local, own)) >= LEAST_CENTS) & (np.abs(local) >= CLEAR * AS_CLEAR)
    found: list[Detuned] = []
    for first, stop in runs_of(away):
        stretch = _bounded(vectors, own, first, stop, smooth)
        if stretch and _is_told(vectors, own, stretch, hop_s) and not (found and stretch.first < found[-1].stop):
            found.append(stretch)
    return found


def _vectors(places: Samples, levels: Samples) -> _Vectors:
    heard = places > NONE
    below_db = np.where(heard, levels, FAINTEST_DB) - levels.max(
        axis=1, keepdims=True, where=heard, initial=FAINTEST_DB
    )
    weights = np.where(heard & (below_db > -RANGE_DB), 10 ** (below_db / 40), 0.0)
    turns = np.float32(2 * np.pi / SEMITONE) * (places - SEMITONE * np.rint(places / SEMITONE))  # -pi..pi, for float32
    sums = np.einsum("fp,fp->f", weights, np.cos(turns)) + 1j * np.einsum("fp,fp->f", weights, np.sin(turns))
    return _Vectors(sums, weights.sum(axis=1))


def _sums_around(values: Array, reach: int) -> Array:
    sums = np.concatenate([[0], np.cumsum(values)])
    middle = np.arange(len(values))
    return np.asarray(sums[np.minimum(middle + reach // 2 + 1, len(values))] - sums[np.maximum(middle - reach // 2, 0)])


def _own(local: Array) -> complex:
    """The tuning that most of the recording has, as a vector of length 1."""
    weights = np.abs(local) ** 2
    cells = np.floor(np.angle(local) / (2 * np.pi) * CELLS).astype(int) % CELLS
    counts = np.bincount(cells, weights, CELLS)
    away = np.minimum(np.arange(CELLS), CELLS - np.arange(CELLS))
    near = np.exp(-0.5 * (away / SPREAD_CELLS) ** 2)
    best = int(np.argmax([counts @ np.roll(near, cell) for cell in range(CELLS)]))
    middle = np.exp(2j * np.pi * (best + 0.5) / CELLS)
    own = complex((local * np.abs(local))[np.abs(np.angle(local * np.conj(middle))) < 2 * np.pi * NEAR].sum())
    return own / abs(own) if own else 1.0 + 0j


def _cents(vector: Array | complex, own: complex) -> Array:
    return np.asarray(np.angle(vector * np.conj(own)) * SEMITONE / (2 * np.pi))


def _bounded(vectors: _Vectors, own: complex, first: int, stop: int, smooth: int) -> Detuned | None:
    """From where to where partials point as in the middle of the run, rather than as everywhere; None if nowhere."""
    other = vectors.mean(first, stop)
    other /= max(abs(other), 1e-9)
    middle = (first + stop) // 2
    gains = (vectors.sums * np.conj(other)).real - (vectors.sums * np.conj(own)).real
    after = np.cumsum(gains[middle : stop + smooth])
    before = np.cumsum(gains[max(0, first - smooth) : middle][::-1])
    if not len(before) or not len(after) or before.max() <= 0 or after.max() <= 0:
        return None
    first, stop = middle - 1 - int(before.argmax()), middle + 1 + int(after.argmax())
    return Detuned(first, stop, float(_cents(vectors.mean(first, stop), own)))


def _is_told(vectors: _Vectors, own: complex, stretch: Detuned, hop_s: float) -> bool:
    first, stop, cents = stretch
    reach = round(BESIDE_S / hop_s)
    spans = ((max(0, first - reach), first), (stop, min(stop + reach, len(vectors.sums))))
    if (stop - first) * hop_s < SHORTEST_S or any((end - begin) * hop_s < LEAST_BESIDE_S for begin, end in spans):
        return False
    beside = [vectors.mean(*span) for span in spans]
    clear, least = abs(vectors.mean(first, stop)), min(map(abs, beside))
    return (
        clear >= max(CLEAR, AS_CLEAR * least)
        and least >= AS_CLEAR * CLEAR
        and abs(cents) >= (LEAST_CENTS if clear > SURELY_CLEAR else SURE_CENTS)
        and all(abs(_cents(side, own)) <= BESIDE_CENTS for side in beside)
    )
