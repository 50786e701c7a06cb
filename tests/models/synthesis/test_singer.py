"""The voice as sound: pitch, time and silence."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from models.synthesis import lyrics, singer, world
from models.synthesis.phrasing import phrase
from models.synthesis.score import Note
from models.synthesis.syllables import syllable
from models.synthesis.tools import package
from models.synthesis.voices import draw_singer, octave_shift
from tests.models.synthesis.singers import PLAIN, spoken

RATE = world.RATE_HZ
NOTES = (Note(0.5, 1.5, 57), Note(2.0, 3.0, 61))
with_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


def sing(notes=NOTES, who=PLAIN, words=None, semitones=0.0):
    sung = phrase(notes, words or [spoken()], who, np.random.default_rng(1))
    return singer.sing(sung, 3.5, semitones, who, np.random.default_rng(2)), sung


def loudest_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(np.argmax(spectrum[: 430 * (1 << 18) // RATE]) * RATE / (1 << 18))  # below 430 Hz there is f0 alone


@pytest.mark.parametrize("semitones", [0, 7])
def test_the_fundamental_is_the_note(semitones):
    voice, _ = sing(semitones=semitones)
    for note in NOTES:
        held = voice[round((note.start_s + 0.2) * RATE) : round((note.end_s - 0.1) * RATE)]
        wanted = 440 * 2 ** ((note.midi + semitones - 69) / 12)
        assert 1200 * np.log2(loudest_hz(held) / wanted) == pytest.approx(0, abs=10)


def test_silence_where_nothing_is_sung():
    voice, sung = sing()
    assert len(voice) == 3.5 * RATE
    for start_s, end_s in ((0, sung[0].start_s), (sung[0].end_s, sung[1].start_s), (sung[1].end_s, 3.5)):
        assert np.abs(voice[round((start_s + 0.03) * RATE) : round((end_s - 0.03) * RATE)]).max() == 0
    assert np.abs(voice).max() > 0


def test_nothing_sung_is_silence():
    voice, _ = sing(notes=())
    assert voice.shape == (3.5 * RATE,)
    assert not voice.any()


def test_a_hissed_consonant_has_no_pitch():
    voice, sung = sing(words=[spoken(head=40)])
    hiss = voice[round((sung[1].start_s + 0.03) * RATE) : round((sung[1].onset_s - 0.02) * RATE)]
    held = voice[round((sung[1].onset_s + 0.2) * RATE) :][: len(hiss)]

    def peakiness(samples):
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))[:400]
        return spectrum.max() / np.median(spectrum)

    assert peakiness(hiss) < 15 < peakiness(held)


def test_a_shorter_tract_raises_formants():
    envelope = spoken().sound.envelope[20:21]
    for shift in (0.9, 1.2):
        moved = singer.shaped(envelope, replace(PLAIN, formant_shift=shift))
        assert world.HZ[np.argmax(moved)] == pytest.approx(700 * shift, abs=25)


def test_the_same_chance_sings_the_same():
    breathy = replace(PLAIN, breathes=True, vibrato_cents=30.0, drift_cents=8.0)
    np.testing.assert_array_equal(sing(who=breathy)[0], sing(who=breathy)[0])


@pytest.mark.parametrize("seed", range(20))
def test_singers_sing_within_their_range(seed):
    who = draw_singer(np.random.default_rng(seed))
    melody = np.array([67, 69, 72, 74])
    assert abs(np.median(melody) + octave_shift(melody, who.centre_midi) - who.centre_midi) <= 6


def test_shares_of_languages_are_whole():
    assert sum(lyrics.SHARES.values()) == pytest.approx(1)
    assert set(lyrics.SHARES) == set(lyrics.SYLLABLES)


@with_espeak
@pytest.mark.parametrize(("text", "hissed"), [("sa", True), ("ma", False)])
def test_syllables_are_cut_where_the_vowel_begins(text, hissed):
    found = syllable("es+f1", text)
    first, last = found.vowel
    assert 0.04 < found.head_s < 0.2
    assert 0.1 < (last - first) * world.FRAME_S < 0.6
    assert found.sound.voiced[first:last].all()
    assert (np.mean(found.sound.voiced[:first]) < 0.5) == hissed


@with_espeak
def test_a_real_voice_follows_the_melody_and_the_clock():
    words = [syllable("it+f2", text) for text in ("la", "so")]
    voice, sung = sing(words=words, semitones=12)
    hz, times_s = package("pyworld").dio(voice, RATE, 70.0, 700.0, frame_period=5.0)
    for note in NOTES:
        held = hz[(times_s > note.start_s + 0.15) & (times_s < note.end_s - 0.15)]
        cents = 1200 * np.log2(held[held > 0] / (440 * 2 ** ((note.midi + 12 - 69) / 12)))
        assert len(cents) > 0.8 * len(held)
        assert np.mean(np.abs(cents) < 50) > 0.9
    for one in sung:
        loud = np.abs(voice) > 0.03 * np.abs(voice[round(one.start_s * RATE) : round(one.end_s * RATE)]).max()
        before = round((one.start_s - 0.2) * RATE)
        assert (before + np.argmax(loud[before:])) / RATE == pytest.approx(one.start_s, abs=0.05)


@with_espeak
def test_every_language_speaks():
    for language in lyrics.SYLLABLES:
        assert syllable(f"{language}+m3", lyrics.syllables(language)[0]) is not None
