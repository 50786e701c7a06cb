"""The scan as a whole: real processes over small catalogues."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.launch import launch
from tests import signals
from tests.pipelines.scans import ROOT, catalogue, command, last_run, rows, scan
from transforms import parts

FACTS = "SELECT * EXCLUDE (run_id, time) FROM {table} ORDER BY ALL"


def facts(output, table, without="run_id, time"):
    return rows(output, f"SELECT * EXCLUDE ({without}) FROM {table} ORDER BY ALL")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A catalogue of eight tracks and its first scan, not to be changed."""
    folder = tmp_path_factory.mktemp("scanned")
    scan(catalogue(folder / "music", 8), folder / "out")
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
    scan(scanned / "music", tmp_path / "one", "--direct_num_workers=1")
    assert facts(tmp_path / "one", "quality") == facts(scanned / "out", "quality")
    assert facts(tmp_path / "one", "tracks") == facts(scanned / "out", "tracks")


def test_a_runner_named_by_hand(scanned, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipelines.scan",
            f"--input={scanned / 'music'}",
            f"--output={tmp_path / 'out'}",
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


def test_two_runs_do_not_share_an_output(tmp_path):
    music = catalogue(tmp_path / "music", 30, 4.0)
    first = subprocess.Popen(command(music, tmp_path / "out"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "out" / "state" / "lock").exists():
        time.sleep(0.05)
    time.sleep(0.2)
    assert "another run is writing" in scan(music, tmp_path / "out", status=1).stderr
    first.communicate()
    assert first.returncode == 0


def test_ctrl_c_finishes_what_is_in_hand(tmp_path):
    music = catalogue(tmp_path / "music", 400, 3.0)
    process = subprocess.Popen(command(music, tmp_path / "out"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_for_parts(tmp_path / "out", 1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    run = last_run(tmp_path / "out")
    assert run["status"] == "interrupted"
    assert run["withheld"] > 0
    assert run["written"] == len(rows(tmp_path / "out", "FROM work"))
    scan(music, tmp_path / "out")
    assert_complete(tmp_path / "out", 400)


def wait_for_parts(output: Path, count: int) -> None:
    folder = output / "tables" / "work"
    while not folder.exists() or len(list(folder.glob("*.parquet"))) < count:
        time.sleep(0.02)


def assert_complete(output: Path, count: int) -> None:
    """All tracks, once, in all tables; and no part that nobody commits."""
    for table in ("tracks", "quality", "work"):
        (found,) = rows(output, f"SELECT count(*) AS n, count(DISTINCT track_id) AS d FROM {table}")
        assert found == {"n": count, "d": count}, table
    assert rows(output, "SELECT 1 FROM work WHERE status <> 'ok'") == []
    assert parts.sweep(str(output)) == []


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment_and_run_again(tmp_path, seed):
    music = catalogue(tmp_path / "music", 240)
    output = tmp_path / "out"
    process = subprocess.Popen(command(music, output), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    time.sleep(random.Random(seed).uniform(3.0, 9.0))
    kill_all(process)
    note = output / "state" / "temporary"
    left = [note.read_text()] if note.exists() else []
    flushed = {r["track_id"] for r in rows(output, "FROM work")} if (output / "tables").exists() else set()
    scan(music, output)
    assert_complete(output, 240)
    run = last_run(output)
    assert run["up_to_date"] == len(flushed)  # what was on disk is not done again
    assert run["written"] == 240 - len(flushed)
    assert not [folder for folder in left if Path(folder).exists()]
    assert not (output / "state" / "run").exists()


def kill_all(process: subprocess.Popen) -> None:
    """kill -9 of the launcher and of everything below it."""
    children = [process.pid]
    for pid in children:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        children += [int(line) for line in listed.stdout.split()]
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def test_the_workers_do_not_outlive_their_launcher(tmp_path):
    music = catalogue(tmp_path / "music", 300)
    process = subprocess.Popen(command(music, tmp_path / "out"), cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for_parts(tmp_path / "out", 1)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_track_that_kills_its_worker_twice_is_a_dead_letter(tmp_path, monkeypatch, capsys):
    music = catalogue(tmp_path / "music", 12)
    (music / "track005.wav").rename(music / "killer.wav")
    monkeypatch.chdir(ROOT)
    double = (sys.executable, "-m", "tests.doubles.pipeline")
    status = launch([f"--input={music}", f"--output={tmp_path / 'out'}", "--max_failed_fraction=0.5"], double)
    assert status == 0
    run = last_run(tmp_path / "out")
    assert (run["written"], run["dead_lettered"]) == (11, 1)
    (letter,) = rows(tmp_path / "out", "FROM dead_letters")
    assert (letter["track_id"], letter["reason"]) == ("killer.wav", "killed_worker")
    assert sum("died" in message for message in run["messages"]) == 2
    assert "killed_worker" in capsys.readouterr().out


def test_a_full_disk_ends_cleanly(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs to mount a small file system")
    music = catalogue(tmp_path / "music", 400)
    (tmp_path / "small").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", tmp_path / "small"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount here")
    try:
        output = tmp_path / "small" / "out"
        done = scan(music, output, status=1)
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=50m", tmp_path / "small"], check=True)
        kept = len(rows(output, "FROM work"))
        assert {row["status"] for row in rows(output, "FROM runs")} <= {"failed"}
        scan(music, output)
        assert last_run(output)["up_to_date"] == kept
        assert_complete(output, 400)
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True)


def test_plain_progress_and_log(scanned, tmp_path):
    done = scan(scanned / "music", tmp_path / "out")
    assert re.search(r"^8 listed: 0 not audio, 0 up to date, 0 withheld, 8 due$", done.stdout, re.M)
    assert "\x1b" not in done.stdout  # no escape sequences where there is no terminal
    run = last_run(tmp_path / "out")
    assert json.loads(run["options"])[0] == f"--input={scanned / 'music'}"
