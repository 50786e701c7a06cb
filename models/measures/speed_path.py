"""The speed that a recording plays at, frame by frame, as partials tell it: the likeliest path of shifts.

Conventions. A shift is in steps of STEP_CENTS on a logarithmic axis of frequency, REACH at the most either way; 0 is
the recording's own speed. Two things speak for a path. Partials: those that a frame and the one LAG frames later share
if the speed changes by so much between them. Places: how much better a frame's partials lie, shifted back, where this
recording's partials usually lie. Viterbi's algorithm (A. J. Viterbi, 1967) finds the path with the highest sum. It
steps from a frame to the one LAG frames later: LAG chains, which know nothing of each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from models.events import runs_of
from models.measures.blocks import Array, Samples
from models.measures.partials import NONE, REACH, STEP_CENTS, fits, highest_of, shared, usual_places

LAG = 5  # frames, 100 ms: windows that have nothing in common
HELD = 2  # steps by which a partial may be off and is held
OPTIONS = 4  # changes of speed that are considered of a frame, beside small ones and leaps
FEWEST = 2.0  # partials that a change is seen by
ENOUGH = 20.0  # partials that a frame counts by, at the most
CHANGE, LEAP, DRIFT = 4.0, 6.0, 0.5  # what a change costs, in partials; a leap is one that no partials tell of
FIT, MOST_FIT = 0.15, 3.0  # what a fit counts, in partials, and what it may add up to in a frame
NORMAL, OFF = 0.3, 8.0  # what speaks for the own speed, in each frame, and at both ends of a stretch
TEMPERED, SEMITONE = 1.0, 100 // STEP_CENTS  # what speaks against whole semitones in each frame: music moves by them
NEAR, RETURN = 4, 1.0  # steps from the own speed that may be roundings, and what it costs to leave them out
LOOKED = 1.0  # a fit that is looked into
AROUND = 51  # frames that are looked at with one
_FAR = np.float32(-1e6)


class Evidence(NamedTuple):
    """What the frames of a recording tell."""

    path: Array  #: [frames], steps
    change: Samples  #: [frames - LAG] partials shared along the path more than if the speed stayed
    fit: Samples  #: [frames] along the path, more than at the own speed
    own: Samples  #: [frames] fit at the own speed


def speed_evidence(places: Samples, levels: Samples) -> Evidence:
    """The likeliest path through partials [frames, MOST] as models/measures/partials.py has them, more than LAG."""
    votes = shared(places, levels, LAG)
    counts = (places > NONE).sum(axis=1)
    votes *= np.minimum(1, ENOUGH / np.maximum(np.minimum(counts[:-LAG], counts[LAG:]), 1))[:, None].astype(np.float32)
    fit = np.float32(FIT) * fits(places, usual_places(places))
    own = fit[:, REACH]
    fit = np.minimum(fit - own[:, None], np.float32(MOST_FIT))
    shifts, gains = _options(votes)
    changes = (gains[:, 3:].max(axis=1) > gains[:, 0] - 1) | (uniform_filter1d(fit.max(axis=1), LAG) > LOOKED)
    path = np.zeros(len(fit), np.int64)
    for start, stop in runs_of(maximum_filter1d(changes.astype(np.int8), AROUND) > 0):
        path[start:stop] = _likeliest(shifts[start:stop], gains[start:stop], fit[start:stop])
    moved = path[LAG:] - path[:-LAG]
    along = votes[np.arange(len(votes)), np.clip(moved, -REACH, REACH) + REACH]
    change = np.where(np.abs(moved) <= HELD, 0, along - gains[:-LAG, 0])
    return Evidence(path, change, fit[np.arange(len(fit)), path + REACH], own)


def _options(votes: Samples) -> tuple[Array, Samples]:
    """Shifts [frames, 3 + OPTIONS] to the frame LAG later that are considered, and what speaks for each."""
    held = votes[:, REACH - HELD : REACH + HELD + 1].max(axis=1, keepdims=True)
    middle = votes[:, 1:-1]
    is_top = (middle > FEWEST) & (middle >= votes[:, :-2]) & (middle > votes[:, 2:])
    is_top[:, REACH - 1 - HELD : REACH + HELD] = False
    frames, states = np.divmod(np.flatnonzero(is_top), is_top.shape[1])  # np.nonzero of rows is slow
    heights = middle[frames, states]
    best = highest_of(frames, heights, len(votes), OPTIONS)
    gains = np.append(heights - CHANGE, _FAR)[best]
    small = np.broadcast_to(np.array([0, 1, -1]), (len(votes), 3))
    shifts = np.concatenate([small, np.append(states + 1 - REACH, 0)[best]], axis=1)
    gains = np.concatenate([held, held - DRIFT, held - DRIFT, gains], axis=1).astype(np.float32)
    return np.pad(shifts, ((0, LAG), (0, 0))), np.pad(gains, ((0, LAG), (0, 0)))


def _likeliest(shifts: Array, gains: Samples, fit: Samples) -> Array:
    """The path [frames] of the highest sum that begins and ends at the own speed, or pays for it."""
    frames, width = fit.shape
    steps = -(-frames // LAG)
    more = ((0, steps * LAG - frames), (0, 0))
    by_step = [np.pad(array, more).reshape(steps, LAG, -1) for array in (shifts, gains, fit)]
    by_step[2] += _PRIOR
    price = np.full(width, OFF, np.float32)
    price[REACH] = 0
    score, back = by_step[2][0] - price, np.zeros((steps, LAG, width), np.int16)
    for step in range(1, steps):
        score, back[step] = _stepped(score, by_step[0][step - 1], by_step[1][step - 1])
        score += by_step[2][step]
    path, chains = np.zeros((steps, LAG), np.int64), np.arange(LAG)
    state = (score - price).argmax(axis=1)
    for step in range(steps - 1, -1, -1):
        path[step] = state - REACH
        state = back[step, chains, state]
    return path.ravel()[:frames]


def _tempered(shifts: Array) -> Samples:
    """1 at whole semitones but 0, and 0 from two steps away on."""
    off = np.abs(shifts - SEMITONE * np.rint(shifts / SEMITONE))
    return np.where(np.abs(shifts) > SEMITONE / 2, np.maximum(0, 1 - off / 2), 0).astype(np.float32)


_STATES = np.arange(2 * REACH + 1)
_PRIOR = np.float32(NORMAL) * (_STATES == REACH) - np.float32(TEMPERED) * _tempered(_STATES - REACH)
_CELLS = np.arange(LAG)[:, None, None] * (4 * REACH + 1) + REACH + _STATES


def _stepped(score: Samples, shifts: Array, gains: Samples) -> tuple[Samples, Array]:
    """Scores [chains, states] of the next frames without their fits, and the states they come from."""
    room = np.full((LAG, 4 * REACH + 1), _FAR)
    room[:, REACH:-REACH] = score
    options = room.take(_CELLS - shifts[:, :, None]) + gains[:, :, None]
    following, chains = options.max(axis=1), np.arange(LAG)
    best = (options == following[:, None]).argmax(axis=1)  # the first: faster than that of numbers
    came = _STATES - shifts[chains[:, None], best]
    top = score.argmax(axis=1)
    leap = (score[chains, top] - LEAP)[:, None]
    came = np.where(following < leap, top[:, None], came)
    following = np.maximum(following, leap)
    near = REACH - NEAR + following[:, REACH - NEAR : REACH + NEAR + 1].argmax(axis=1)
    returned = following[chains, near] - RETURN
    back = returned > following[:, REACH]
    came[back, REACH] = came[chains, near][back]
    following[back, REACH] = returned[back]
    return following, came
