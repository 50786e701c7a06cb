"""A scan on a real Flink cluster of two task managers. `make test-flink` sets up what these tests need, and runs them.

Each is run in two ways. `beam`: as a user would, by FlinkRunner with Beam's job server. `shares`: without the job
server, by a batch job on Flink's own API whose elements are shares of the plan. That shows what Flink does to songscan,
its retries above all, but nothing of Beam's Flink runner.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from pipelines.options import parse_scan
from tests.doubles import models as doubles
from tests.doubles.portable import worker_pool
from tests.flink.cluster import CLIENT, FLINK, JOB_SERVER, ROOT, java, running, wait_until
from tests.pipelines.scans import catalogue, command, rows, scan
from transforms import tables
from transforms.catalogue import list_catalogue
from transforms.ledger import plan
from transforms.shares import Share

pytestmark = pytest.mark.skipif(not FLINK, reason="needs a Flink distribution and Java: make test-flink")
BEAM = pytest.mark.skipif(not JOB_SERVER, reason="needs Beam's Flink job server, a JAR: SONGSCAN_FLINK_JOB_SERVER=PATH")
SHARES = 4
TRACKS = 20


def facts(output, table):
    if table == "work":
        return rows(output, "SELECT * EXCLUDE (run_id, time, wall_s) FROM work WHERE task = 'quality' ORDER BY ALL")
    return rows(output, f"SELECT * EXCLUDE (run_id, time) FROM {table} ORDER BY ALL")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A catalogue with one bad file, a model, and what one local process finds with it."""
    folder = tmp_path_factory.mktemp("local")
    music = catalogue(folder / "music", TRACKS)
    (music / "broken.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt nonsense")
    doubles.fake(folder / "models")
    scan(music, folder / "out", *both(folder), "--direct_num_workers=1")
    return folder


def both(folder):
    return ["--tasks=quality,tags", f"--models={folder / 'models' / 'fake' / '1'}"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


def by_beam(cluster, local, output, workers, tasks):
    """The command of a user."""
    flink = ["--runner=FlinkRunner", f"--flink_master=127.0.0.1:{cluster.rest_port}", "--flink_version=2.2"]
    flink += [f"--flink_job_server_jar={JOB_SERVER}", "--parallelism=2", *workers]
    return command(local / "music", output, *tasks, *flink)


def by_shares(cluster, local, output, workers, tasks):
    """Plans the scan as a submission does, and hands the shares of the plan to Flink's client."""
    folder = cluster.folder / "classes"
    jar = folder / "shares.jar"
    if not jar.exists():
        source = ROOT / "tests" / "flink" / "Shares.java"
        subprocess.run(["javac", "-cp", f"{FLINK}/lib/*", "-d", folder, source], check=True)
        subprocess.run(["jar", "cf", jar, "-C", folder, "Shares.class", "-C", folder, "Shares$Scan.class"], check=True)
    (output / "tables").mkdir(parents=True)
    path = str(output / "plan.parquet")
    settings = parse_scan([f"--input={local / 'music'}", f"--output={output}", *tasks])[0]
    plan(list_catalogue(settings.input), tables.connect(settings.output), settings.tasks, out_path=path)
    pipeline = [sys.executable, "-m", "pipelines.scan", f"--input={local / 'music'}", f"--output={output}"]
    pipeline += [*tasks, "--run_id=shares"]
    shares = [Share(path=path, first=n, step=SHARES).to_json() for n in range(SHARES)]
    run = ["run", "-p", "2", "-m", f"127.0.0.1:{cluster.rest_port}", "-c", "Shares", str(jar), str(cluster.log)]
    return java(256, CLIENT, *run, *pipeline, "--", *shares)


WAYS = [pytest.param(by_beam, marks=BEAM, id="beam"), pytest.param(by_shares, id="shares")]


@contextlib.contextmanager
def submitted(way, cluster, local, output, *tasks):
    """The process that submits the job and stays until it has ended."""
    environment = {**os.environ, "FLINK_CONF_DIR": str(ROOT / "deploy" / "flink")}
    pool = worker_pool(cluster.log) if way is by_beam else contextlib.nullcontext([])
    with pool as workers, open(cluster.log, "ab") as log:
        asked = way(cluster, local, output, workers, tasks)
        process = subprocess.Popen(asked, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def same_tables(output, local, *names):
    for table in ("tracks", "dead_letters", "work", *names):
        assert facts(output, table) == facts(local / "out", table), table
    assert len(facts(output, "quality")) == TRACKS
    assert len(facts(output, "dead_letters")) == 1


@pytest.mark.parametrize("way", WAYS)
def test_two_task_managers_give_the_tables_of_one_local_process(way, cluster, local, tmp_path):
    with (
        cluster.task_manager(),
        cluster.task_manager(),
        submitted(way, cluster, local, tmp_path / "out", *both(local)) as client,
    ):
        assert client.wait(timeout=900) == 0, cluster.log.read_text()[-3000:]
        job = cluster.last_job()
        assert job["state"] == "FINISHED"
        assert max(cluster.workers_of(job)) == 2
    same_tables(tmp_path / "out", local, "quality", "tags")


@pytest.mark.parametrize("way", WAYS)
def test_a_task_manager_killed_in_the_middle_costs_nothing_but_time(way, cluster, local, tmp_path):
    work = tmp_path / "out" / "tables" / "work"
    with (
        cluster.task_manager(),
        cluster.task_manager() as victim,
        submitted(way, cluster, local, tmp_path / "out", "--tasks=quality") as client,
    ):
        wait_until(lambda: work.is_dir() and any(work.glob("*.parquet")), timeout_s=600)
        assert client.poll() is None
        os.kill(victim.pid, signal.SIGKILL)  # its Python goes on for a while, and may yet write
        assert client.wait(timeout=900) == 0, cluster.log.read_text()[-3000:]
        job = cluster.last_job()
        assert job["state"] == "FINISHED"
        assert cluster.tried_again(job)
    same_tables(tmp_path / "out", local, "quality")
