"""The end of a run: what is written, told and logged, and what its exit status says."""

import io
import json

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from pipelines.cli import main
from pipelines.nightly import close_run, drift_of, watched
from pipelines.options import parse_scan
from tests.pipelines.scans import catalogue, last_run, scan
from tests.transforms.outputs import opening, row, write
from transforms.errors import MisuseError, RunError
from transforms.records import Run

NAMES = ("listed", "not_audio", "up_to_date", "withheld", "written", "dead_lettered")


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def metrics(path):
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {s.name: s.value for family in families for s in family.samples if not s.labels}


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A scan of three tracks and a text file that logs JSON; what it said."""
    folder = tmp_path_factory.mktemp("night")
    music = catalogue(folder / "music", 3)
    (music / "broken\n.mp3").write_text("This is no MP3")
    flags = ["--log_format=json", "--max_failed_fraction=0.3", f"--prometheus_textfile={folder / 'songscan.prom'}"]
    return folder, scan(music, folder / "out", *flags)


def test_stdout_has_json_alone(night):
    folder, done = night
    told = lines(done.stdout)
    assert done.stderr == ""
    assert {line["run_id"] for line in told} == {last_run(folder / "out")["run_id"]}
    assert ("began" in told[0]["message"], told[-1]["exit_status"], told[-1]["severity"]) == (True, 0, "INFO")
    (letter,) = [line for line in told if "track_id" in line]
    assert (letter["track_id"], letter["stage"], letter["reason"]) == ("broken\n.mp3", "decode", "not_audio")
    assert (told[-1]["tracks_written"], told[-1]["tracks_dead_lettered"]) == (3, 1)


def test_the_log_of_the_workers_is_json_too(night):
    assert all("severity" in line for line in lines((night[0] / "out" / "state" / "run.log").read_text()))


def test_summary_and_metrics_are_left(night):
    folder, _ = night
    run = last_run(folder / "out")
    summary = json.loads((folder / "out" / "state" / "summaries" / f"{run['run_id']}.json").read_text())
    assert summary["tracks"]["written"] == 3
    assert summary["audio_s"] == pytest.approx(4.5)
    assert {cost["task"] for cost in summary["costs"]} == {"quality", "decode"}
    told = metrics(folder / "songscan.prom")
    assert (told["songscan_run_success"], told["songscan_audio_seconds"]) == (1, pytest.approx(4.5))


def test_the_command_tells_it_again(night, capsys):
    def run(*flags):
        assert main(["summary", str(night[0] / "out"), *flags]) == 0
        return capsys.readouterr().out

    (path,) = (night[0] / "out" / "state" / "summaries").iterdir()
    assert json.loads(run("--json")) == json.loads(path.read_text())
    page = run(path.stem)
    assert f"run {path.stem}: done" in page
    assert "1 dead lettered" in page
    assert "broken␊.mp3" in page
    with pytest.raises(MisuseError, match="no-such-run"):
        run("no-such-run")


# The exit status, from made nights ----------------------------------------------------------------------------------


@pytest.fixture
def drifted(tmp_path):
    """Eight nights alike, and one whose scores fell by half, in an output of its own; its line."""
    rng = np.random.default_rng(1)
    for at in range(9):
        scores = rng.normal(40.0 if at == 8 else 80.0, 8.0, 110)
        rows = [r for i, score in enumerate(scores) for r in opening(f"{at}-{i}", at=at, score=score, duration_s=9.0)]
        write(tmp_path, f"run-{at:03d}", rows)
    run = row(Run, at=8, status="done", listed=110, written=110, wall_s=60.0)
    write(tmp_path, "run-008-run", [run])
    return tmp_path, run


def close(output, run, *flags):
    settings, _ = parse_scan([f"--input={output}", f"--output={output}", "--tasks=quality", *flags])
    console = Console(file=io.StringIO(), width=200)
    status = close_run(run, str(output), settings, drift_of(str(output), run.run_id), console)
    return status, console.file.getvalue()


def test_drift_wakes_somebody_only_if_asked_to(drifted, tmp_path):
    output, run = drifted
    assert drift_of(str(output), "run-007").flags == []
    (words,) = drift_of(str(output), "run-008").words()
    assert words.startswith("drift: mean quality score: 39.8 (110 tracks)")
    status, _ = close(output, run)
    assert status == 0
    status, told = close(output, run, "--fail_on_drift", f"--prometheus_textfile={tmp_path / 'x.prom'}")
    assert status == 1
    assert "--fail_on_drift is set" in told
    assert metrics(tmp_path / "x.prom")["songscan_run_success"] == 0
    assert metrics(tmp_path / "x.prom")["songscan_drift_flags"] == 1
    summary = json.loads((output / "state" / "summaries" / "run-008.json").read_text())
    assert [flag["kind"] for flag in summary["drift"]["flags"]] == ["quality_score"]


def test_drift_is_logged_with_its_fields(drifted, tmp_path, capsys):
    output, run = drifted
    settings, _ = parse_scan([f"--input={output}", f"--output={output}", "--tasks=quality", "--log_format=json"])
    with watched(settings, run.run_id, tmp_path / "run.log"):
        close(output, run, "--fail_on_drift")
    _, why, flag, end = lines(capsys.readouterr().out)
    assert (flag["severity"], flag["task"], flag["reason"]) == ("WARNING", "drift", "quality_score")
    assert "--fail_on_drift" in why["message"]
    assert (end["severity"], end["exit_status"], end["drift_flags"]) == ("ERROR", 1, 1)


@pytest.mark.parametrize("error", [RunError("the disk is full"), MisuseError("no such catalogue"), KeyboardInterrupt()])
def test_a_run_that_fails_leaves_metrics_and_a_line(tmp_path, capsys, error):
    path = tmp_path / "songscan.prom"
    flags = ["--tasks=quality", "--log_format=json", f"--prometheus_textfile={path}"]
    settings, _ = parse_scan([f"--input={tmp_path}", f"--output={tmp_path / 'out'}", *flags])
    with pytest.raises(type(error)), watched(settings, "run-1", tmp_path / "run.log"):
        raise error
    assert metrics(path)["songscan_run_success"] == 0
    _, line = lines(capsys.readouterr().out)
    assert (line["severity"], line["run_id"], line["status"]) == ("ERROR", "run-1", "failed")


def test_a_textfile_goes_to_a_folder_that_exists(tmp_path):
    with pytest.raises(MisuseError, match="--prometheus_textfile"):
        parse_scan([f"--input={tmp_path}", "--output=out", f"--prometheus_textfile={tmp_path / 'gone' / 'x.prom'}"])
