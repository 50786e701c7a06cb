"""Clipping: waves cut off at a level, as an overdriven converter or a mix above full scale does.

Conventions. The level is where a share of the samples of the stretch lies beyond: 0.1 % (faint: the highest peaks of
the loudest strokes), 1 % (middle) or 6 % (strong), which is about 1, 4 and 10 dB of overdrive of ordinary music. The
cut is hard, or bends over the last decibel first, or is one-sided (an offset before the converter). Afterwards the
recording is levelled so that the flat tops lie at full scale or up to 12 dB below it. Flat tops up to 0.3 s apart are
one event.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.degrade.clicks import stretch
from models.degrade.event import Degraded, FloatArray, Rng, apart, between, columns, events_of, runs, some_channel

SHARE = (0.001, 0.01, 0.06)  #: faint, middle, strong
JOINS_S = 0.3
BENDS_DB = 1.0
KINDS = ("hard", "hard", "hard", "bent", "upper", "lower")


def clipping(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Clips all along or in a stretch of at least a second, one channel or all, and levels the whole afterwards."""
    out = samples.astype(np.float64)
    channel = some_channel(samples.shape[1], rng, 0.2)
    start, stop = stretch(len(samples), rate_hz, 1.0, rng, 0.7)
    part = out[start:stop, columns(channel)].copy()
    share = float(np.exp(between(strength, *np.log(SHARE))))
    kind = str(rng.choice(KINDS))
    level = cut_level(part, share, kind)
    bent = cut(part, level, kind)
    over = bent != part
    out[start:stop, columns(channel)] = bent
    top_db = float(rng.choice([0.0, rng.uniform(-3, 0), rng.uniform(-12, -3)]))
    gain = min(10 ** (top_db / 20) / level, 1 / np.abs(out).max())
    spans = [(start + a, start + b) for a, b in apart(runs(over.any(axis=1)), round(JOINS_S * rate_hz))]
    events = events_of("clipping", spans, rate_hz, channel)
    reference = (samples.astype(np.float64) * gain).astype(np.float32)
    return Degraded(samples=(out * gain).astype(np.float32), events=events, reference=reference)


def _side(kind: str) -> float:
    """1 or -1 where one polarity alone is cut, else 0."""
    return {"upper": 1.0, "lower": -1.0}.get(kind, 0.0)


def cut_level(part: npt.NDArray[np.float64], share: float, kind: str) -> float:
    """The magnitude that `share` of the samples exceed."""
    side = _side(kind)
    height = np.abs(part) if side == 0 else side * part
    return max(float(np.quantile(height, 1 - share)), 1e-4)


def cut(part: npt.NDArray[np.float64], level: float, kind: str) -> npt.NDArray[np.float64]:
    """`part` with nothing beyond `level`.

    >>> cut(np.array([-1.0, 0.2, 1.0]), 0.5, "upper").tolist()
    [-1.0, 0.2, 0.5]
    """
    if kind == "upper":
        return np.minimum(part, level)
    if kind == "lower":
        return np.maximum(part, -level)
    if kind == "hard":
        return np.clip(part, -level, level)
    knee = level * 10 ** (-BENDS_DB / 20)
    beyond = (np.abs(part) - knee) / (level - knee)  # 0 at the knee; at 2 the wave lies flat
    bend = np.clip(beyond, 0, 2)
    return np.sign(part) * (np.minimum(np.abs(part), knee) + (level - knee) * (bend - bend**2 / 4))
