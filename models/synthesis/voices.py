"""Singers, drawn by chance: whose speech it is, and how they sing.

Conventions. Ranges are those of amateurs and pop singers: vibrato 4.5 to 6.5 Hz (Prame 1994: 6 Hz on average), some
tens of cents deep and late to set in. A formant shift of 1.1 is a vocal tract a tenth shorter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.synthesis.lyrics import SHARES

LOW_VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt2", "klatt4")
HIGH_VARIANTS = ("f1", "f2", "f3", "f4", "f5")


@dataclass(frozen=True, kw_only=True)
class Singer:
    """Whose voice it is and how it sings."""

    language: str  #: of espeak-ng
    variant: str  #: of espeak-ng
    centre_midi: int  #: the middle of the range
    formant_shift: float  #: a factor on the frequencies of the vocal tract
    tilt_db_per_octave: float  #: of the voice's spectrum, about 1 kHz
    breathiness: float  #: least share of noise, in amplitude, at 4 kHz
    air_db: float  #: level of breath at 10 kHz against the mean of the voice's spectrum
    vibrato_hz: float
    vibrato_cents: float  #: from the middle to the extreme
    vibrato_delay_s: float
    glide_s: float  #: from one pitch to the next
    scoop_cents: float  #: from how far below phrases begin
    detune_cents: float  #: standard deviation of notes from their pitch
    drift_cents: float  #: standard deviation of the slow wandering of the pitch
    lateness_s: float  #: standard deviation of onsets
    dynamics_db: float  #: standard deviation of notes' levels
    melisma: float  #: chance that a note tied to the last goes on with its vowel
    breathes: bool

    @property
    def voice(self) -> str:
        """The voice in espeak-ng's words."""
        return f"{self.language}+{self.variant}"


def draw_singer(rng: np.random.Generator) -> Singer:
    """A singer, by chance: half of them low voices."""
    low = bool(rng.random() < 0.5)
    return Singer(
        language=str(rng.choice(list(SHARES), p=list(SHARES.values()))),
        variant=str(rng.choice(LOW_VARIANTS if low else HIGH_VARIANTS)),
        centre_midi=int(rng.integers(50, 58) if low else rng.integers(61, 70)),
        formant_shift=float(rng.uniform(0.87, 1.06) if low else rng.uniform(0.97, 1.18)),
        tilt_db_per_octave=float(rng.uniform(-2.0, 2.0)),
        breathiness=float(rng.choice([rng.uniform(0.05, 0.15), rng.uniform(0.15, 0.5)], p=[0.6, 0.4])),
        air_db=float(rng.uniform(-46, -28)),
        vibrato_hz=float(rng.uniform(4.5, 6.5)),
        vibrato_cents=float(rng.choice([rng.uniform(0, 15), rng.uniform(15, 60)], p=[0.35, 0.65])),
        vibrato_delay_s=float(rng.uniform(0.12, 0.4)),
        glide_s=float(rng.uniform(0.04, 0.14)),
        scoop_cents=float(rng.uniform(0, 200)),
        detune_cents=float(rng.uniform(3, 15)),
        drift_cents=float(rng.uniform(3, 10)),
        lateness_s=float(rng.uniform(0.0, 0.02)),
        dynamics_db=float(rng.uniform(0.5, 2.5)),
        melisma=float(rng.uniform(0.05, 0.3)),
        breathes=bool(rng.random() < 0.6),
    )


def octave_shift(midis: np.typing.ArrayLike, centre_midi: int) -> int:
    """The semitones, whole octaves, that bring the middle of a melody next to the middle of a voice.

    >>> octave_shift([72, 74, 76], 53)
    -24
    """
    return 12 * round((centre_midi - float(np.median(np.asarray(midis)))) / 12)
