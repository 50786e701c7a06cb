"""`songscan synthesise`: its edges, and that workers make no difference."""

import os
import shutil
import time

import pytest

from models.synthesis import tools
from pipelines import cli, synthesise
from pipelines.outcome import exit_status
from tests.models.synthesis.midi import write_midi

MISSING = [name for name in tools.DEBIAN if shutil.which(name) is None]
MISSING += [] if any(path.exists() for path in tools.SOUND_FONTS) else ["fluid-soundfont-gm"]
with_programs = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture
def midi(tmp_path):
    folder = tmp_path / "midi"
    folder.mkdir()
    write_midi(folder / "one.mid")
    write_midi(folder / "two.mid", first_melody_tick=960)
    return folder


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--songs=0"], "--songs=0"),
        (["--seconds=0.5"], "it must be 4 to 600"),
        (["--seconds=nan"], "--seconds=nan"),
        (["--seed=-1"], "--seed=-1"),
        (["--workers=0"], "--workers=0"),
    ],
)
def test_misuse_is_told(flags, words, midi, tmp_path, capsys):
    assert exit_status(cli.main, ["synthesise", str(midi), str(tmp_path / "out"), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_folder_of_midi(tmp_path, capsys):
    assert exit_status(cli.main, ["synthesise", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "MIDI_FOLDER is no folder" in capsys.readouterr().err


def test_a_missing_program_is_told_with_its_remedy(midi, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert exit_status(cli.main, ["synthesise", str(midi), str(tmp_path / "out")]) == 1
    assert "apt-get install fluidsynth" in capsys.readouterr().err


def test_what_was_abandoned_goes_and_what_is_at_work_stays(tmp_path):
    for name, age_s in ((".making-old", 2 * synthesise.ABANDONED_S), (".making-new", 0.0)):
        (tmp_path / name / "0000_song").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    synthesise._opened(tmp_path, 1, 30.0)
    assert os.listdir(tmp_path) == [".making-new"]


@with_programs
def test_workers_make_no_difference_and_songs_stay(midi, tmp_path, capsys):
    asked = ["--songs=1", "--seconds=4", "--seed=7"]
    assert cli.main(["synthesise", str(midi), str(tmp_path / "one"), *asked]) == 0
    assert cli.main(["synthesise", str(midi), str(tmp_path / "two"), *asked, "--workers=2"]) == 0
    one = contents(tmp_path / "one")
    assert len(one) == 4
    assert one == contents(tmp_path / "two")
    capsys.readouterr()
    assert cli.main(["synthesise", str(midi), str(tmp_path / "one"), *asked]) == 0
    assert "0 of them new" in capsys.readouterr().out
    assert one == contents(tmp_path / "one")
