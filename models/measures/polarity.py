"""A channel that is turned in polarity part-way: in an instant, what was in the middle is at the sides.

Of the sum and the difference of two channels, in the 60 ms and the 200 ms before and after, the levels change places
while those of the channels stay. Musicians do not do that: an instrument that comes in changes one of the two. It is a
fault from where the channels begin to oppose each other to where they agree again, or to the end. Which channel was
turned is told by the jump of its wave. Stereo alone is looked at; what has no middle cannot be told.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.events import Event
from models.measures.blocks import Array, Samples, measured
from models.measures.finding import Finder

HOP_S = 0.005
WINDOWS_S = (0.06, 0.2)
STAYS_DB = 2.5  # channels, and the sum and the difference that changed places
CORRELATED = 0.6  # of both channels, before and after
JUMPS = 12.0  # of what the wave usually jumps by, off a line through the two samples before
FAINTEST_POWER = 10 ** (-50 / 10)


class _Turn(NamedTuple):
    frame: int
    apart: bool  # whether the channels oppose each other from here on
    channel: int


class PolarityFinder(Finder):
    """Faults of a channel of stereo that is turned in polarity."""

    name = "channel_fault"
    context_s = WINDOWS_S[-1] + 0.05

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._turns: list[_Turn] = []

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        if self.channels != 2:
            return
        hop = max(1, round(HOP_S * self.sample_rate_hz))
        frames = planes[:, : planes.shape[1] // hop * hop].reshape(2, -1, hop)
        powers = np.einsum("cfs,cfs->cf", frames, frames) / hop
        both = np.einsum("fs,fs->f", frames[0], frames[1]) / hop
        sums = np.cumsum(np.pad([*powers, both], ((0, 0), (1, 0))).astype(np.float64), axis=1)
        strength = np.min([_turned(sums, max(1, round(window / HOP_S))) for window in WINDOWS_S], axis=0)
        strength[: -(-core.start // hop)] = 0
        strength[-(-core.stop // hop) :] = 0
        while strength.max(initial=0.0) > 0:
            best = int(strength.argmax())
            reach = round(WINDOWS_S[0] / HOP_S)
            strength[max(0, best - reach) : best + reach] = 0
            apart = bool(sums[2, min(best + reach, len(both))] < sums[2, best])
            self._turns += self._turn(planes, best * hop, 8 * hop, at, apart)

    def _turn(self, planes: Samples, middle: int, reach: int, at: int, apart: bool) -> list[_Turn]:
        """The sample at which a channel's wave goes on smoothly only if it is turned; none if there is no such."""
        first = max(2, middle - reach)
        near = planes[:, first - 2 : middle + reach].astype(np.float64)
        foreseen = 2 * near[:, 1:-1] - near[:, :-2]
        gain = np.abs(near[:, 2:] - foreseen) - np.abs(near[:, 2:] + foreseen)
        channel, place = np.unravel_index(int(gain.argmax()), gain.shape)
        usual = float(np.median(np.abs(near[channel, 2:] - foreseen[channel])))
        return [_Turn(at + first + int(place), apart, int(channel))] if gain.max() > JUMPS * usual else []

    def _close(self) -> None:
        begun: _Turn | None = None
        for turn in sorted(self._turns):
            if begun is not None and not turn.apart:
                self._fault(begun, turn.frame)
                begun = None
            elif begun is None and turn.apart:
                begun = turn
        if begun is not None:
            self._fault(begun, self.frames)

    def _fault(self, turn: _Turn, end: int) -> None:
        self.tell(turn.frame, end, turn.channel, 0.75, "the channel is turned in polarity")


def _turned(sums: Array, width: int) -> Array:
    """How much the correlation of both channels changes at each frame where they are turned, 0 where they are not."""
    count = sums.shape[1] - 1
    strength = np.zeros(count)
    if count <= 2 * width + 2:
        return strength
    parts = (sums[:, width:] - sums[:, :-width]) / width
    before, after = parts[:, : -width - 2], parts[:, width + 2 :]  # without the two frames of which one has the turn
    correlations = [part[2] / np.sqrt(np.maximum(part[0] * part[1], 1e-20)) for part in (before, after)]
    opposed = (correlations[0] * correlations[1] < 0) & (np.minimum(*np.abs(correlations)) > CORRELATED)
    if not opposed.any():
        return strength
    loud = np.minimum(before[:2], after[:2]).min(axis=0) > FAINTEST_POWER
    stays = (np.abs(_decibels(before[:2] / np.maximum(after[:2], 1e-20))) < STAYS_DB).all(axis=0)
    middle = [(part[0] + part[1] + 2 * part[2], part[0] + part[1] - 2 * part[2]) for part in (before, after)]
    swapped = [
        np.abs(_decibels(one / np.maximum(other, 1e-20))) < STAYS_DB
        for one, other in ((middle[0][0], middle[1][1]), (middle[0][1], middle[1][0]))
    ]
    found = loud & stays & swapped[0] & swapped[1] & opposed
    strength[width + 1 : width + 1 + len(found)] = np.where(found, np.abs(correlations[0] - correlations[1]), 0)
    return strength


def _decibels(ratio: Array) -> Array:
    return np.asarray(10 * np.log10(np.maximum(ratio, 1e-20)))


def find_turned(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Channels turned in polarity of a whole recording, [frames] or [frames, channels]."""
    return measured(PolarityFinder, samples, sample_rate_hz)
