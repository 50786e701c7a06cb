"""Single syllables as espeak-ng speaks them, taken apart by WORLD and cut into head, vowel and tail.

Conventions. Frames of 5 ms, see `world`. The head (consonants before the vowel) and the tail (those behind it) are sung
as long as they were spoken; the vowel in between is stretched to its note.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from models.synthesis import world
from models.synthesis.tools import SynthesisError, program, run

FloatArray = npt.NDArray[np.float64]

WORDS_PER_MINUTE = 125  # slow: a vowel that was long when spoken stretches better
HEARD_DB = -30.0  #: below the loudest: what is softer at either end is espeak-ng's echo, or nothing
VOWEL_BEGINS_DB, VOWEL_ENDS_DB = -11.0, -13.0  #: below the loudest, in the band of VOWEL_HZ
VOWEL_HZ = (500.0, 3500.0)  #: where vowels stand out: m, n, l and the voice of b, d, g are as loud only below
SHORTEST_VOWEL = 8  # frames
LONGEST_HEAD, LONGEST_TAIL = 44, 24  # frames
EDGE_S = 0.01


@dataclass(frozen=True)
class Syllable:
    """A spoken syllable, ready to be sung."""

    text: str
    sound: world.Sound
    vowel: tuple[int, int]  #: frames from, to (not included)

    @property
    def head_s(self) -> float:
        """How long the consonants before the vowel are."""
        return self.vowel[0] * world.FRAME_S

    @property
    def tail_s(self) -> float:
        """How long the consonants behind the vowel are."""
        return (len(self.sound.voiced) - self.vowel[1]) * world.FRAME_S


@functools.lru_cache(maxsize=512)
def syllable(voice: str, text: str) -> Syllable | None:
    """`text` spoken by an espeak-ng voice such as `cmn+f2`; None if it has no vowel to stretch.

    Raises:
        SynthesisError: if espeak-ng is missing, or fails.
    """
    samples = _heard(_spoken(voice, text))
    if len(samples) < world.SPOKEN_RATE_HZ * 0.05:
        return None
    sound = world.analyse(samples)
    vowel = vowel_span(sound)
    if vowel is None:
        return None
    first, last = max(vowel[0] - LONGEST_HEAD, 0), min(vowel[1] + LONGEST_TAIL, len(sound.voiced))
    kept = world.Sound(sound.voiced[first:last], sound.envelope[first:last], sound.aperiodicity[first:last])
    return Syllable(text, _steady(kept, vowel[0] - first, vowel[1] - first), (vowel[0] - first, vowel[1] - first))


def _spoken(voice: str, text: str) -> FloatArray:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "spoken.wav")
        run([program("espeak-ng"), "-v", voice, "-s", str(WORDS_PER_MINUTE), "-w", str(wav), text])
        samples, rate_hz = soundfile.read(wav, dtype="float64")
    if rate_hz != world.SPOKEN_RATE_HZ:
        raise SynthesisError(f"espeak-ng spoke {voice} at {rate_hz} Hz", "Only its own voices are used, at 22050 Hz")
    return np.asarray(samples)


def _heard(samples: FloatArray) -> FloatArray:
    """What is left of speech when soft beginnings and ends are taken off, its edges faded."""
    block = round(world.SPOKEN_RATE_HZ * world.FRAME_S)
    power = np.mean(samples[: len(samples) // block * block].reshape(-1, block) ** 2, axis=1)
    loud = np.flatnonzero(power > power.max(initial=1e-9) * 10 ** (HEARD_DB / 10))
    if not loud.size:
        return np.zeros(0)
    heard = samples[loud[0] * block : (loud[-1] + 1) * block].copy()
    edge = min(round(EDGE_S * world.SPOKEN_RATE_HZ), len(heard))
    heard[-edge:] *= np.linspace(1, 0, edge)
    return heard


def vowel_span(sound: world.Sound) -> tuple[int, int] | None:
    """The frames from, to (not included) of the vowel: round the loudest voiced frame, as far as it stays loud."""
    low, high = np.searchsorted(world.HZ, VOWEL_HZ)
    level_db = _level_db(sound.envelope[:, low:high])
    masked = np.where(sound.voiced, level_db, -np.inf)
    peak = int(np.argmax(masked))
    begins = _reach(masked[peak::-1] >= masked[peak] + VOWEL_BEGINS_DB)
    ends = _reach(masked[peak:] >= masked[peak] + VOWEL_ENDS_DB)
    first, last = peak - begins + 1, peak + ends
    return (first, last) if sound.voiced[peak] and last - first >= SHORTEST_VOWEL else None


def _reach(holds: npt.NDArray[np.bool_]) -> int:
    """How many of the first are true."""
    return len(holds) if holds.all() else int(np.argmin(holds))


def _level_db(envelope: FloatArray) -> FloatArray:
    return np.asarray(10 * np.log10(np.exp(envelope).mean(axis=1)))


def _steady(sound: world.Sound, first: int, last: int) -> world.Sound:
    """The sound with its vowel at one level: speech swells and dies within a syllable, a sung note is held."""
    level_db = _level_db(sound.envelope[:, :513])
    held_db = float(np.mean(level_db[first:last]))
    gain_db = np.zeros(len(level_db))
    gain_db[first:last] = 0.8 * (held_db - level_db[first:last])
    gain_db[last:] = gain_db[last - 1] * np.linspace(1, 0.3, len(level_db) - last)
    gain_db -= held_db  # vowels of all syllables at 0 dB
    return world.Sound(sound.voiced, sound.envelope + gain_db[:, None] * np.log(10) / 10, sound.aperiodicity)
