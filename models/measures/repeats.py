"""Stutter: a stretch of 15 to 500 ms that comes again at once, to the last bit.

Sound that was recorded never repeats itself to the bit, so a repetition of that kind was made by a machine. Eight
frames every 5 ms are looked for within the next half second, and where they are found, how far both agree is seen. A
repetition counts if it has three quarters of the lag (the rest may be a crossfade). What repeats itself within 15 ms as
well is a synthesiser's steady wave, or silence; a repetition that is faded to nothing at its joints is an effect that
somebody made. Both are none. After lossy coding nothing is the same to the bit, and nothing is found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.events import Event, runs_of
from models.measures.blocks import Samples, measured
from models.measures.finding import Finder, rms

SHORTEST_S, LONGEST_S = 0.015, 0.5
ANCHORS_S = 0.005
WORD = 8  # frames that are looked for
AGREEING = 0.75  # of the lag
FAINTEST = 10 ** (-60 / 20)
JOINT_S, FADED = 0.0005, 0.05  # around a joint; of the level
MOST_LAGS = 64  # that are followed in a second


class RepeatFinder(Finder):
    """Stretches that repeat what was just before."""

    name = "stutter"
    context_s = LONGEST_S + 0.02

    def _look(self, planes: Samples, core: slice, at: int) -> None:
        if planes.shape[1] < 4 * WORD:
            return
        for lag in self._lags(planes, core)[:MOST_LAGS]:
            same = np.all(planes[:, lag:] == planes[:, :-lag], axis=0)
            for first, stop in runs_of(same):
                touches = first < core.stop and stop > core.start
                if touches and stop - first >= max(AGREEING * lag, SHORTEST_S * self.sample_rate_hz):
                    self._judge(planes, lag, first, stop, at)

    def _lags(self, planes: Samples, core: slice) -> list[int]:
        """Lags at which a word of the core comes again, and not sooner than SHORTEST_S."""
        words = _words(planes)
        step = max(1, round(ANCHORS_S * self.sample_rate_hz))
        anchors = np.arange(core.start + (-core.start) % step, min(core.stop, len(words)), step)
        anchors = anchors[np.abs(planes[:, anchors]).max(axis=0) > FAINTEST]
        if not len(anchors):
            return []
        ordered = anchors[np.argsort(words[anchors], kind="stable")]
        places = np.searchsorted(words[ordered], words[core.start :])
        hits = np.flatnonzero(words[ordered[np.minimum(places, len(ordered) - 1)]] == words[core.start :])
        lags = core.start + hits - ordered[places[hits]]
        periodic = np.unique(ordered[places[hits[(lags > 0) & (lags < SHORTEST_S * self.sample_rate_hz)]]])
        kept = (lags >= SHORTEST_S * self.sample_rate_hz) & (lags <= LONGEST_S * self.sample_rate_hz)
        kept &= ~np.isin(ordered[places[hits]], periodic)
        return [int(lag) for lag in np.unique(lags[kept])]

    def _judge(self, planes: Samples, lag: int, first: int, stop: int, at: int) -> None:
        level = rms(planes[:, first:stop])
        near = max(2, round(JOINT_S * self.sample_rate_hz))
        joint = planes[:, max(0, first + lag - near) : first + lag + near]
        if level > FAINTEST and float(np.abs(joint).max()) > FADED * level:
            words = f"{1000 * lag / self.sample_rate_hz:.0f} ms come again to the bit"
            self.tell(at + first + lag, at + stop + lag, None, 0.98, words)


def _words(planes: Samples) -> npt.NDArray[np.uint64]:
    """A number for every WORD frames of all channels: the same for the same."""
    bits = planes.view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, (WORD, len(planes)), dtype=np.uint64) * 2 + 1
    mixed = [(factors[0, channel] ^ bits[channel]) * factors[1, channel] for channel in range(len(planes))]
    whole = np.bitwise_xor.reduce([word ^ (word >> np.uint64(29)) for word in mixed])
    count = len(whole) - WORD + 1
    words = np.zeros(count, np.uint64)
    for place in range(WORD):
        words += whole[place : place + count] * factors[place, -1]
    return words


def find_repeats(samples: Samples, sample_rate_hz: int) -> tuple[Event, ...]:
    """Stutter of a whole recording, [frames] or [frames, channels]."""
    return measured(RepeatFinder, samples, sample_rate_hz)
