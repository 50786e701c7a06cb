"""Scans for tags: real processes, models whose arithmetic is plain."""

import shutil
import sys

import pytest

from pipelines.launch import launch
from tests import signals
from tests.doubles import models as doubles
from tests.pipelines.scans import ROOT, catalogue, last_run, rows, scan

ONE = "--direct_num_workers=1"  # TensorFlow starts once only
TAGS = "SELECT * EXCLUDE (run_id, time) FROM tags ORDER BY ALL"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return doubles.fake(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, model):
    """A catalogue of eight tracks, scanned for quality and tags by two workers; not to be changed."""
    folder, two = tmp_path_factory.mktemp("scanned"), "--direct_num_workers=2"
    scan(catalogue(folder / "music", 8), folder / "out", "--tasks=quality,tags", f"--models={model}", two)
    return folder


def test_every_track_has_its_tags(scanned):
    found = rows(scanned / "out", "SELECT label, count(DISTINCT track_id) AS n FROM tags GROUP BY ALL ORDER BY ALL")
    assert found == [{"label": "loud", "n": 8}, {"label": "positive", "n": 8}]
    assert len(rows(scanned / "out", "FROM work WHERE status = 'ok'")) == 16
    assert last_run(scanned / "out")["tasks"] == [rows(scanned / "out", "FROM runs")[0]["tasks"][0], "tags:fake:1"]


def test_one_worker_finds_the_same_and_quality_that_is_there_stays(scanned, tmp_path, model):
    output, music = tmp_path / "out", scanned / "music"
    scan(music, output, "--tasks=quality")
    scan(music, output, "--tasks=quality,tags", f"--models={model}", ONE)
    assert rows(output, TAGS) == rows(scanned / "out", TAGS)
    assert len(rows(output, "FROM quality_history")) == 8


def test_a_new_version_is_due_again_and_nothing_else(scanned, tmp_path, model):
    output, music = shutil.copytree(scanned / "out", tmp_path / "out"), scanned / "music"
    scan(music, output, "--tasks=quality,tags", f"--models={model}")
    assert last_run(output)["up_to_date"] == 8
    research = doubles.LICENCES.model_copy(update={"research_only": True})
    newer = doubles.fake(tmp_path / "newer", version="2", licences=research)
    told = scan(music, output, "--tasks=quality,tags", f"--models={newer}", ONE).stdout
    assert last_run(output)["written"] == 8
    assert told.count("may be used for research only") == 1
    assert {row["model_version"] for row in rows(output, "FROM tags")} == {"2"}
    assert len(rows(output, "FROM tags_history")) == 32
    assert len(rows(output, "FROM quality_history")) == 8


def test_a_model_that_crashes_costs_the_track_that_it_crashes_at(tmp_path, monkeypatch, model):
    music = catalogue(tmp_path / "music", 20)
    signals.write(music, "wav16", signals.tone(440, 1.5, 16_000, 0.95), 16_000, stem="track013")
    monkeypatch.chdir(ROOT)
    double = (sys.executable, "-m", "tests.doubles.crashing_model")
    flags = [f"--input={music}", f"--output={tmp_path / 'out'}", "--tasks=quality,tags", f"--models={model}"]
    assert launch([*flags, "--max_failed_fraction=0.5", ONE], double) == 0
    run = last_run(tmp_path / "out")
    assert (run["written"], run["dead_lettered"]) == (19, 1)
    (letter,) = rows(tmp_path / "out", "FROM dead_letters")
    assert (letter["track_id"], letter["reason"]) == ("track013.wav", "killed_worker")
    assert len(rows(tmp_path / "out", "SELECT DISTINCT track_id FROM tags")) == 19
    assert sum("died" in message for message in run["messages"]) == 2


def test_a_model_that_cannot_be_loaded_ends_the_run_in_words(scanned, tmp_path):
    broken = doubles.fake(tmp_path)
    (broken / "saved_model.pb").write_bytes(b"not a model")
    told = scan(scanned / "music", tmp_path / "out", "--tasks=tags", f"--models={broken}", ONE, status=1).stderr
    assert "cannot be loaded" in told
    assert "export it again" in told
    assert "Traceback" not in told


def test_a_card_that_is_wrong_ends_it_before_anything_starts(scanned, tmp_path):
    told = scan(scanned / "music", tmp_path / "out", "--tasks=tags", f"--models={tmp_path}", status=2).stderr
    assert "has no card" in told
    assert not (tmp_path / "out").exists()
