"""`songscan gate` as an upload hook calls it: real files, real statuses."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from pipelines.report import show
from tests import signals
from tests.pipelines.scans import ROOT, rows, scan

RATE = 44_100


def gate(*arguments, stdin=b""):
    command = [sys.executable, "-m", "pipelines.cli", "gate", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def files(tmp_path):
    clean = signals.music(4.0, RATE)
    clean[-4410:] *= np.linspace(1, 0, 4410, dtype=np.float32)[:, None]  # an end in full sound is a defect
    holed = clean.copy()
    holed[2 * RATE : 2 * RATE + 4410] = 0
    text = tmp_path / "notes.mp3"
    text.write_text("no audio at all")
    return (
        signals.write(tmp_path, "flac", clean, RATE, stem="clean"),
        signals.write(tmp_path, "wav16", holed, RATE, stem="holed"),
        text,
    )


def test_statuses_and_reasons_with_times(files):
    clean, holed, text = files
    status, told, _ = gate("--json", clean, holed)
    accepted, rejected = map(json.loads, told.splitlines())
    assert (status, accepted["verdict"], accepted["reasons"]) == (1, "accepted", [])
    assert (rejected["file"], rejected["verdict"]) == (str(holed), "rejected")
    (reason,) = [reason for reason in rejected["reasons"] if reason["what"] == "dropout"]
    assert reason["count"] == 1
    assert reason["stretches"][0]["start_s"] == pytest.approx(2.0, abs=0.001)
    assert reason["stretches"][0]["end_s"] == pytest.approx(2.1, abs=0.001)
    status, told, errors = gate(clean, holed, text, text.with_name("gone.wav"))
    assert (status, errors) == (3, "")
    assert [line.split()[0] for line in told.splitlines() if line[0] != " "] == [
        "accepted",
        "rejected",
        "unreadable",
        "unreadable",
    ]


def test_standard_input_is_judged_and_a_policy_of_ones_own(files, tmp_path):
    clean, holed, _ = files
    lenient, strict = tmp_path / "lenient.toml", tmp_path / "strict.toml"
    lenient.write_text("[defects.dropout]\ncount = 2\n")  # for measures alone: no network is loaded
    strict.write_text("[defects.dropout]\ncount = 1\n")
    assert gate("--policy", lenient, "-", stdin=holed.read_bytes())[0] == 0
    assert gate("--policy", strict, "-", stdin=holed.read_bytes())[0] == 1
    assert gate("--policy", strict, "/dev/stdin", stdin=holed.read_bytes())[0] == 1  # as any other pipe
    assert gate("--policy", strict, clean)[0] == 0
    halved = signals.music(4.0, RATE)
    halved[2 * RATE :, 1] = 0  # which the measure of gaps tells, though another one settles the class
    strict.write_text("[defects.channel_fault]\ncount = 1\n")
    assert gate("--policy", strict, signals.write(tmp_path, "wav16", halved, RATE, stem="halved"))[0] == 1
    status, _, told = gate("--model", "pretrained:separator/2", clean)
    assert status == 2
    assert "'stems'" in told
    lenient.write_text("[defects.dropout]\ncount = 'two'\n")
    status, _, told = gate("--policy", lenient, holed)
    assert status == 2
    assert "line 2: count = 'two' is not a whole number" in told
    assert gate()[0] == 2


def test_a_scan_lists_each_stretch_and_a_verdict_for_each_track(files, tmp_path):
    catalogue = tmp_path / "music"
    catalogue.mkdir()
    for path in files[:2]:
        path.rename(catalogue / path.name)
    scan(catalogue, tmp_path / "out", "--tasks=defects")
    (defect,) = rows(tmp_path / "out", "FROM defects WHERE class = 'dropout'")
    assert (defect["track_id"], defect["class"], defect["channel"]) == ("holed.wav", "dropout", None)
    assert defect["start_s"] == pytest.approx(2.0, abs=0.001)
    verdicts = rows(tmp_path / "out", "FROM verdicts ORDER BY track_id")
    assert [(v["track_id"], v["accepted"]) for v in verdicts] == [("clean.flac", True), ("holed.wav", False)]
    assert "dropout" in [reason["what"] for reason in verdicts[1]["reasons"]]
    assert verdicts[1]["defective_s"] >= 0.099
    page = Console(width=100, file=io.StringIO())
    show(str(tmp_path / "out"), console=page)
    show(str(tmp_path / "out"), "holed", page)
    told = page.file.getvalue()
    assert "2 tracks judged, 1 refused by the default policy" in told
    assert "refused by the default policy, 1 in all" in told
    assert re.search(r"dropout +2\.000 +2\.100 +all", told)


def test_a_reader_that_goes_away_changes_no_verdict_and_a_failure_is_no_verdict(files, tmp_path):
    clean, holed, _ = files
    policy = tmp_path / "policy.toml"
    policy.write_text("[defects.dropout]\ncount = 1\n")
    command = [sys.executable, "-m", "pipelines.cli", "gate", "--policy", str(policy)]
    with subprocess.Popen([*command, str(clean), str(holed)], cwd=ROOT, stdout=subprocess.PIPE) as hook:
        hook.stdout.close()
        assert hook.wait() == 1
    closed = subprocess.run([*command, "-"], cwd=ROOT, capture_output=True, check=False, preexec_fn=lambda: os.close(0))
    assert (closed.returncode, b"standard input is closed" in closed.stderr) == (2, True)
    with open("/dev/full", "w") as disk:
        full = subprocess.run([*command, str(clean)], cwd=ROOT, stdout=disk, stderr=subprocess.PIPE, check=False)
    assert full.returncode == 4
    policy.write_text("[" * 100_000)
    assert gate("--policy", policy, clean)[0] == 2


def test_a_file_cut_short_is_told_with_what_its_header_claims(tmp_path):
    whole = signals.write(tmp_path, "wav16", signals.music(4.0, RATE), RATE, stem="whole")
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    policy = tmp_path / "policy.toml"
    policy.write_text("[defects.codec_damage]\ncount = 1\n")
    assert gate("--policy", policy, whole)[0] == 0
    status, told, _ = gate("--policy", policy, cut)
    assert status == 1
    assert "50 % of the length that its header claims" in told
