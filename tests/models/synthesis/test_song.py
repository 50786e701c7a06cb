"""Songs: how they are mixed, what is written, and that the same order gives the same song."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.synthesis import song, tools, vocals
from models.synthesis.score import Note, excerpt, read_score
from models.synthesis.song import Order
from tests.models.synthesis.midi import write_midi

MISSING = [name for name in tools.DEBIAN if shutil.which(name) is None]
MISSING += [] if any(path.exists() for path in tools.SOUND_FONTS) else ["fluid-soundfont-gm"]
with_programs = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
SECONDS = 4.0


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    midi = write_midi(tmp_path_factory.mktemp("midi") / "song.mid")
    return Order(files=(midi,), number=3, seed=11, seconds=SECONDS)


def noise(seed, gain):
    return np.random.default_rng(seed).normal(0, gain, (44100, 2))


@pytest.mark.parametrize("ratio_db", [-6.0, 0.0, 5.0])
def test_a_mix_has_its_ratio_and_its_peak(ratio_db):
    voice, band = song.mix(noise(1, 0.3), noise(2, 7.0), ratio_db, -3.0)
    assert 20 * np.log10(np.std(voice) / np.std(band)) == pytest.approx(ratio_db, abs=0.2)
    loudest = max(np.abs(part).max() for part in (voice, band, voice + band))
    assert 20 * np.log10(loudest) == pytest.approx(-3.0, abs=1e-6)


def test_a_mix_of_silence_is_silence():
    voice, band = song.mix(np.zeros((441, 2)), np.zeros((441, 2)), 0.0, -1.0)
    assert not voice.any()
    assert not band.any()


def test_no_midi_file_comes_twice_before_all_came_once():
    files = tuple(Path(f"{name}.mid") for name in "abcdefg")
    orders = [Order(files=files, number=number, seed=4, seconds=9.0) for number in range(14)]
    assert {one.midi for one in orders[:7]} == set(files) == {one.midi for one in orders[7:]}
    assert len({one.name for one in orders}) == 14


def test_a_break_has_no_singing(tmp_path):
    score = excerpt(read_score(write_midi(tmp_path / "song.mid")), 0.0, 12.0)
    rested = [song.rested(score, np.random.default_rng(seed)).melody for seed in range(60)]
    shorter = [melody for melody in rested if len(melody) < len(score.melody)]
    assert 3 < len(shorter) < 25
    assert any(melody[0].start_s > 1.5 for melody in shorter)
    assert any(melody[-1].end_s < 10.3 for melody in shorter)


def test_a_harmony_stays_within_the_scale():
    scale = vocals.scale_of([Note(0, 1, pitch) for pitch in (60, 62, 64, 65, 67, 69, 71)])
    assert [vocals.third_above(pitch, scale) for pitch in (60, 62, 64, 65, 67, 69, 71)] == [64, 65, 67, 69, 71, 72, 74]


def test_what_is_missing_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(tools.SynthesisError, match=r"fluidsynth is not installed.*apt-get install fluidsynth fluid"):
        tools.check_tools()
    monkeypatch.undo()
    monkeypatch.setattr(tools, "SOUND_FONTS", (Path("/nowhere.sf2"),))
    with pytest.raises(
        tools.SynthesisError, match=r"no sound font at /nowhere\.sf2.*apt-get install fluid-soundfont-gm"
    ):
        tools.sound_font()
    with pytest.raises(tools.SynthesisError, match=r"no_such_package is not installed.*songscan\[training\]"):
        tools.package("no_such_package")


def test_a_failing_program_is_told():
    with pytest.raises(tools.SynthesisError, match="failed with 3, saying 'ouch'"):
        tools.run(["sh", "-c", "echo ouch >&2; exit 3"])


def test_a_song_that_another_run_finished_first_stays(tmp_path):
    made, there = tmp_path / "made", tmp_path / "there"
    for folder in (made, there):
        folder.mkdir()
        (folder / song.LAST_WRITTEN).write_text(folder.name)
    assert song._placed(made, there) is False
    assert (there / song.LAST_WRITTEN).read_text() == "there"
    assert song._placed(made, tmp_path / "new") is True


def test_songs_of_another_seed_are_not_mixed_in(tmp_path):
    (tmp_path / "0000_song").mkdir()
    told = {"version": song.VERSION, "seed": 1, "seconds": 30.0}
    (tmp_path / "0000_song" / "song.json").write_text(json.dumps(told))
    song.check_kind(tmp_path, 1, 30.0)
    with pytest.raises(tools.SynthesisError, match=r"0000_song was made with .*'seed': 1.*Give another folder"):
        song.check_kind(tmp_path, 2, 30.0)


@with_programs
def test_a_song_is_whole_and_the_same_again(order, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        out.mkdir()
        assert song.write_song(order, out)
    assert os.listdir(first) == ["0003_song"]
    assert not song.write_song(order, first)
    for path in (first / "0003_song").iterdir():
        assert path.read_bytes() == (second / "0003_song" / path.name).read_bytes(), path.name
    voice, band = (soundfile.read(first / "0003_song" / f"{part}.wav")[0] for part in ("vocals", "accompaniment"))
    assert voice.shape == band.shape == (SECONDS * 44100, 2)
    assert np.abs(voice + band).max() < 10 ** (song.PEAK_DBFS[1] / 20) + 1e-3
    assert np.std(band[:, 0] - band[:, 1]) > 0.01 * np.std(band)
    assert soundfile.info(first / "0003_song" / "vocals.wav").subtype == "PCM_16"
    told = json.loads((first / "0003_song" / "words.json").read_text())
    assert told
    assert all(0 <= word["start_s"] <= word["vowel_s"] < word["end_s"] <= SECONDS + 1 for word in told)


def test_a_song_half_written_is_made_again(order, tmp_path, monkeypatch):
    silence = np.zeros((441, 2))
    monkeypatch.setattr(
        song, "make_song", lambda order: song.Song(vocals=silence, accompaniment=silence, words=(), drawn={})
    )
    monkeypatch.setattr(song, "_write_json", lambda path, content: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        song.write_song(order, tmp_path)
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(song, "_write_json", lambda path, content: path.touch())
    assert song.write_song(order, tmp_path)
    assert os.listdir(tmp_path) == ["0003_song"]
