"""Puts defects into clean audio at a controlled strength, and says exactly where.

Conventions. `degrade` takes and gives float32 [frames, channels] with full scale +-1.0, 1 to 8 channels, 8 to 192 kHz,
at least a second, and nothing beyond full scale. All chance comes from the generator handed in: the same seed gives the
same defect. A strength of 0.2 is faint (just heard), 0.5 middle (clearly a defect), 0.9 strong; the tables of each
family tell what that is in decibels, milliseconds or shares. Samples outside the events are those of `reference`,
unless `moved_from_s` says that what follows was moved. `event` holds what the families share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.degrade.channels import channel_fault
from models.degrade.clicks import click, crackle
from models.degrade.clipped import clipping
from models.degrade.coded import codec_damage
from models.degrade.conceal import concealment
from models.degrade.event import STRENGTHS, Degraded, Event, FloatArray, Rng
from models.degrade.gaps import dropout
from models.degrade.mains import hum
from models.degrade.noises import hiss, noise_burst
from models.degrade.speed import speed_jump
from models.degrade.splices import abrupt_edge, skip, stutter
from models.degrade.static import digital_noise
from models.measures.blocks import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS

__all__ = ["FAMILIES", "NAMES", "STRENGTHS", "Degraded", "Event", "degrade"]

SHORTEST_S = 1.0
SILENT = 10 ** (-80 / 20)

#: How each defect is made, by the names of the `defects` table.
FAMILIES: dict[str, Callable[[FloatArray, int, float, Rng], Degraded]] = {
    "click": click,
    "crackle": crackle,
    "dropout": dropout,
    "clipping": clipping,
    "codec_damage": codec_damage,
    "concealment": concealment,
    "stutter": stutter,
    "skip": skip,
    "hum": hum,
    "noise_burst": noise_burst,
    "hiss": hiss,
    "speed_jump": speed_jump,
    "abrupt_edge": abrupt_edge,
    "channel_fault": channel_fault,
    "digital_noise": digital_noise,
}
NAMES = tuple(FAMILIES)


def degrade(samples: FloatArray, sample_rate_hz: int, name: str, strength: float, rng: Rng) -> Degraded:
    """`samples` [frames, channels] with the defect `name`, and where it is.

    Args:
        strength: 0..1; see STRENGTHS.

    Raises:
        ValueError: if the name, rate, strength, shape or length is out of range, or if the samples are silent, beyond
            full scale or not finite; `channel_fault` of one channel.
    """
    _check(samples, sample_rate_hz, name, strength)
    clean = np.array(samples, np.float32, order="C")
    return FAMILIES[name](clean, sample_rate_hz, strength, rng)


def _check(samples: FloatArray, rate_hz: int, name: str, strength: float) -> None:
    if name not in FAMILIES:
        raise ValueError(f"there is no defect {name!r}: choose one of {', '.join(NAMES)}")
    if not 0 <= strength <= 1:
        raise ValueError(f"a strength of {strength} came, 0 to 1 is taken: {STRENGTHS}")
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= MOST_CHANNELS:
        raise ValueError(f"samples of shape {samples.shape} came, [frames, 1..{MOST_CHANNELS}] is wanted: transpose?")
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise ValueError(f"{rate_hz} Hz is no rate that is taken, {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} are: in kHz?")
    if len(samples) < SHORTEST_S * rate_hz:
        raise ValueError(f"{len(samples) / rate_hz:.3f} s came, at least {SHORTEST_S:g} s are needed")
    peak = float(np.abs(samples).max())
    if not peak <= 1.0:  # not a number, too
        raise ValueError(f"the samples reach {peak:g}, full scale is 1.0: divide integers by 2^(bits - 1)")
    if peak < SILENT:
        raise ValueError(f"the samples are silent (peak {peak:g}): there is nothing to damage; draw another excerpt")
