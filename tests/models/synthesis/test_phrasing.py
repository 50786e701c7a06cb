"""Which note gets which syllable, when, and at which pitch: arithmetic, without sound."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from models.synthesis import phrasing, pitch
from models.synthesis.score import Note
from models.synthesis.singer import source_frames
from models.synthesis.world import FRAME_S
from tests.models.synthesis.singers import PLAIN, spoken

NOTES = (Note(1.0, 1.9, 60), Note(2.0, 3.0, 64), Note(4.0, 5.0, 62))
RNG = np.random.default_rng


def sung(notes=NOTES, singer=PLAIN, **syllable):
    return phrasing.phrase(notes, [spoken(**syllable)], singer, RNG(1))


def test_vowels_begin_with_their_notes_and_consonants_before():
    placed = sung()
    assert [one.onset_s for one in placed] == [1.0, 2.0, 4.0]
    assert [one.onset_s - one.start_s for one in placed] == pytest.approx([0.05] * 3)
    assert placed[0].end_s == pytest.approx(1.95)  # the rest is sung over, up to the next consonant
    assert [(one.joins_last, one.joins_next) for one in placed] == [(False, True), (True, False), (False, False)]


def test_consonants_leave_time_for_the_vowel_before():
    quick = tuple(Note(0.12 * n + 0.5, 0.12 * (n + 1) + 0.5, 60 + n % 3) for n in range(12))
    placed = sung(quick, head=40)
    assert all(one.end_s - one.onset_s >= 0.05 for one in placed)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(placed))


def test_tied_notes_share_a_syllable():
    close = (Note(0.0, 0.5, 60), Note(0.5, 1.0, 62), Note(1.0, 1.5, 62), Note(1.5, 2.0, 72), Note(2.2, 2.5, 71))
    tied = phrasing.tie(close, 1.0, RNG(0))
    assert [len(group) for group in tied] == [2, 1, 1, 1]  # a repeated pitch, a leap and a rest want a new one
    assert [len(group) for group in phrasing.tie(close, 0.0, RNG(0))] == [1] * 5


@pytest.mark.parametrize("length_s", [0.1, 0.3, 2.0])
def test_a_vowel_is_stretched_and_its_consonants_are_not(length_s):
    (one,) = sung((Note(1.0, 1.0 + length_s, 60),))
    times_s = np.arange(one.start_s, one.end_s, FRAME_S)
    at = source_frames(one, times_s)
    assert (np.diff(at) >= 0).all()
    head = times_s < one.onset_s - 1e-9
    np.testing.assert_allclose(np.diff(at[head]), 1.0, atol=1e-6)
    assert at[0] == pytest.approx(0, abs=1e-6)
    assert at[np.searchsorted(times_s, one.onset_s)] == pytest.approx(10, abs=1)
    assert at[-1] >= 53


def test_the_pitch_is_the_notes():
    curve = pitch.pitch_curve(sung(), 1100, -12.0, PLAIN, RNG(2))
    for note in NOTES:
        held = curve[round((note.start_s + 0.1) / FRAME_S) : round((note.end_s - 0.12) / FRAME_S)]
        assert np.abs(held - (note.midi - 12)).max() < 0.15  # a flutter of 3 cents is all that is left


def test_glides_last_as_long_as_asked_and_pass_no_rest():
    placed = sung()
    curve = pitch.smooth(pitch.steps(placed, 1100, [0.0] * 3), 0.1)
    moving_s = np.flatnonzero(np.abs(np.diff(curve)) > 1e-6) * FRAME_S
    first = moving_s[moving_s < 3]
    assert 0.06 < np.ptp(first) < 0.12
    assert np.mean(first) == pytest.approx(placed[1].start_s, abs=0.01)
    assert np.abs(moving_s[moving_s > 3] - placed[2].start_s).max() < 0.06


def test_vibrato_has_its_rate_and_depth_and_sets_in_late():
    shaky = replace(PLAIN, vibrato_cents=40.0, vibrato_hz=5.0)
    held = sung((Note(0.0, 4.0, 60),), shaky)
    cents = pitch.vibrato(held, 800, shaky, RNG(4))
    assert np.abs(cents[:30]).max() < 1.0
    late = cents[200:760]
    assert 20 < np.abs(late).max() <= 40
    spectrum = np.abs(np.fft.rfft(late * np.hanning(len(late))))
    assert np.argmax(spectrum) / (len(late) * FRAME_S) == pytest.approx(5.0, abs=0.5)


def test_scoops_come_from_below_and_only_after_rests():
    eager = replace(PLAIN, scoop_cents=150.0)
    cents = np.min([pitch.scoops(sung(), 1100, eager, RNG(seed)) for seed in range(8)], axis=0)
    assert cents.max() <= 0
    assert cents[round(4.0 / FRAME_S)] == pytest.approx(-150, abs=10)
    assert cents[round(2.05 / FRAME_S)] == 0
