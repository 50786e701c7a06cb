"""MIDI to notes: what is sung, what is played, and where the bars are.

Conventions. Times are seconds, pitches MIDI numbers, velocities 1..127. The track MELODY is sung, BRIDGE is a second
lead, all others are the accompaniment (as in POP909, Wang et al. 2020, where it is PIANO); drums (channel 10) are left
out, for new ones are made. The sustain pedal is kept apart from the notes: not every instrument has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.synthesis.meter import BEATS_PER_BAR, TempoMap, beats, first_downbeat
from models.synthesis.tools import SynthesisError, package

BASS_BELOW = 52  #: MIDI pitch; what lies under it is bass
SHORTEST_S = 0.06  #: shorter notes of the melody are grace notes or slips, nothing to put a syllable on
DRUM_CHANNEL = 9  # counted from 0
PEDAL = 64
Span = tuple[float, float]


@dataclass(frozen=True, order=True)
class Note:
    """One note."""

    start_s: float
    end_s: float
    midi: int
    velocity: int = 80

    @property
    def duration_s(self) -> float:
        """How long it is held."""
        return self.end_s - self.start_s


@dataclass(frozen=True, kw_only=True)
class Score:
    """A song, or an excerpt of one: notes in order of time."""

    melody: tuple[Note, ...]
    bridge: tuple[Note, ...]
    chords: tuple[Note, ...]
    pedal_s: tuple[Span, ...]  #: from pressing to letting go
    beats_s: tuple[float, ...]  #: the first begins a bar, and so does every fourth from there
    duration_s: float

    @property
    def bars_s(self) -> tuple[float, ...]:
        """Where bars begin."""
        return self.beats_s[::BEATS_PER_BAR]


def read_score(path: Path) -> Score:
    """The score of a MIDI file.

    Raises:
        SynthesisError: if it is no MIDI file, or there is no track MELODY with notes.
    """
    try:
        midi = package("mido").MidiFile(path, clip=True)
    except (OSError, EOFError, ValueError, KeyError) as error:  # mido has no error of its own
        raise SynthesisError(f"{path} is no MIDI file: {error}", "Take it out of the folder, or get it anew") from error
    tracks = {index: (track.name.strip().upper(), list(_timed(track))) for index, track in enumerate(midi.tracks)}
    changes = [(tick, m.tempo) for _, events in tracks.values() for tick, m in events if m.type == "set_tempo"]
    tempo = TempoMap(changes, midi.ticks_per_beat)
    voices: dict[str, list[Note]] = defaultdict(list)
    for name, events in tracks.values():
        voices[name if name in ("MELODY", "BRIDGE") else "CHORDS"] += _notes(events, tempo)
    if not voices["MELODY"]:
        names = sorted(name for name, _ in tracks.values())
        raise SynthesisError(f"{path} has no notes in a track MELODY", f"Its tracks are {names}; name the sung one so")
    every = [event for _, events in tracks.values() for event in events]
    return _assembled(voices, tempo, every)


def _timed(track: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    tick = 0
    for message in track:
        tick += message.time
        yield tick, message


def _notes(events: Sequence[tuple[int, Any]], tempo: TempoMap) -> list[Note]:
    sounding: dict[tuple[int, int], tuple[int, int]] = {}
    notes = []
    for tick, message in events:
        if message.type not in ("note_on", "note_off") or message.channel == DRUM_CHANNEL:
            continue
        key = (message.channel, message.note)
        if key in sounding:  # struck again is let go, too
            start, velocity = sounding.pop(key)
            start_s, end_s = tempo.seconds([start, tick]).tolist()
            notes += [Note(start_s, end_s, message.note, velocity)] if tick > start else []
        if message.type == "note_on" and message.velocity:
            sounding[key] = (tick, message.velocity)
    return notes


def _assembled(voices: dict[str, list[Note]], tempo: TempoMap, events: Sequence[tuple[int, Any]]) -> Score:
    onsets = [tick for tick, m in events if m.type == "note_on" and m.velocity and m.channel != DRUM_CHANNEL]
    beats_s = beats(tempo, onsets, max(tick for tick, _ in events) + tempo.ticks_per_beat * BEATS_PER_BAR * 2)
    bass = [note for note in voices["CHORDS"] if note.midi < BASS_BELOW]
    skip = first_downbeat(beats_s, [note.start_s for note in bass], [note.velocity for note in bass])
    return Score(
        melody=monophonic(voices["MELODY"]),
        bridge=tuple(sorted(voices["BRIDGE"])),
        chords=tuple(sorted(voices["CHORDS"])),
        pedal_s=tuple(_pedal(events, tempo)),
        beats_s=tuple(beats_s[skip:].tolist()),
        duration_s=max(note.end_s for notes in voices.values() for note in notes),
    )


def _pedal(events: Sequence[tuple[int, Any]], tempo: TempoMap) -> Iterable[Span]:
    down: int | None = None
    for tick, message in events:
        if message.type != "control_change" or message.control != PEDAL:
            continue
        if message.value >= 64 and down is None:
            down = tick
        elif message.value < 64 and down is not None:
            yield tuple(tempo.seconds([down, tick]).tolist())
            down = None


def monophonic(notes: Iterable[Note]) -> tuple[Note, ...]:
    """What one voice can sing of `notes`: of those struck together the highest, each ended where the next begins.

    >>> [(n.midi, n.end_s) for n in monophonic([Note(0, 2, 60), Note(0, 2, 64), Note(1, 2, 62)])]
    [(64, 1), (62, 2)]
    """
    ordered = sorted(notes, key=lambda note: (note.start_s, -note.midi))
    kept: list[Note] = []
    for note in ordered:
        if kept and note.start_s - kept[-1].start_s < SHORTEST_S:
            continue
        if kept:
            kept[-1] = replace(kept[-1], end_s=min(kept[-1].end_s, note.start_s))
        kept.append(note)
    return tuple(note for note in kept if note.duration_s >= SHORTEST_S)


def excerpt(score: Score, start_s: float, duration_s: float) -> Score:
    """The part of a score from `start_s` on, with its times from 0.

    Sung notes that began before are left out, for nobody begins within a word; played ones are cut.
    """
    end_s = start_s + duration_s

    def cut(notes: Iterable[Note], earliest_s: float = -np.inf) -> tuple[Note, ...]:
        inside = (n for n in notes if earliest_s <= n.start_s < end_s and n.end_s > start_s)
        moved = (Note(max(n.start_s - start_s, 0.0), n.end_s - start_s, n.midi, n.velocity) for n in inside)
        return tuple(n for n in moved if n.duration_s > 0.02)

    later = [index for index, beat_s in enumerate(score.beats_s) if beat_s >= start_s and index % BEATS_PER_BAR == 0]
    kept = score.beats_s[later[0] :] if later else ()
    return Score(
        melody=tuple(n for n in cut(score.melody, start_s) if n.start_s < duration_s - 2 * SHORTEST_S),
        bridge=cut(score.bridge),
        chords=cut(score.chords),
        pedal_s=tuple((max(a - start_s, 0.0), b - start_s) for a, b in score.pedal_s if b > start_s and a < end_s),
        beats_s=tuple(beat_s - start_s for beat_s in kept if beat_s < end_s),
        duration_s=duration_s,
    )


def altered(score: Score, semitones: int, slowness: float) -> Score:
    """A score in another key and tempo: every time is `slowness` times as late."""

    def moved(notes: Iterable[Note]) -> tuple[Note, ...]:
        return tuple(Note(n.start_s * slowness, n.end_s * slowness, n.midi + semitones, n.velocity) for n in notes)

    return Score(
        melody=moved(score.melody),
        bridge=moved(score.bridge),
        chords=moved(score.chords),
        pedal_s=tuple((a * slowness, b * slowness) for a, b in score.pedal_s),
        beats_s=tuple(beat_s * slowness for beat_s in score.beats_s),
        duration_s=score.duration_s * slowness,
    )


def busy_start(score: Score, duration_s: float, rng: np.random.Generator) -> float:
    """Where to begin an excerpt of `duration_s`: at a bar, where much is sung, but not always where most is.

    Among the bars whose excerpt holds at least 0.6 of the singing of the fullest, one is drawn: breaks occur.
    """
    last_s = max(score.duration_s - duration_s, 0.0)
    starts = np.array([bar_s for bar_s in score.bars_s if bar_s <= last_s] or [0.0])
    sung_s = np.array([_sung_s(score.melody, start_s, start_s + duration_s) for start_s in starts])
    return float(rng.choice(starts[sung_s >= 0.6 * sung_s.max()]))


def _sung_s(notes: Iterable[Note], start_s: float, end_s: float) -> float:
    return sum(max(min(note.end_s, end_s) - max(note.start_s, start_s), 0.0) for note in notes)
