"""A singer in a studio: a melody sung, doubled, harmonised, and put into a room.

Conventions. Vocals are stereo, float64 [frames, 2], 44.1 kHz. Doubles and harmonies sing the same syllables, each a
little otherwise, and count as vocals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.synthesis import effects
from models.synthesis.band import active_dbfs
from models.synthesis.phrasing import Sung, phrase
from models.synthesis.score import Note, Score
from models.synthesis.singer import sing, vocabulary
from models.synthesis.voices import Singer, octave_shift

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What is done to a voice."""

    pan: float
    tilt_db_per_octave: float
    threshold_db: float  #: of compression, below the loudest; 0.0: none
    ratio: float
    decay_s: float  #: of the room; 0.0: dry
    brightness: float  #: of the room
    wet_db: float
    double_db: float | None  #: a second take, against the first
    harmony_db: float | None  #: a third above


def draw_studio(rng: np.random.Generator) -> Studio:
    """A sound of a voice, by chance."""
    compresses, reverberates = rng.random() < 0.6, rng.random() < 0.75
    return Studio(
        pan=float(rng.choice([0.0, rng.uniform(-0.25, 0.25)])),
        tilt_db_per_octave=float(rng.uniform(-1.2, 1.2)),
        threshold_db=float(rng.uniform(-24, -8)) if compresses else 0.0,
        ratio=float(rng.uniform(1.5, 5)),
        decay_s=float(rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.5, 2.2)])) if reverberates else 0.0,
        brightness=float(rng.uniform(0.15, 0.9)),
        wet_db=float(rng.uniform(-24, -9)),
        double_db=float(rng.uniform(-9, -1)) if rng.random() < 0.2 else None,
        harmony_db=float(rng.uniform(-14, -5)) if rng.random() < 0.2 else None,
    )


def record(
    score: Score, singer: Singer, studio: Studio, rng: np.random.Generator
) -> tuple[FloatArray, tuple[Sung, ...], int]:
    """The melody of an excerpt sung.

    Returns:
        vocals [round(duration_s * 44100), 2], of no particular level; what is sung when; and the semitones, whole
        octaves, by which the voice is above the melody.

    Raises:
        SynthesisError: if espeak-ng is missing, or fails.
    """
    shift = octave_shift([note.midi for note in score.melody], singer.centre_midi) if score.melody else 0
    sung = phrase(score.melody, vocabulary(singer, rng), singer, rng)
    vocals = effects.placed(_processed(sing(sung, score.duration_s, shift, singer, rng), studio), studio.pan)
    level_db = active_dbfs(vocals)
    for take_db, take in ((studio.double_db, sung), (studio.harmony_db, _harmony(sung, score))):
        if take_db is not None:
            other = _processed(sing(_loosened(take, rng), score.duration_s, shift, singer, rng), studio)
            beside = effects.placed(other, float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.7)))
            vocals += beside * 10 ** ((level_db + take_db - active_dbfs(beside)) / 20)
    if studio.decay_s:
        response = effects.room(studio.decay_s, studio.brightness, rng)
        vocals = effects.reverberated(vocals, response, studio.wet_db)
    return vocals, sung, shift


def _processed(voice: FloatArray, studio: Studio) -> FloatArray:
    toned = effects.tilted(voice, studio.tilt_db_per_octave)
    return effects.compressed(toned, studio.threshold_db, studio.ratio) if studio.threshold_db else toned


def _loosened(sung: Sequence[Sung], rng: np.random.Generator) -> tuple[Sung, ...]:
    """The same syllables, each some milliseconds off: no two takes are alike."""
    shifts_s = rng.normal(0, 0.012, len(sung)).clip(-0.03, 0.03).tolist()
    return tuple(
        replace(one, start_s=max(one.start_s + s, 0.0), onset_s=max(one.onset_s + s, 0.0))
        for one, s in zip(sung, shifts_s, strict=True)
    )


def _harmony(sung: Sequence[Sung], score: Score) -> tuple[Sung, ...]:
    """What is sung, a third above within the song's scale."""
    scale = scale_of((*score.melody, *score.chords))
    return tuple(
        replace(one, notes=tuple(replace(note, midi=third_above(note.midi, scale)) for note in one.notes))
        for one in sung
    )


def scale_of(notes: Sequence[Note]) -> frozenset[int]:
    """The seven pitch classes that sound longest."""
    held = np.zeros(12)
    for note in notes:
        held[note.midi % 12] += note.duration_s
    return frozenset(int(pitch) for pitch in np.argsort(-held, kind="stable")[:7])


def third_above(midi: int, scale: frozenset[int]) -> int:
    """The third above a pitch, minor or major, as the scale has it; a minor one if it has neither.

    >>> c_major = frozenset({0, 2, 4, 5, 7, 9, 11})
    >>> third_above(60, c_major), third_above(62, c_major)
    (64, 65)
    """
    return midi + (4 if (midi + 3) % 12 not in scale and (midi + 4) % 12 in scale else 3)
