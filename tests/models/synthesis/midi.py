"""A small song as a MIDI file: eight bars in C major, 120 beats a minute, with the tracks of POP909."""

from __future__ import annotations

from pathlib import Path

import mido

TICKS = 480  # to the beat of half a second
MELODY = (60, 62, 64, 65, 67, 65, 64, 62)
CHORDS = ((36, 60, 64, 67), (41, 60, 65, 69), (43, 59, 62, 67), (36, 60, 64, 67))


def write_midi(path: Path, *, first_melody_tick: int = 0, bars: int = 8) -> Path:
    """Each bar: four beats sung on `MELODY`, but not in every fourth bar; a chord in whole notes; an answer in each."""
    sung = [
        (b * 4 * TICKS + n * TICKS, TICKS, MELODY[(4 * b + n) % 8]) for b in range(bars) if b % 4 < 3 for n in range(4)
    ]
    chords = [(bar * 4 * TICKS, 4 * TICKS, pitch) for bar in range(bars) for pitch in CHORDS[bar % 4]]
    answers = [(bar * 4 * TICKS + 2 * TICKS, TICKS, 79) for bar in range(bars)]
    midi = mido.MidiFile(ticks_per_beat=TICKS)
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000)]))
    moved = [(tick + first_melody_tick, length, pitch) for tick, length, pitch in sung]
    for name, notes in (("MELODY", moved), ("BRIDGE", answers), ("PIANO", chords)):
        midi.tracks.append(track(name, notes, channel=len(midi.tracks)))
    midi.save(path)
    return path


def track(name: str, notes: list[tuple[int, int, int]], channel: int) -> mido.MidiTrack:
    """A track of notes: tick, length in ticks, pitch."""
    events = [(tick + length, 0, pitch, 0) for tick, length, pitch in notes]
    events += [(tick, 1, pitch, 90) for tick, length, pitch in notes]
    made, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
    for tick, _, pitch, velocity in sorted(events):
        made.append(mido.Message("note_on", channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    return made
