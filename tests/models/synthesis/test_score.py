"""MIDI to notes and bars."""

import mido
import numpy as np
import pytest

from models.synthesis import meter, score
from models.synthesis.score import Note
from models.synthesis.tools import SynthesisError
from tests.models.synthesis.midi import MELODY, TICKS, track, write_midi


@pytest.fixture
def song(tmp_path):
    return score.read_score(write_midi(tmp_path / "song.mid"))


def test_notes_come_with_their_times_and_pitches(song):
    assert [note.midi for note in song.melody[:8]] == list(MELODY)
    assert [note.start_s for note in song.melody[:3]] == [0.0, 0.5, 1.0]
    assert (len(song.melody), len(song.bridge)) == (24, 8)
    assert {note.midi for note in song.bridge} == {79}
    assert song.duration_s == pytest.approx(16.0)


def test_bars_begin_where_the_bass_does(tmp_path):
    midi = mido.MidiFile(ticks_per_beat=TICKS)
    late = [(TICKS * (1 + 4 * bar) + 20, TICKS, 40) for bar in range(6)]  # the second beat of the file, 20 ticks late
    midi.tracks += [track("PIANO", late, 0), track("MELODY", [(TICKS * n + 20, 200, 60) for n in range(24)], 1)]
    midi.save(tmp_path / "late.mid")
    bars_s = score.read_score(tmp_path / "late.mid").bars_s
    np.testing.assert_allclose(bars_s[:3], np.array([1, 5, 9]) * 0.5 + 20 / TICKS * 0.5, atol=1e-9)


def test_tempo_changes_bend_time():
    tempo = meter.TempoMap([(0, 600_000), (480, 300_000), (480, 400_000)], 480)
    assert tempo.seconds([0, 240, 480, 960]).tolist() == pytest.approx([0, 0.3, 0.6, 1.0])


@pytest.mark.parametrize("offset", [-25.0, 0.0, 31.0])
def test_a_grid_is_found_behind_loose_playing(offset):
    rng = np.random.default_rng(3)
    onsets = np.arange(60) * 120 + offset + rng.normal(0, 6, 60)
    assert meter.grid_offset(onsets, 120) == pytest.approx(offset, abs=3)


def test_a_note_struck_again_ends_first(tmp_path):
    made = mido.MidiTrack()
    for time, velocity in ((0, 80), (480, 90), (480, 0)):
        made.append(mido.Message("note_on", note=60, velocity=velocity, time=time))
    made.insert(0, mido.MetaMessage("track_name", name="melody"))
    midi = mido.MidiFile(ticks_per_beat=480)
    midi.tracks.append(made)
    midi.save(tmp_path / "twice.mid")
    assert score.read_score(tmp_path / "twice.mid").melody == (Note(0.0, 0.5, 60, 80), Note(0.5, 1.0, 60, 90))


def test_an_excerpt_begins_at_zero_and_within_no_word(song):
    part = score.excerpt(song, 1.75, 4.0)
    assert [note.start_s for note in part.melody[:2]] == pytest.approx([0.25, 0.75])  # the one from 1.5 s is left out
    assert part.chords[0].start_s == 0.0  # held since 0 s
    assert part.bars_s == pytest.approx((0.25, 2.25))
    assert all(0 <= note.start_s < 4 for notes in (part.melody, part.bridge, part.chords) for note in notes)


def test_another_key_and_tempo(song):
    other = score.altered(song, 3, 1.1)
    assert [n.midi - m.midi for n, m in zip(other.melody, song.melody, strict=True)] == [3] * 24
    assert other.melody[5].start_s == pytest.approx(1.1 * song.melody[5].start_s)
    assert other.bars_s[2] == pytest.approx(1.1 * song.bars_s[2])


def test_excerpts_are_taken_where_much_is_sung(tmp_path):
    song = score.read_score(write_midi(tmp_path / "late.mid", first_melody_tick=8 * TICKS, bars=12))
    starts = {score.busy_start(song, 4.0, np.random.default_rng(seed)) for seed in range(40)}
    assert len(starts) > 2
    assert min(starts) >= 2.0  # nothing is sung in the first 4 s
    assert starts <= set(song.bars_s)


def test_what_is_no_midi_and_what_has_no_melody(tmp_path):
    (tmp_path / "web.mid").write_text("<html>")
    with pytest.raises(SynthesisError, match=r"web\.mid is no MIDI file"):
        score.read_score(tmp_path / "web.mid")
    midi = mido.MidiFile()
    midi.tracks.append(track("PIANO", [(0, 480, 60)], 0))
    midi.save(tmp_path / "piano.mid")
    with pytest.raises(SynthesisError, match=r"no notes in a track MELODY.*PIANO"):
        score.read_score(tmp_path / "piano.mid")
