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
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from models.events import runs_of
from models.measures.blocks import Array, Samples
from models.measures.compiled import compiled
from models.measures.partials import NONE, REACH, STEP_CENTS, fits, shared, usual_places

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

States = npt.NDArray[np.int16]


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
    fit = fits(places, usual_places(places))
    fit *= np.float32(FIT)
    own = fit[:, REACH].copy()
    fit -= own[:, None]
    np.minimum(fit, np.float32(MOST_FIT), out=fit)
    shifts, gains = _options(votes)
    changes = (gains[:, 3:].max(axis=1) > gains[:, 0] - 1) | (uniform_filter1d(fit.max(axis=1), LAG) > LOOKED)
    path = np.zeros(len(fit), np.int64)
    for start, stop in runs_of(maximum_filter1d(changes.astype(np.int8), AROUND) > 0):
        path[start:stop] = _likeliest(shifts[start:stop], gains[start:stop], fit[start:stop])
    moved = path[LAG:] - path[:-LAG]
    along = votes[np.arange(len(votes)), np.clip(moved, -REACH, REACH) + REACH]
    change = np.where(np.abs(moved) <= HELD, 0, along - gains[:-LAG, 0])
    return Evidence(path, change, fit[np.arange(len(fit)), path + REACH], own)


@compiled
def _options(votes: Samples) -> tuple[States, Samples]:
    """Shifts [frames, 3 + OPTIONS] to the frame LAG later that are considered, and what speaks for each."""
    reach, is_top = votes.shape[1] // 2, np.zeros(votes.shape[1], np.bool_)
    shifts = np.zeros((len(votes) + LAG, 3 + OPTIONS), np.int16)
    gains = np.zeros((len(votes) + LAG, 3 + OPTIONS), np.float32)
    for frame in range(len(votes)):
        own, held = votes[frame], votes[frame, reach]
        for place in range(reach - HELD, reach + HELD + 1):
            held = max(held, own[place])
        gains[frame, 0], gains[frame, 1:3], gains[frame, 3:] = held, held - np.float32(DRIFT), _FAR
        shifts[frame, 1], shifts[frame, 2] = 1, -1
        for at in range(len(own) - 2):  # from 0 on, or Numba looks for negative places at each step
            is_top[at + 1] = (own[at + 1] > FEWEST) & (own[at + 1] >= own[at]) & (own[at + 1] > own[at + 2])
        is_top[reach - HELD : reach + HELD + 1] = False
        for place in range(len(own)):
            if is_top[place]:
                _consider(own[place] - np.float32(CHANGE), place - reach, gains[frame, 3:], shifts[frame, 3:])
    return shifts, gains


@compiled
def _consider(gain: np.float32, shift: int, gains: Samples, shifts: States) -> None:
    """Puts a shift among the `gains` of the OPTIONS best, the highest first, if it is one."""
    number = OPTIONS
    while number and gains[number - 1] < gain:
        number -= 1
        if number + 1 < OPTIONS:
            gains[number + 1], shifts[number + 1] = gains[number], shifts[number]
    if number < OPTIONS:
        gains[number], shifts[number] = gain, shift


def _likeliest(shifts: States, gains: Samples, fit: Samples) -> Array:
    """The path [frames] of the highest sum that begins and ends at the own speed, or pays for it."""
    more = ((0, -len(fit) % LAG), (0, 0))  # all chains are as long
    return _path(np.pad(shifts, more), np.pad(gains, more), np.pad(fit, more) + _PRIOR)[: len(fit)] - REACH


@compiled
def _path(shifts: States, gains: Samples, fit: Samples) -> npt.NDArray[np.int64]:
    """As _likeliest, of states from 0 on; frames are a multiple of LAG."""
    frames, width = fit.shape
    reach = width // 2
    scores = np.full((LAG, width + 2 * reach), _FAR)  # with room for shifts
    back, path = np.zeros((frames, width), np.int16), np.empty(frames, np.int64)
    price = np.full(width, OFF, np.float32)
    price[reach] = 0
    for frame in range(frames):
        room = scores[frame % LAG]
        following = -price
        if frame >= LAG:
            following = _stepped(room, shifts[frame - LAG], gains[frame - LAG], back[frame])
        for state in range(width):
            room[reach + state] = following[state] + fit[frame, state]
    for frame in range(frames - 1, -1, -1):
        if frame >= frames - LAG:
            path[frame] = (scores[frame % LAG, reach:-reach] - price).argmax()
        if frame >= LAG:
            path[frame - LAG] = back[frame, path[frame]]
    return path


@compiled
def _stepped(room: Samples, shifts: States, gains: Samples, came: States) -> Samples:
    """Scores [states] of a frame without its fit, and, in `came`, the states they come from.

    Args:
        room: scores of the frame LAG before, with half as many that are _FAR on either side.
        shifts, gains: that frame's.
    """
    width, reach = len(came), len(came) // 2
    top = room.argmax()
    following = np.full(width, room[top] - np.float32(LEAP), np.float32)
    came[:] = top - reach
    for number in range(len(shifts)):
        shift, gain = shifts[number], gains[number]
        before = room[reach - shift :]
        for state in range(width):
            option = before[state] + gain
            if option > following[state]:
                following[state], came[state] = option, state - shift
    near = reach - NEAR + following[reach - NEAR : reach + NEAR + 1].argmax()
    if following[near] - np.float32(RETURN) > following[reach]:
        following[reach], came[reach] = following[near] - np.float32(RETURN), came[near]
    return following


def _tempered(shifts: Array) -> Samples:
    """1 at whole semitones but 0, and 0 from two steps away on."""
    off = np.abs(shifts - SEMITONE * np.rint(shifts / SEMITONE))
    return np.where(np.abs(shifts) > SEMITONE / 2, np.maximum(0, 1 - off / 2), 0).astype(np.float32)


_STATES = np.arange(2 * REACH + 1)
_PRIOR = np.float32(NORMAL) * (_STATES == REACH) - np.float32(TEMPERED) * _tempered(_STATES - REACH)
