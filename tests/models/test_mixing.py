"""Mixtures for training: levels, speeds and places that can be measured, and chance that can be repeated."""

import numpy as np
import pytest

from models.encode import encode
from models.layouts import read_layout
from models.mixing import Library, MixConfig, coloured, excerpt, mix

RATE_HZ = 16_000
PLAIN = MixConfig(together=1.0, shift=0, colour=0, level_db=0, swap=0)


def tone(hz, seconds=2.0):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


@pytest.fixture
def library(tmp_path):
    """Two songs: voices at 500 and 700 Hz, accompaniments at 2 and 3 kHz, whose parts differ in level by 20 dB."""
    for name, voice_hz, other_hz in (("a_1_1", 500, 2000), ("b_1_1", 700, 3000)):
        both = np.stack([0.5 * tone(other_hz), 0.05 * tone(voice_hz)], axis=1)
        encode(tmp_path / f"{name}.wav", both, RATE_HZ, codec="pcm_f32le")
    return Library(read_layout(f"mir1k:{tmp_path}"), tmp_path / "cache", RATE_HZ)


def pitch_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples)), 1 << 18))
    return np.argmax(spectrum) * RATE_HZ / (1 << 18)


def draw(library, config, seed):
    return mix(library, config, RATE_HZ, np.random.default_rng(seed))


def test_songs_are_levelled(library):
    voice, accompaniment = draw(library, PLAIN, 0)
    assert voice.shape == accompaniment.shape == (RATE_HZ, 1)
    for part in (voice, accompaniment):
        assert np.sqrt(np.mean(part**2)) == pytest.approx(0.1, rel=0.01)


def test_parts_of_one_song_or_of_two(library):
    pairs = {500: 2000, 700: 3000}
    together = [tuple(map(round, map(pitch_hz, draw(library, PLAIN, seed)))) for seed in range(10)]
    assert set(together) == set(pairs.items())
    apart = MixConfig(together=0, shift=0, colour=0, level_db=0)
    drawn = {tuple(map(round, map(pitch_hz, draw(library, apart, seed)))) for seed in range(30)}
    assert len(drawn) == 4


def test_speed_moves_both_parts_of_a_song_alike(library):
    config = MixConfig(together=1.0, shift=1.0, semitones=3, colour=0, level_db=0)
    for seed in range(5):
        voice, accompaniment = map(pitch_hz, draw(library, config, seed))
        assert accompaniment / voice == pytest.approx(4 if voice < 600 and accompaniment < 2400 else 30 / 7, rel=0.01)
        assert 0.83 < voice / (500 if accompaniment / voice < 4.1 else 700) < 1.2


def test_a_stretch_keeps_the_pitch(library):
    config = MixConfig(together=1.0, shift=0, tempo=1.0, stretch=1.3, colour=0, level_db=0)
    assert min(abs(pitch_hz(draw(library, config, 1)[0]) - hz) for hz in (500, 700)) < 2


def test_levels_have_the_deviation_that_is_asked_for(library):
    config = MixConfig(together=1.0, shift=0, colour=0, level_db=3)
    levels = [20 * np.log10(np.std(draw(library, config, seed)[0]) / 0.1) for seed in range(200)]
    assert np.std(levels) == pytest.approx(3, rel=0.15)


def test_voice_or_accompaniment_alone(library):
    config = MixConfig(no_voice=0.5, no_accompaniment=0.5)
    drawn = [draw(library, config, seed) for seed in range(40)]
    silent = [(not voice.any(), not accompaniment.any()) for voice, accompaniment in drawn]
    assert {(True, False), (False, True)} == set(silent)


def test_the_same_draw_gives_the_same(library):
    config = MixConfig(tempo=0.5)
    for first, second in zip(draw(library, config, 3), draw(library, config, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_colour_stays_within_its_bounds():
    click = np.zeros((4096, 1), np.float32)
    click[2048] = 1
    gains_db = 20 * np.log10(np.abs(np.fft.rfft(coloured(click, MixConfig(colour=1), np.random.default_rng(0))[:, 0])))
    assert gains_db.min() >= -5.01
    assert gains_db.max() <= 5.01
    assert np.ptp(gains_db) > 1


def test_an_excerpt_goes_round():
    samples = np.arange(10, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(excerpt(samples, 8, 14)[:, 0], [8, 9, *range(10), 0, 1])


def test_a_changed_file_is_decoded_anew(tmp_path):
    path = tmp_path / "a_1_1.wav"
    for level in (0.1, 0.2):
        encode(path, np.full((2000, 2), level, np.float32), RATE_HZ, codec="wav")
        library = Library(read_layout(f"mir1k:{tmp_path}"), tmp_path / "cache", RATE_HZ)
        assert library.part(library.songs[0], "voice")[1] == pytest.approx(level, rel=0.01)
