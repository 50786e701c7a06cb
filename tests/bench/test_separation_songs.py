"""Scoring on folders of stems: songs of our own, of which the answers are known."""

import numpy as np
import pytest

from bench.separation_songs import NOTHING, Score, by_system, main, score, sdr_db
from models.layouts import DataError, songs_in
from tests.signals import music, noise, write

RATE_HZ = 44_100


def song(folder, name, form="wavfloat", stems=("accompaniment",), seconds=1.0):
    (folder / name).mkdir()
    write(folder / name, form, music(seconds, RATE_HZ, 2, 1), RATE_HZ, stem="vocals")
    for number, stem in enumerate(stems):
        sound = noise(seconds, RATE_HZ, 0.05, number)[:, None] * np.float32([[1.0, 0.3]])
        write(folder / name, form, sound, RATE_HZ, stem=stem)


def test_sdr_counts_every_error_of_every_channel():
    true = music(1.0, RATE_HZ, 2)
    assert sdr_db(true, 0.5 * true) == pytest.approx(20 * np.log10(2), abs=1e-3), "no gain is forgiven"
    assert sdr_db(true, np.zeros_like(true)) == pytest.approx(0, abs=1e-3)
    assert sdr_db(true, true) > 60
    left = true * np.float32([[1.0, 0.0]])
    wanted = 10 * np.log10(np.sum(true**2) / np.sum(true[:, 1] ** 2))
    assert sdr_db(true, left) == pytest.approx(wanted, abs=1e-3)


def test_stems_are_mixed_as_they_are(tmp_path):
    song(tmp_path, "one", "wavfloat", ("drums", "bass", "other"))
    scores = score(songs_in("stems", tmp_path)[0], {"half": lambda mixture, voice, accompaniment, rate_hz: mixture / 2})
    voice = music(1.0, RATE_HZ, 2, 1)
    rest = sum(noise(1.0, RATE_HZ, 0.05, number)[:, None] * np.float32([[1.0, 0.3]]) for number in range(3))
    ratio_db = 10 * np.log10(np.sum(voice**2) / np.sum(rest**2))
    found = {(its.system, its.part): its.sdr_db for its in scores}
    assert found[NOTHING, "vocals"] == pytest.approx(ratio_db, abs=1e-3)
    assert found[NOTHING, "accompaniment"] == pytest.approx(-ratio_db, abs=1e-3)
    error = np.sum((voice - rest) ** 2) / 4
    assert found["half", "vocals"] == pytest.approx(10 * np.log10(np.sum(voice**2) / error), abs=1e-3)


def test_medians_and_means_over_songs():
    scores = [
        Score(song=str(number), length_s=1.0 + number, system="x", part=part, sdr_db=sign * value)
        for number, value in enumerate((1.0, 2.0, 9.0))
        for part, sign in (("vocals", 1), ("accompaniment", -1))
    ]
    wanted = {"SDR, dB: median / mean": "x", "vocals": "2.00 / 4.00", "accompaniment": "-2.00 / -4.00"}
    assert by_system(scores) == [wanted]


def test_the_command(tmp_path, capsys):
    song(tmp_path, "one")
    song(tmp_path, "two", "flac")
    main([str(tmp_path), "--systems=oracle", "--exclude=two"])
    told = capsys.readouterr().out
    assert told.startswith(f"1 of the 2 songs in {tmp_path}")
    assert "| the mixture itself | " in told
    assert "| oracle mask 120/30 ms | " in told


def test_faults_are_told_in_words(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(DataError, match="no audio files"):
        main([str(tmp_path)])
    song(tmp_path, "one", stems=())
    with pytest.raises(DataError, match=r"a song needs vocals.wav, and accompaniment.wav"):
        main([str(tmp_path)])
    write(tmp_path / "one", "wav16", noise(0.5, RATE_HZ), RATE_HZ, stem="accompaniment")
    with pytest.raises(DataError, match=r"one: voice .44100, 2. and accompaniment .22050, 1. differ in shape"):
        main([str(tmp_path), "--systems=oracle"])
