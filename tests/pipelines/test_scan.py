"""The scan as a whole: real processes over small catalogues."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests import signals
from tests.pipelines.scans import ROOT, catalogue, last_run, rows, scan

FACTS = "SELECT * EXCLUDE (run_id, time) FROM {table} ORDER BY ALL"


def facts(output, table, without="run_id, time"):
    return rows(output, f"SELECT * EXCLUDE ({without}) FROM {table} ORDER BY ALL")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A catalogue of eight tracks and its first scan, by two workers, and what it said; not to be changed."""
    folder = tmp_path_factory.mktemp("scanned")
    done = scan(catalogue(folder / "music", 8), folder / "out", "--direct_num_workers=2")
    (folder / "said").write_text(done.stdout)
    return folder


def copy(scanned, tmp_path):
    for name in ("music", "out"):
        subprocess.run(["cp", "-a", scanned / name, tmp_path / name], check=True)
    return tmp_path / "music", tmp_path / "out"


def opened(output):
    """How many tracks the last run took in hand."""
    run = last_run(output)
    return run["written"] + run["dead_lettered"]


def test_first_scan_writes_all_tables(scanned):
    output = scanned / "out"
    run = last_run(output)
    assert (run["status"], run["listed"], run["written"]) == ("done", 8, 8)
    assert run["audio_hours"] == pytest.approx(8 * 1.5 / 3600)
    assert {row["status"] for row in rows(output, "FROM work")} == {"ok"}
    assert rows(output, "SELECT count(*) AS n, count(DISTINCT track_id) AS d FROM quality") == [{"n": 8, "d": 8}]
    assert {row["duration_s"] for row in rows(output, "FROM tracks")} == {1.5}


def test_second_scan_adds_only_its_line(scanned, tmp_path):
    music, output = copy(scanned, tmp_path)
    before = {table: facts(output, f"{table}_history", "time") for table in ("tracks", "quality", "work")}
    for path in music.iterdir():
        path.chmod(0)  # nobody but root could open them now ...
        os.utime(path, ns=(path.stat().st_atime_ns - 10**15, path.stat().st_mtime_ns))
    accessed = {path: path.stat().st_atime_ns for path in music.iterdir()}
    scan(music, output)
    assert {path: path.stat().st_atime_ns for path in music.iterdir()} == accessed  # ... and root did not
    assert last_run(output)["up_to_date"] == 8
    assert {table: facts(output, f"{table}_history", "time") for table in before} == before
    assert len(rows(output, "FROM runs")) == 2


def test_only_what_changed_is_due(tmp_path):
    music, output = catalogue(tmp_path / "music", 8), tmp_path / "out"
    scan(music, output)
    signals.write(music, "wav16", signals.music(2.0, 16_000, 1, seed=99), 16_000, stem="track003")
    os.utime(music / "track004.wav", ns=(1, 1))  # touched, not changed
    signals.write(music, "flac", signals.music(1.0, 16_000, 2, seed=98), 16_000, stem="new")
    (music / "track005.wav").unlink()
    (music / "track006.wav").rename(music / "moved.wav")
    done = scan(music, output)
    run = last_run(output)
    assert (run["listed"], run["written"], run["up_to_date"]) == (8, 3, 5)
    assert {r["track_id"] for r in rows(output, f"FROM work WHERE run_id = '{run['run_id']}'")} == {
        "track003.wav",
        "new.flac",
        "moved.wav",
    }
    states = {r["track_id"]: (r["state"], r["moved_to"]) for r in rows(output, "FROM tracks WHERE state <> 'present'")}
    assert states == {"track005.wav": ("removed", None), "track006.wav": ("moved", "moved.wav")}
    assert "moved: track006.wav is now moved.wav" in done.stdout
    (touched,) = rows(output, "FROM tracks WHERE track_id = 'track004.wav'")
    assert (touched["duration_s"], touched["modified"].year) == (1.5, 1970)
    scan(music, output)
    assert last_run(output)["up_to_date"] == 8


def test_force_and_limits(scanned, tmp_path):
    music, output = copy(scanned, tmp_path)
    scan(music, output, "--force", "--max_tracks=2")
    run = last_run(output)
    assert (run["written"], run["withheld"]) == (2, 6)
    scan(music, output, "--force", "--track_ids=track001.wav,track002.wav,track007.wav")
    assert last_run(output)["written"] == 3
    assert rows(output, "SELECT count(*) AS n FROM quality") == [{"n": 8}]


def test_plan_says_the_hours_and_does_nothing(scanned, tmp_path):
    music, _ = copy(scanned, tmp_path)
    done = scan(music, tmp_path / "nothing", "--plan")
    assert "8 due" in done.stdout
    assert f"{8 * 1.5 / 3600:.2f} hours" in done.stdout
    assert not (tmp_path / "nothing").exists()


def test_results_do_not_depend_on_the_number_of_workers(scanned, tmp_path):
    scan(scanned / "music", tmp_path / "one")
    assert facts(tmp_path / "one", "quality") == facts(scanned / "out", "quality")
    untimed = "run_id, time, decode_wall_s"
    assert facts(tmp_path / "one", "tracks", untimed) == facts(scanned / "out", "tracks", untimed)


def test_a_runner_named_by_hand(scanned, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipelines.scan",
            f"--input={scanned / 'music'}",
            f"--output={tmp_path / 'out'}",
            "--tasks=quality",
            "--runner=BundleBasedDirectRunner",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "out", "quality") == facts(scanned / "out", "quality")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max_trakcs=3"], "did you mean --max_tracks"),
        (["--tasks=quality,nonsense"], "no such task: nonsense"),
        (["--since=yesterday"], "is no date"),
        (["--max_failed_fraction=7"], "a share from 0 to 1"),
        (["--track_ids=@/no/such/file"], "No such file"),
        (["--track_ids=unheard-of"], "unheard-of"),
    ],
)
def test_misuse(scanned, tmp_path, flags, words):
    done = scan(scanned / "music", tmp_path / "out", *flags, status=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_misuse_of_places(scanned, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    assert "not empty" in scan(scanned / "music", tmp_path / "mine", status=2).stderr
    assert "within the catalogue" in scan(scanned / "music", scanned / "music" / "out", status=2).stderr
    assert "does not exist" in scan(tmp_path / "nowhere", tmp_path / "out", status=2).stderr


def test_failed_fraction_decides_the_status(tmp_path):
    music = catalogue(tmp_path / "music", 3)
    (music / "broken.mp3").write_bytes(b"no music in here, none at all" * 50)
    done = scan(music, tmp_path / "out", status=1)
    assert "more than --max_failed_fraction" in done.stdout
    assert last_run(tmp_path / "out")["dead_lettered"] == 1
    scan(music, tmp_path / "out")  # nothing is due, so nothing fails


def test_another_catalogue_in_the_same_output_is_told(scanned, tmp_path):
    _, output = copy(scanned, tmp_path)
    other = catalogue(tmp_path / "other", 1)
    assert f"the run before scanned {scanned / 'music'}" in scan(other, output).stdout
    assert "the run before" not in scan(other, output).stdout


def test_plain_progress_and_log(scanned):
    said = (scanned / "said").read_text()
    assert re.search(r"^8 listed: 0 not audio, 0 up to date, 0 withheld, 8 due$", said, re.M)
    assert "\x1b" not in said  # no escape sequences where there is no terminal
    run = last_run(scanned / "out")
    assert json.loads(run["options"])[0] == f"--input={scanned / 'music'}"
