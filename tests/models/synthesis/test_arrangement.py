"""Who plays what: arithmetic of notes, without sound."""

from itertools import pairwise

import numpy as np
import pytest

from models.synthesis import arrangement, band, drums
from models.synthesis.score import Note, excerpt, read_score
from tests.models.synthesis.midi import write_midi

BEATS_S = tuple(np.arange(33) * 0.5)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return excerpt(read_score(write_midi(tmp_path_factory.mktemp("midi") / "song.mid")), 0.0, 12.0)


def test_the_bass_plays_roots_one_at_a_time_in_its_range(song):
    line = arrangement.bass_line(song)
    assert [note.midi for note in line[:3]] == [36, 41, 43]
    assert all(first.end_s <= second.start_s for first, second in pairwise(line))


def test_eighths_keep_the_pitch_and_double_the_pace(song):
    driven = arrangement.eighths(arrangement.bass_line(song), song.beats_s)
    assert {note.midi for note in driven if note.start_s < 1.9} == {36}
    assert np.diff([note.start_s for note in driven]) == pytest.approx(0.25)


def test_harmony_finds_the_chord_of_each_bar(song):
    chords = [{note.midi % 12 for note in chord} for chord in arrangement.harmony(song, 4)]
    assert chords[:3] == [{0, 4, 7}, {5, 0, 9}, {7, 11, 2}]


def test_every_part_is_playable_and_no_voice_is_among_them(song):
    sung_by_machines = {52, 53, 54, 85, 91}
    for seed in range(30):
        parts = arrangement.arrange(song, np.random.default_rng(seed))
        assert parts
        assert not {part.program for part in parts if not part.drums} & sung_by_machines
        for part in parts:
            assert part.notes
            assert all(1 <= note.velocity <= 127 and note.end_s > note.start_s >= 0 for note in part.notes)
            assert abs(part.pan) <= 1


def test_the_band_differs_from_song_to_song_and_not_from_run_to_run(song):
    once, again = (arrangement.arrange(song, np.random.default_rng(5)) for _ in range(2))
    assert once == again
    assert len({arrangement.arrange(song, np.random.default_rng(seed))[0].program for seed in range(30)}) > 8
    drummers = [any(part.drums for part in arrangement.arrange(song, np.random.default_rng(s))) for s in range(40)]
    assert 0.5 < np.mean(drummers) < 1.0


def test_patterns_are_a_bar_long():
    patterns = [pattern for style in drums.STYLES.values() for pattern in style.values()]
    assert {len(pattern) for pattern in [*patterns, *drums.EXTRAS.values()]} == {drums.STEPS}


def test_drums_keep_time_and_fill():
    groove = drums.Groove(style="rock", extra=None, fill_bars=4, enters_bar=1, looseness_s=0.0)
    notes = drums.drum_notes(BEATS_S, groove, np.random.default_rng(1))
    assert notes[0].start_s == 2.0
    snare_s = [note.start_s for note in notes if note.midi == drums.SNARE and note.start_s < 6 and note.velocity > 75]
    assert snare_s == pytest.approx([2.5, 3.5, 4.5, 5.5])  # the second and fourth beat
    toms = [note for note in notes if note.midi in drums.TOMS]
    assert toms
    assert {int(note.start_s / 2) % 4 for note in toms} == {3}


def test_midi_lasts_as_long_as_asked_and_lets_go_before_it_strikes():
    notes = (Note(0.0, 0.5, 60), Note(0.5, 1.0, 60), Note(1.0, 9.0, 62))
    part = arrangement.Part(name="piano", program=3, notes=notes, level_db=0.0, pan=-1.0)
    midi = band.midi_file(part, 2.0)
    assert midi.length == pytest.approx(2.0)
    at_half = [message.type for message in midi.tracks[0] if message.type.startswith("note")]
    assert at_half == ["note_on", "note_off", "note_on", "note_off", "note_on", "note_off"]


def test_loudness_is_that_of_what_sounds():
    tone = 0.1 * np.sin(2 * np.pi * 441 * np.arange(44100) / 44100)[:, None] * np.ones(2)
    with_rest = np.vstack([tone, np.zeros((88200, 2))])
    assert band.active_dbfs(with_rest) == pytest.approx(band.active_dbfs(tone), abs=1e-6)
    assert band.active_dbfs(tone) == pytest.approx(-23.01, abs=0.01)
    assert band.active_dbfs(np.zeros((44100, 2))) == band.REFERENCE_DBFS
