"""Scans that are interrupted, killed, starved of space, or started twice: real processes, and a rerun that mends it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.launch import launch
from tests.pipelines.scans import ROOT, catalogue, command, last_run, rows, scan
from transforms import parts


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
    wait_for_parts(process, tmp_path / "out", 1)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    run = last_run(tmp_path / "out")
    assert run["status"] == "interrupted"
    assert run["withheld"] > 0
    assert run["written"] == len(rows(tmp_path / "out", "FROM work"))
    scan(music, tmp_path / "out")
    assert_complete(tmp_path / "out", 400)


def test_a_worker_that_is_killed_when_its_work_is_done_costs_nothing(tmp_path):
    music = catalogue(tmp_path / "music", 6)
    double = (sys.executable, "-m", "tests.doubles.done_and_killed")
    flags = [f"--input={music}", f"--output={tmp_path / 'out'}", "--tasks=quality", "--direct_num_workers=2"]
    assert launch(flags, double) == 0
    run = last_run(tmp_path / "out")
    assert (run["status"], run["written"]) == ("done", 6)
    assert any("with no track in flight" in message for message in run["messages"])


def test_when_the_budget_runs_out_the_rest_is_left_for_the_next_night(tmp_path):
    music = catalogue(tmp_path / "music", 100, 3.0)
    scan(music, tmp_path / "out", "--budget_hours=0.001")
    run = last_run(tmp_path / "out")
    assert run["status"] == "done"
    assert run["withheld"] > 0
    assert f"--budget_hours=0.001 ran out: tracks that are due next time: {run['withheld']}" in run["messages"]
    scan(music, tmp_path / "out", "--budget_hours=1")
    assert not any("budget" in message for message in last_run(tmp_path / "out")["messages"])
    assert_complete(tmp_path / "out", 100)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A catalogue of 240 tracks; not to be changed."""
    return catalogue(tmp_path_factory.mktemp("catalogue") / "music", 240)


def wait_for_parts(process: subprocess.Popen, output: Path, count: int) -> None:
    folder = output / "tables" / "work"
    while not folder.exists() or len(list(folder.glob("*.parquet"))) < count:
        assert process.poll() is None, "it ended before it wrote so much"
        time.sleep(0.02)


def assert_complete(output: Path, count: int) -> None:
    """All tracks, once, in all tables; and no part that nobody commits."""
    for table in ("tracks", "quality", "work"):
        (found,) = rows(output, f"SELECT count(*) AS n, count(DISTINCT track_id) AS d FROM {table}")
        assert found == {"n": count, "d": count}, table
    assert rows(output, "SELECT 1 FROM work WHERE status <> 'ok'") == []
    assert parts.sweep(str(output)) == []


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment_and_run_again(tmp_path, music, seed):
    output = tmp_path / "out"
    started = command(music, output, "--direct_num_workers=2")
    process = subprocess.Popen(started, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
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
    wait_for_parts(process, tmp_path / "out", 1)
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
    flags = ["--tasks=quality", "--max_failed_fraction=0.5", "--direct_num_workers=2"]
    status = launch([f"--input={music}", f"--output={tmp_path / 'out'}", *flags], double)
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
