"""Scans for stems: real processes, files on disk, what is due again, and what the pages tell."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from models.audio import read
from pipelines.cli import main
from pipelines.report import show
from tests import signals
from tests.doubles import models as doubles
from tests.pipelines.scans import ROOT, last_run, rows, scan
from transforms.errors import MisuseError, RunError

ONE = "--direct_num_workers=1"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return doubles.separator(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, model):
    """Three tracks: a tone that is taken for a voice, one that is not, and one with an id that would leave."""
    folder = tmp_path_factory.mktemp("scanned")
    music = folder / "music"
    music.mkdir()
    for name, hz in (("sung", 1000), ("played", 5000), ("twice", 1000)):
        signals.write(music, "flac", signals.tone(hz, 2.0, 44_100), 44_100, stem=name)
    lines = [
        {"track_id": name, "uri": str(music / f"{file}.flac")}
        for name, file in (("sung", "sung"), ("played", "played"), ("../../gone", "twice"))
    ]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    scan(folder / "list.jsonl", folder / "out", "--tasks=stems", f"--models={model}", "--stems=accompaniment", ONE)
    return folder


def test_only_what_is_asked_for_is_written(scanned):
    files = [path.name for path in (scanned / "out" / "stems").rglob("*") if path.is_file()]
    assert files == ["accompaniment.flac"] * 3
    assert not (scanned / "gone").exists()
    found = rows(scanned / "out", "FROM stems ORDER BY track_id")
    assert [(row["track_id"], row["stem"]) for row in found] == [
        (track_id, "accompaniment") for track_id in ("../../gone", "played", "sung")
    ]
    for row in found:
        assert Path(row["uri"]).stat().st_size == row["size_bytes"]


def test_what_is_in_them(scanned):
    found = {row["track_id"]: row for row in rows(scanned / "out", "FROM stems")}
    assert found["sung"]["voice_share"] > 0.8
    assert found["played"]["voice_share"] == 0
    middle = slice(10_000, -10_000)
    assert np.abs(read(found["sung"]["uri"])[0][middle]).max() < 1e-3
    assert np.abs(read(found["played"]["uri"])[0][middle]).max() > 0.4


def test_the_other_stem_is_due_later(scanned, model):
    out, catalogue = scanned / "out", scanned / "list.jsonl"
    (out / "stems" / ".unfinished" / ".left.part").write_text("by a run that was killed")
    scan(catalogue, out, "--tasks=stems", f"--models={model}", "--stems=vocals,accompaniment", ONE)
    assert last_run(out)["written"] == 3
    assert len(rows(out, "FROM stems")) == 6
    assert len([path for path in (out / "stems").rglob("*") if path.is_file()]) == 6
    scan(catalogue, out, "--tasks=stems", f"--models={model}", "--stems=accompaniment,vocals", ONE)
    assert last_run(out)["up_to_date"] == 3


def test_one_by_one_they_stand_side_by_side_and_pruning_leaves_them(scanned, model, tmp_path, capsys):
    out, named = tmp_path / "out", ("--tasks=stems", f"--models={model}", ONE)
    for stem in ("accompaniment", "vocals"):
        scan(scanned / "music", os.path.relpath(out, ROOT), *named, f"--stems={stem}")
    assert main(["prune", str(out), "--yes"]) == 0
    assert len(rows(out, "FROM stems")) == 6
    assert all(Path(row["uri"]).is_relative_to(out) for row in rows(out, "FROM stems"))
    assert (
        "3 up to date, 0 withheld, 0 due"
        in scan(scanned / "music", out, *named, "--stems=accompaniment", "--plan").stdout
    )
    scan(scanned / "music", out, *named, "--stems=accompaniment", "--force")
    assert len(rows(out, "FROM stems")) == 6
    assert len(rows(out, "FROM parts.stems")) == 9
    assert main(["prune", str(out), "--yes"]) == 0
    assert len(rows(out, "FROM parts.stems")) == len(rows(out, "FROM stems")) == 6


def told(out, track=None):
    console = Console(file=io.StringIO(), width=100)
    show(str(out), track, console)
    return console.file.getvalue()


def test_the_pages(scanned):
    assert "Stems by band 1: 3 tracks" in told(scanned / "out")
    assert "no singing in 1" in told(scanned / "out")
    page = told(scanned / "out", "played")
    assert "no singing was found" in page
    assert "accompaniment: flac 44,100 Hz, 16 bit" in page
    assert "somebody sings during" in told(scanned / "out", "sung")


# One file -------------------------------------------------------------------------------------------------------


def test_one_file(tmp_path, model, capsys):
    signals.write(tmp_path, "flac", signals.tone(1000, 2.0, 44_100), 44_100, stem="a")
    assert main(["separate", str(tmp_path / "a.flac"), str(tmp_path / "out"), "--model", str(model)]) == 0
    vocals, accompaniment = (read(tmp_path / "out" / f"{name}.flac")[0] for name in ("vocals", "accompaniment"))
    np.testing.assert_array_equal(vocals + accompaniment, read(tmp_path / "a.flac")[0])
    said = capsys.readouterr().out
    assert "somebody sings during" in said
    assert "times real time" in said


def test_of_a_file_that_is_cut_short_it_is_told(tmp_path, model, capsys):
    path = signals.write(tmp_path, "flac", signals.music(4.0, 44_100, 2, seed=1), 44_100, stem="a")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["separate", str(path), str(tmp_path / "out"), "--model", str(model)]) == 0
    assert "the file is damaged or cut short: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["none.flac", "out"], MisuseError, "'none.flac' is not there"),
        ([".", "out"], MisuseError, "is a folder"),
        (["text.flac", "out"], RunError, r"text\.flac: "),
        (["a.flac", "text.flac"], MisuseError, "OUTDIR is a file"),
        (["vocals.flac", "."], MisuseError, "would replace 'vocals.flac' itself"),
        (["a.flac", "folder"], MisuseError, r"the stem accompaniment\.flac would replace"),
        (["a.flac", "out", "--stems=drums"], MisuseError, "no such stem: drums"),
        (["a.flac", "out", "--stem_format=wma"], MisuseError, "'wma' is none"),
        (["a.flac", "out", "--model=/nowhere"], MisuseError, "/nowhere"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, model, arguments, error, words):
    monkeypatch.chdir(tmp_path)
    signals.write(tmp_path, "flac", signals.tone(1000, 1.0, 16_000), 16_000, stem="a")
    (tmp_path / "text.flac").write_text("no audio")
    shutil.copy(tmp_path / "a.flac", tmp_path / "vocals.flac")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "accompaniment.flac").symlink_to(tmp_path / "a.flac")
    named = [] if any("--model" in argument for argument in arguments) else ["--model", str(model)]
    with pytest.raises(error, match=words):
        main(["separate", *arguments, *named])
    assert (tmp_path / "vocals.flac").read_bytes() == (tmp_path / "a.flac").read_bytes()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
