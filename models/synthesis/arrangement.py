"""A score given to a band: who plays what, where they stand, how loud.

Conventions. Programs are General MIDI's, counted from 0; pan is -1.0 (left) to 1.0; levels are dB against each other,
of the loudness while playing. Choirs and voices (programs 52 to 54, 85, 91) are left out on purpose: an accompaniment
that sings would teach a network that voices are no voices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.synthesis.drums import KITS, draw_groove, drum_notes
from models.synthesis.score import BASS_BELOW, Note, Score, Span

FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3),
    "electric piano": (4, 5),
    "mallets": (8, 9, 11, 12, 13),
    "organ": (16, 17, 18, 19),
    "guitar": (24, 25, 26, 27),
    "driven guitar": (28, 29, 30),
    "bass": (32, 33, 34, 35, 36, 38, 39),
    "strings": (48, 49, 50, 51),
    "bow": (40, 41, 42),
    "brass": (56, 57, 60, 61, 62, 63),
    "reed": (64, 65, 66, 68, 71),
    "flute": (72, 73, 75, 79),
    "synth lead": (80, 81, 84, 87),
    "pad": (88, 89, 90, 92, 94, 95),
    "plucked": (45, 46, 104, 107),
}
CHORD_FAMILIES = ("piano", "piano", "electric piano", "guitar", "guitar", "organ", "mallets", "plucked", "strings")
LEAD_FAMILIES = (
    "piano",
    "guitar",
    "driven guitar",
    "mallets",
    "bow",
    "brass",
    "reed",
    "flute",
    "synth lead",
    "plucked",
)
PAD_FAMILIES = ("strings", "strings", "pad", "pad", "organ", "brass")
PEDALLED = ("piano", "electric piano", "mallets", "guitar", "plucked")
BASS_RANGE = (28, 48)
PAD_RANGE = (55, 76)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one player plays."""

    name: str
    program: int  #: of General MIDI; the kit if `drums`
    notes: tuple[Note, ...]
    level_db: float
    pan: float = 0.0
    reverb: int = 40  #: send, 0..127
    chorus: int = 0  #: send, 0..127
    pedal_s: tuple[Span, ...] = ()
    drums: bool = False


def arrange(score: Score, rng: np.random.Generator) -> tuple[Part, ...]:
    """The parts of a band drawn by chance for `score`; those that have nothing to play are left out."""
    space = int(rng.integers(10, 90))
    parts = [_chords(score, rng), _bass(score, rng)]
    for chance, player in _OPTIONAL:
        if rng.random() < chance:
            parts.append(player(score, rng))
    seated = (replace(part, reverb=int(np.clip(space * rng.uniform(0.4, 1.3), 0, 127))) for part in parts)
    return tuple(replace(part, notes=_played(part.notes, rng)) for part in seated if part.notes)


def _family(families: Sequence[str], rng: np.random.Generator) -> tuple[str, int]:
    family = str(rng.choice(families))
    return family, int(rng.choice(FAMILIES[family]))


def _played(notes: Iterable[Note], rng: np.random.Generator) -> tuple[Note, ...]:
    """Nobody strikes two notes alike, and nobody plays all songs with the same force."""
    force, spread = rng.uniform(0.75, 1.15), rng.uniform(2, 8)
    return tuple(replace(n, velocity=int(np.clip(n.velocity * force + rng.normal(0, spread), 8, 127))) for n in notes)


def _side(rng: np.random.Generator, widest: float) -> float:
    return float(rng.uniform(-widest, widest))


def _chords(score: Score, rng: np.random.Generator) -> Part:
    """The accompaniment as it was played, on another instrument, sometimes without its bass notes."""
    family, program = _family(CHORD_FAMILIES, rng)
    lowest = BASS_BELOW if rng.random() < 0.5 else 0
    return Part(
        name=family,
        program=program,
        notes=tuple(note for note in score.chords if note.midi >= lowest),
        level_db=float(rng.uniform(-5, 0)),
        pan=_side(rng, 0.6),
        chorus=int(rng.choice([0, 0, 20, 60])),
        pedal_s=score.pedal_s if family in PEDALLED else (),
    )


def _bass(score: Score, rng: np.random.Generator) -> Part:
    line = bass_line(score)
    driven = rng.random() < 0.35
    return Part(
        name="bass",
        program=int(rng.choice(FAMILIES["bass"])),
        notes=eighths(line, score.beats_s) if driven else line,
        level_db=float(rng.uniform(-7, -1)),
        pan=_side(rng, 0.1),
    )


def bass_line(score: Score) -> tuple[Note, ...]:
    """The lowest notes of the accompaniment, moved by octaves into the range of a bass, one at a time."""
    low = sorted(note for note in score.chords if note.midi < BASS_BELOW)
    line: list[Note] = []
    for note in low:
        if line and note.start_s - line[-1].start_s < 0.05:  # struck together: the lower one leads
            if note.midi >= line[-1].midi:
                continue
            line.pop()
        if line:
            line[-1] = replace(line[-1], end_s=note.start_s)
        line.append(note)
    held = (replace(note, end_s=min(max(note.end_s, note.start_s + 0.2), note.start_s + 3.0)) for note in line)
    return tuple(replace(note, midi=folded(note.midi, *BASS_RANGE)) for note in held)


