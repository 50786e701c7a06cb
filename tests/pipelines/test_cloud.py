"""A catalogue and an output on Cloud Storage, through the emulator."""

import json
import re
import sys

import pytest
from rich.console import Console

from pipelines import jobs, submit
from pipelines.finish import finish
from pipelines.launch import launch
from pipelines.options import parse_scan
from tests import signals
from tests.pipelines.scans import last_run, rows, scan
from transforms import conditional, lease, mirror
from transforms.errors import RunError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def upload(bucket, folder, count):
    for number in range(count):
        replace_track(bucket, folder, f"track{number}", 1.5, number)


def replace_track(bucket, folder, name, duration_s, seed):
    sound = signals.music(duration_s, 16_000, 1, seed=seed)
    bucket.blob(f"music/{name}.flac").upload_from_filename(signals.write(folder, "flac", sound, 16_000, stem=name))


def submitted(bucket, *more, status=0):
    flags = [f"--input=gs://{bucket.name}/music", f"--output=gs://{bucket.name}/out", "--tasks=quality", *more]
    console = Console(record=True, width=200)
    assert submit.submit(parse_scan(flags)[0], flags, "FnApiRunner", console) == status
    return console.export_text()


def test_a_run_on_this_machine_writes_to_a_bucket(bucket, tmp_path):
    upload(bucket, tmp_path, 4)
    source, output = f"gs://{bucket.name}/music", f"gs://{bucket.name}/out"
    done = scan(source, output, "--direct_num_workers=2")
    assert f"see it: songscan show {output}" in done.stdout.replace("python -m pipelines.cli", "songscan")
    assert last_run(mirror.readable(output))["written"] == 4
    replace_track(bucket, tmp_path, "track1", 2.5, 9)
    bucket.blob("music/track2.flac").delete()
    bucket.blob("music/elsewhere/track3.flac").upload_from_string(bucket.blob("music/track3.flac").download_as_bytes())
    bucket.blob("music/track3.flac").delete()
    scan(source, output, "--direct_num_workers=1")
    folder = mirror.readable(output)
    run = last_run(folder)
    assert (run["written"], run["up_to_date"]) == (2, 1)
    assert run["messages"] == ["moved: track3.flac is now elsewhere/track3.flac", "removed: track2.flac"]
    states = {row["track_id"]: row["state"] for row in rows(folder, "SELECT track_id, state FROM tracks")}
    assert (states["track2.flac"], states["track3.flac"]) == ("removed", "moved")
    assert conditional.read_with_generation(lease.lease_uri(output)) is None


def test_a_worker_that_dies_while_it_writes_to_a_bucket(bucket, tmp_path):
    """Its successor knows from the bucket what is done."""
    upload(bucket, tmp_path, 3)
    replace_track(bucket, tmp_path, "killer", 1.5, 4)
    output = f"gs://{bucket.name}/out"
    flags = [f"--input=gs://{bucket.name}/music", f"--output={output}", "--tasks=quality", "--direct_num_workers=1"]
    assert launch([*flags, "--max_failed_fraction=1"], (sys.executable, "-m", "tests.doubles.pipeline")) == 0
    folder = mirror.readable(output)
    run = last_run(folder)
    assert (run["written"], run["dead_lettered"]) == (3, 1)
    assert rows(folder, "SELECT count(*) AS n FROM parts.quality") == [{"n": 3}]  # nothing was done twice


def test_two_runs_on_one_bucket_are_kept_apart(bucket, tmp_path):
    upload(bucket, tmp_path, 1)
    output = f"gs://{bucket.name}/out"
    held = lease.acquire(output, "other", jobs.is_over)
    done = scan(f"gs://{bucket.name}/music", output, status=1)
    assert "another run is writing to" in done.stderr
    assert "run other of" in done.stderr
    held.give_back()


