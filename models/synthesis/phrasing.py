"""A melody and its syllables: which note gets which, and when it is sung.

Conventions. Seconds from the start of the excerpt. A vowel begins with its note, so that the consonants before it take
their time from the note before. A syllable is sung from `start_s`, where its consonant begins, to `end_s`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.synthesis.score import Note
from models.synthesis.syllables import Syllable
from models.synthesis.voices import Singer

JOINED_S = 0.03  #: syllables nearer than this are sung without a break
TIED_S = 0.05  #: notes nearer than this may share a syllable
TIED_SEMITONES = 5
LEGATO_S = 0.18  #: a shorter rest is sung over
SHORTEST_S = 0.09  #: of a vowel
HEAD_SHARE = 0.5  #: of the time since the last vowel's onset, which consonants may take


@dataclass(frozen=True)
class Sung:
    """A syllable with the notes that it is sung on."""

    syllable: Syllable
    start_s: float
    onset_s: float  #: of the vowel
    end_s: float
    notes: tuple[Note, ...]
    level_db: float = 0.0
    joins_last: bool = False  #: it begins as the last one ends, within the same breath
    joins_next: bool = False


def phrase(
    notes: Sequence[Note], vocabulary: Sequence[Syllable], singer: Singer, rng: np.random.Generator
) -> tuple[Sung, ...]:
    """Syllables of `vocabulary`, drawn by chance, on the notes of a melody that follow one another in time."""
    if not notes:
        return ()
    tied = tie(legato(notes), singer.melisma, rng)
    drawn = [vocabulary[int(index)] for index in rng.integers(0, len(vocabulary), len(tied))]
    shifts_s = np.clip(rng.normal(0, singer.lateness_s, len(tied)), -0.04, 0.04)
    levels_db = _levels_db(tied, singer, rng)
    sung: list[Sung] = []
    for group, text, shift_s, level_db in zip(tied, drawn, shifts_s.tolist(), levels_db, strict=True):
        sung.append(_placed(sung[-1] if sung else None, group, text, shift_s, level_db))
    return _joined(sung)


def legato(notes: Sequence[Note]) -> tuple[Note, ...]:
    """The notes with short rests between them closed, as a singer does who stays within a phrase.

    >>> [n.end_s for n in legato([Note(0, 0.4, 60), Note(0.5, 1, 62), Note(2, 3, 60)])]
    [0.5, 1, 3]
    """
    following = [*(note.start_s for note in notes[1:]), np.inf]
    pairs = zip(notes, following, strict=True)
    return tuple(replace(note, end_s=next_s) if next_s - note.end_s < LEGATO_S else note for note, next_s in pairs)


def tie(notes: Sequence[Note], chance: float, rng: np.random.Generator) -> list[tuple[Note, ...]]:
    """Notes grouped into melismas: one that follows at once, not far away, goes on with the vowel by `chance`."""
    groups: list[tuple[Note, ...]] = []
    for note in notes:
        last = groups[-1][-1] if groups else None
        near = last and note.start_s - last.end_s < TIED_S and 0 < abs(note.midi - last.midi) <= TIED_SEMITONES
        if near and len(groups[-1]) < 4 and rng.random() < chance:
            groups[-1] = (*groups[-1], note)
        else:
            groups.append((note,))
    return groups


def _levels_db(groups: Sequence[tuple[Note, ...]], singer: Singer, rng: np.random.Generator) -> list[float]:
    """Higher and longer notes are louder, and none is like another."""
    pitches = np.array([group[0].midi for group in groups], np.float64)
    lengths_s = np.array([group[-1].end_s - group[0].start_s for group in groups])
    slope = rng.uniform(0.1, 0.4)
    levels = slope * (pitches - np.mean(pitches)) + np.clip(3 * np.log2(lengths_s / 0.4), -3, 2)
    return list(np.clip(levels + rng.normal(0, singer.dynamics_db, len(groups)), -9, 6).tolist())


def _placed(before: Sung | None, notes: tuple[Note, ...], text: Syllable, shift_s: float, level_db: float) -> Sung:
    earliest_s = before.onset_s if before else 0.0
    onset_s = max(notes[0].start_s + shift_s, earliest_s + SHORTEST_S if before else 0.0)
    head_s = min(text.head_s, HEAD_SHARE * (onset_s - earliest_s))
    return Sung(text, onset_s - head_s, onset_s, max(notes[-1].end_s, onset_s + SHORTEST_S), notes, level_db)


def _joined(sung: Sequence[Sung]) -> tuple[Sung, ...]:
    """Each syllable ended where the next begins, at the latest, and told whether there is a break."""
    joined: list[Sung] = []
    for one, next_s in zip(sung, [*(one.start_s for one in sung[1:]), np.inf], strict=True):
        end_s = max(min(one.end_s, next_s), one.onset_s + 0.02)
        joins_last = bool(joined) and joined[-1].joins_next
        joined.append(replace(one, end_s=end_s, joins_last=joins_last, joins_next=next_s - end_s < JOINED_S))
    return tuple(joined)