def folded(midi: int, lowest: int, highest: int) -> int:
    """A pitch moved by octaves to lie within a range of an octave or more.

    >>> folded(61, 28, 48), folded(20, 28, 48)
    (37, 32)
    """
    while midi > highest:
        midi -= 12
    while midi < lowest:
        midi += 12
    return midi


def eighths(line: Sequence[Note], beats_s: Sequence[float]) -> tuple[Note, ...]:
    """A bass line driven on in eighths: at each the pitch that sounds then."""
    times_s = np.interp(np.arange(0, max(len(beats_s) - 1, 0), 0.5), np.arange(len(beats_s)), beats_s)
    starts_s = np.array([note.start_s for note in line])
    struck = []
    for time_s, next_s in zip(times_s[:-1].tolist(), times_s[1:].tolist(), strict=True):
        at = int(np.searchsorted(starts_s, time_s + 0.05, "right")) - 1
        if at >= 0 and line[at].start_s > time_s - 4.0:
            struck.append(Note(time_s, time_s + 0.9 * (next_s - time_s), line[at].midi, line[at].velocity))
    return tuple(struck)


def _pad(score: Score, rng: np.random.Generator) -> Part:
    family, program = _family(PAD_FAMILIES, rng)
    return Part(
        name=f"held {family}",
        program=program,
        notes=tuple(n for chord in harmony(score, 2) for n in chord),
        level_db=float(rng.uniform(-14, -5)),
        pan=_side(rng, 0.4),
        chorus=int(rng.integers(0, 80)),
    )


def harmony(score: Score, beats_each: int) -> tuple[tuple[Note, ...], ...]:
    """The chord of every `beats_each` beats, in the middle range: its four most held pitch classes at most."""
    chords = []
    for start_s, end_s in zip(score.beats_s[::beats_each], score.beats_s[beats_each::beats_each], strict=False):
        held = np.zeros(12)
        for note in score.chords:
            held[note.midi % 12] += max(min(note.end_s, end_s) - max(note.start_s, start_s), 0.0)
        classes = [int(pitch) for pitch in np.argsort(-held, kind="stable")[:4] if held[pitch] > 0.1 * held.max()]
        chords.append(tuple(Note(start_s, end_s, folded(pitch, *PAD_RANGE), 70) for pitch in sorted(classes)))
    return tuple(chords)


def _strum(score: Score, rng: np.random.Generator) -> Part:
    """A guitar, struck in eighths or played in broken chords."""
    family, program = _family(("guitar", "guitar", "driven guitar", "plucked"), rng)
    broken, swings = rng.random() < 0.5, rng.uniform(0.6, 0.95)
    notes = [note for chord in harmony(score, 2) if chord for note in _struck(chord, broken, swings)]
    return Part(
        name=f"{'broken' if broken else 'struck'} {family}",
        program=program,
        notes=tuple(sorted(notes)),
        level_db=float(rng.uniform(-11, -4)),
        pan=float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.9)),
        chorus=int(rng.choice([0, 0, 30, 70])),
    )


def _struck(chord: Sequence[Note], broken: bool, soft: float) -> Iterable[Note]:
    """A chord of two beats in four eighths: one note each, or all, each a moment after the one below it."""
    edges_s = np.linspace(chord[0].start_s, chord[0].end_s, 5).tolist()
    for eighth in range(4):
        velocity = int(82 * (soft if eighth % 2 else 1.0))
        chosen = [chord[eighth % len(chord)]] if broken else chord
        for string, note in enumerate(chosen):
            start_s = edges_s[eighth] + 0.012 * string
            end_s = chord[0].end_s if broken else edges_s[eighth + 1]
            yield Note(start_s, max(end_s, start_s + 0.05), note.midi, velocity)


def _lead(score: Score, rng: np.random.Generator) -> Part:
    family, program = _family(LEAD_FAMILIES, rng)
    return Part(
        name=f"lead {family}",
        program=program,
        notes=score.bridge,
        level_db=float(rng.uniform(-9, 0)),
        pan=_side(rng, 0.7),
        chorus=int(rng.choice([0, 0, 30])),
    )


def _guide(score: Score, rng: np.random.Generator) -> Part:
    """An instrument that plays the melody along, softly, as accompaniments for karaoke have it."""
    family, program = _family(LEAD_FAMILIES, rng)
    octave = int(rng.choice([0, 0, 12, -12]))
    return Part(
        name=f"guide {family}",
        program=program,
        notes=tuple(replace(note, midi=note.midi + octave) for note in score.melody),
        level_db=float(rng.uniform(-16, -7)),
        pan=_side(rng, 0.5),
    )


def _drums(score: Score, rng: np.random.Generator) -> Part:
    groove = draw_groove(rng)
    notes = drum_notes(score.beats_s, groove, rng) if len(score.beats_s) > 1 else ()
    kit, level_db = int(rng.choice(KITS)), float(rng.uniform(-7, 1))
    return Part(name=f"drums, {groove.style}", program=kit, notes=notes, level_db=level_db, drums=True)


_OPTIONAL: tuple[tuple[float, Callable[[Score, np.random.Generator], Part]], ...] = (
    (0.85, _lead),
    (0.55, _pad),
    (0.4, _strum),
    (0.2, _guide),
    (0.8, _drums),
)
