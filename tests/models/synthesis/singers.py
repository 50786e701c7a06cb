"""A singer without habits, and a syllable without espeak-ng: what is left is arithmetic."""

from __future__ import annotations

import numpy as np

from models.synthesis import world
from models.synthesis.syllables import Syllable
from models.synthesis.voices import Singer

PLAIN = Singer(
    language="es",
    variant="f1",
    centre_midi=64,
    formant_shift=1.0,
    tilt_db_per_octave=0.0,
    breathiness=0.05,
    air_db=-60.0,
    vibrato_hz=5.0,
    vibrato_cents=0.0,
    vibrato_delay_s=0.2,
    glide_s=0.06,
    scoop_cents=0.0,
    detune_cents=0.0,
    drift_cents=0.0,
    lateness_s=0.0,
    dynamics_db=0.0,
    melisma=0.0,
    breathes=False,
)


def spoken(head: int = 10, vowel: int = 40, tail: int = 6, *, voiced_head: bool = False) -> Syllable:
    """A hissed or hummed head, a vowel with a formant at 700 Hz, and a tail; counts are frames."""
    frames = head + vowel + tail
    formant = -(((world.HZ - 700) / 1500) ** 2)
    voiced = np.ones(frames, np.bool_)
    voiced[:head] = voiced_head
    sound = world.Sound(voiced, np.tile(np.maximum(formant, -9), (frames, 1)), np.full((frames, world.BINS), 0.01))
    return Syllable("sa", sound, (head, head + vowel))