def test_a_submitted_run_ends_by_itself(bucket, tmp_path):
    """The runner is a local one here; plan, ledger and parts are where a remote one would have them."""
    upload(bucket, tmp_path, 3)
    output = f"gs://{bucket.name}/out"
    text = submitted(bucket)
    assert "3 due" in text
    assert re.search(r"written +3", text)
    bucket.blob("music/track2.flac").delete()
    replace_track(bucket, tmp_path, "new", 1.0, 7)
    bucket.blob("music/broken.flac").upload_from_string(b"fLaC" + bytes(100))
    submitted(bucket, "--max_failed_fraction=1")
    assert "4 up to date" in submitted(bucket)
    folder = mirror.readable(output)
    assert [row["status"] for row in rows(folder, "FROM runs")] == ["done"] * 3
    second = rows(folder, "FROM runs ORDER BY time")[1]
    assert (second["written"], second["dead_lettered"], second["up_to_date"]) == (1, 1, 2)
    assert second["messages"] == ["removed: track2.flac"]


def test_a_job_tells_if_too_many_tracks_failed(bucket, tmp_path):
    """To who waits for it by the exit status; on Dataflow, where nobody does, by its own state."""
    bucket.blob("music/broken.flac").upload_from_string(b"fLaC" + bytes(100))
    words = r"1 of 1 tracks taken, more than --max_failed_fraction=0\.05 allows"
    assert re.search(words, submitted(bucket, status=1))
    output = f"gs://{bucket.name}/out"
    run = last_run(mirror.readable(output))
    assert run["dead_lettered"] == 1
    settings = parse_scan([f"--input=gs://{bucket.name}/music", f"--output={output}", "--tasks=quality"])[0]
    with pytest.raises(RunError, match=words):
        finish(None, settings, run["run_id"], alone=True)


def test_a_job_that_goes_on_by_itself_keeps_the_lease(bucket, tmp_path, monkeypatch):
    upload(bucket, tmp_path, 1)

    class Result:
        def job_id(self):
            return "job-1"

    output = f"gs://{bucket.name}/out"
    monkeypatch.setattr(submit.beam.Pipeline, "run", lambda self: Result())
    flags = [f"--input=gs://{bucket.name}/music", f"--output={output}", "--tasks=quality"]
    more = [*flags, "--project=p", "--region=r", "--temp_location=gs://b/tmp"]
    console = Console(record=True, width=200)
    assert submit.submit(parse_scan(flags)[0], more, "DataflowRunner", console) == 0
    assert "is job p/r/job-1" in console.export_text()
    held = json.loads(conditional.read_with_generation(lease.lease_uri(output))[0])
    assert held["job"] == "p/r/job-1"
    monkeypatch.setattr(jobs, "is_over", lambda job, began: False)
    with pytest.raises(Exception, match="job p/r/job-1"):
        submit.submit(parse_scan(flags)[0], more, "DataflowRunner", console)
    assert rows(mirror.readable(output), "SELECT status, written FROM runs") == [{"status": "submitted", "written": 0}]


def test_a_quiet_night_of_a_template_describes_a_job_all_the_same(bucket, tmp_path):
    """Its launcher has to leave one; this is Beam's own way of describing it."""
    upload(bucket, tmp_path, 1)
    submitted(bucket)
    output, template = f"gs://{bucket.name}/out", f"gs://{bucket.name}/template/job"
    flags = [f"--input=gs://{bucket.name}/music", f"--output={output}", "--tasks=quality"]
    cloud = ["--runner=DataflowRunner", "--project=p-roject", "--region=r", f"--temp_location=gs://{bucket.name}/tmp"]
    image = ["--sdk_container_image=x/y:1", "--sdk_location=container", "--job_name=nightly", "--no_auth"]
    more = [*flags, *cloud, *image, f"--template_location={template}"]
    console = Console(record=True, width=200)
    assert submit.submit(parse_scan(flags)[0], more, "DataflowRunner", console) == 0
    assert "0 due" in console.export_text()
    described = json.loads(bucket.blob("template/job").download_as_bytes())
    assert described["name"] == "nightly"
    assert json.loads(conditional.read_with_generation(lease.lease_uri(output))[0])["job"] == "p-roject/r/name=nightly"
