"""What is decided before and after a run, without running one."""

import io
import os
import tempfile

import pytest
from rich.console import Console

from pipelines.closing import shortened, status_of
from pipelines.launch import launch, local_workers, runner_of
from pipelines.lock import lock, temporary_folder
from pipelines.options import parse_scan
from pipelines.places import check_places, check_remote
from pipelines.planning import cores
from tests.doubles import models as doubles
from tests.transforms.outputs import row
from transforms.errors import MisuseError, RunError
from transforms.records import Run


def settings(input, output, *flags):
    return parse_scan([f"--input={input}", f"--output={output}", *flags])[0]


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ([], cores()),
        (["--direct_num_workers=3"], 3),
        (["--direct_num_workers", "4"], 4),
        (["--direct_num_workers=0"], cores()),
    ],
)
def test_workers_of_the_local_runner(flags, count):
    assert local_workers(flags) == (count, ["--direct_num_workers=1"])


def test_a_runner_named_by_hand_gets_its_flags_untouched():
    assert local_workers(["--runner", "DirectRunner", "--direct_num_workers=3"]) == (1, [])


def test_workers_must_be_a_number():
    with pytest.raises(MisuseError, match="--direct_num_workers=many"):
        local_workers(["--direct_num_workers=many"])


def test_the_runner_is_pinned_unless_named():
    assert runner_of([]) == "FnApiRunner"
    assert runner_of(["--runner=DataflowRunner"]) == "DataflowRunner"


@pytest.mark.parametrize(
    ("named", "meant"),
    [("Bogus", "There are FnApiRunner"), ("DirectRuner", "mean DirectRunner"), ("dataflo", "mean DataflowRunner")],
)
def test_unknown_runners_are_refused_with_the_likely_one(named, meant):
    with pytest.raises(MisuseError, match=f"--runner={named} (?s:.*){meant}"):
        runner_of([f"--runner={named}"])


def test_runners_are_named_as_leniently_as_in_beam():
    assert runner_of(["--runner=dataflow"]) == "DataflowRunner"
    assert runner_of(["--runner=my.own.Runner"]) == "my.own.Runner"


@pytest.mark.parametrize("flag", ["--frce", "--max_track=2", "--runner=Bogus", "--direct_num_workers=many"])
def test_a_plan_refuses_what_a_scan_would(tmp_path, flag):
    with pytest.raises(MisuseError, match=flag.split("=")[0]):
        launch([f"--input={tmp_path}", f"--output={tmp_path}-out", "--plan", flag])


def test_a_plan_for_a_remote_runner_submits_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    assert launch([f"--input={tmp_path}/in", f"--output={tmp_path}/out", "--plan", "--runner=FlinkRunner"]) == 0
    assert "1 listed" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_dataflow_reaches_buckets_only(tmp_path):
    check_remote(settings("gs://b/music", "gs://b/out"), "DataflowRunner")
    with pytest.raises(MisuseError, match="--input"):
        check_remote(settings(tmp_path, "gs://b/out"), "DataflowRunner")
    with pytest.raises(MisuseError, match="--output"):
        check_remote(settings("gs://b/music", tmp_path), "DataflowRunner")
    with pytest.raises(MisuseError, match="--budget_hours=2 is for runs on this machine"):
        check_remote(settings("gs://b/music", "gs://b/out", "--budget_hours=2"), "DataflowRunner")
    mine = doubles.fake(tmp_path)
    with pytest.raises(MisuseError, match="--models"):
        check_remote(settings("gs://b/music", "gs://b/out", f"--models={mine}"), "DataflowRunner")


def test_an_output_within_the_catalogue_is_refused_on_a_bucket_too():
    with pytest.raises(MisuseError, match="gs://b/music/out lies within the catalogue gs://b/music"):
        check_places(parse_scan(["--input=gs://b/music", "--output=gs://b/music/out"])[0])


def test_an_output_below_a_glob_is_refused(tmp_path):
    (tmp_path / "music").mkdir()
    for source, output in ((f"{tmp_path}/music/**", f"{tmp_path}/music/out"), ("gs://b/m/*.mp3", "gs://b/m/out")):
        with pytest.raises(MisuseError, match="lies within the catalogue"):
            check_places(parse_scan([f"--input={source}", f"--output={output}"])[0])


def test_metrics_need_a_name_that_is_collected(tmp_path):
    (tmp_path / "folder.prom").mkdir()
    for place in ("folder.prom", "nowhere/x.prom", "metrics.txt"):
        with pytest.raises(MisuseError, match=r"NAME\.prom in a folder that exists"):
            parse_scan(["--input=a", "--output=b", f"--prometheus_textfile={tmp_path / place}"])
    parse_scan(["--input=a", "--output=b", f"--prometheus_textfile={tmp_path / 'x.prom'}"])


def test_home_is_understood_where_the_shell_did_not(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings("~/Music", "~/scan").input == str(tmp_path / "Music")


@pytest.mark.parametrize("flags", [["--input=a"], ["--output=b"], []])
def test_places_must_be_given(flags):
    with pytest.raises(MisuseError, match="is missing"):
        parse_scan(flags)


@pytest.mark.parametrize(
    ("written", "dead", "again", "status", "code"),
    [
        (20, 1, 0, "done", 0),
        (18, 2, 0, "done", 1),
        (0, 0, 0, "done", 0),
        (0, 1, 0, "done", 1),
        (0, 4, 4, "done", 0),  # a quiet night with four known troubles
        (0, 5, 4, "done", 1),
        (5, 0, 0, "interrupted", 130),
    ],
)
def test_exit_status(written, dead, again, status, code):
    run = row(Run, written=written, dead_lettered=dead, failed_again=again, status=status)
    assert status_of(run, 0.05, Console(file=io.StringIO())) == code


def test_messages_are_kept_to_a_thousand():
    assert shortened(["a"] * 1000) == ["a"] * 1000
    assert shortened(["a"] * 1003) == [*["a"] * 1000, "... and 3 more"]


def test_the_lock_is_one_at_a_time_and_names_its_holder(tmp_path):
    with lock(str(tmp_path)), pytest.raises(RunError, match=str(os.getpid())), lock(str(tmp_path)):
        pass
    with lock(str(tmp_path)):
        pass


def test_temporary_files_lie_in_one_folder_and_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = tmp_path / "out"
    (output / "state").mkdir(parents=True)
    with temporary_folder(str(output)) as folder:
        assert tempfile.mkdtemp().startswith(folder)
        assert os.environ["TMPDIR"] == folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_what_a_killed_run_left_goes_but_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    note = tmp_path / "out" / "state" / "temporary"
    note.parent.mkdir(parents=True)
    for name in ("songscan-left", "mine"):
        (tmp_path / name).mkdir()
        note.write_text(str(tmp_path / name))
        with temporary_folder(str(tmp_path / "out")):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]
