"""Two stems of a recording that add up to it again: the arithmetic of their samples.

Conventions. Samples are float32 [frames, channels], full scale +-1.0. Stems are brought to a grid of so many bits;
`vocals` are rounded to it, and the accompaniment is what is left: mixture - vocals. With a mixture on that grid both
are exact, and so is their sum. Where a stem would overshoot full scale, one gain for both holds them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.voice import VoiceActivity
from models.windows import FloatArray

STEMS = ("vocals", "accompaniment")  #: by name


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What a recording's stems are like before any gain.

    Args:
        peaks: largest absolute sample, by stem.
        rms: root mean square, by stem.
        overshoots: whether a stem leaves the range of the grid.
        voice_share: see models/voice.py.
    """

    peaks: dict[str, float]
    rms: dict[str, float]
    overshoots: bool
    voice_share: float

    def gain(self, bits: int) -> float:
        """The factor for both stems: 1, or what brings the larger peak to two steps below full scale."""
        return (1.0 - 2.0 ** (2 - bits)) / max(self.peaks.values()) if self.overshoots else 1.0


def split(mixture: FloatArray, vocals: FloatArray, gain: float, bits: int) -> dict[str, FloatArray]:
    """Both stems of a block on the grid of `bits`, after `gain`."""
    steps = 2.0 ** (bits - 1)
    rounded = np.rint(vocals.astype(np.float64) * (gain * steps)) / steps
    rest = mixture.astype(np.float64) * gain - rounded
    return {"vocals": rounded.astype(np.float32), "accompaniment": rest.astype(np.float32)}


def measure(blocks: Iterable[tuple[FloatArray, FloatArray]], sample_rate_hz: int, bits: int) -> Levels:
    """The levels of the stems of a recording that comes in blocks of mixture and vocals."""
    activity, frames = VoiceActivity(sample_rate_hz), 0
    highest, lowest, squares = (dict.fromkeys(STEMS, 0.0) for _ in range(3))
    for mixture, vocals in blocks:
        activity.add(vocals, mixture)
        frames += mixture.size
        for name, stem in split(mixture, vocals, 1.0, bits).items():
            highest[name] = max(highest[name], float(stem.max(initial=0)))
            lowest[name] = min(lowest[name], float(stem.min(initial=0)))
            squares[name] += float(np.sum(np.square(stem, dtype=np.float64)))
    top = 1.0 - 2.0 ** (1 - bits)  # the largest sample of the grid
    return Levels(
        peaks={name: max(highest[name], -lowest[name]) for name in STEMS},
        rms={name: (squares[name] / max(frames, 1)) ** 0.5 for name in STEMS},
        overshoots=any(highest[name] > top or lowest[name] < -1.0 for name in STEMS),
        voice_share=activity.share(),
    )
