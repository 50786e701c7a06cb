"""Scans through a job server and a pool of workers, as on Flink or Spark; the job server is Beam's own here."""

import pytest
from rich.console import Console

from pipelines.beam_options import parse
from pipelines.options import parse_scan
from pipelines.portable import check_portable
from pipelines.submit import submit
from tests.doubles.portable import free_port, job_server, worker_pool
from tests.pipelines.scans import catalogue, rows, scan
from transforms.errors import MisuseError, RunError

TABLES = ("tracks", "quality", "dead_letters", "work")


def facts(output, table):
    without = "run_id, time, wall_s" if table == "work" else "run_id, time"
    return rows(output, f"SELECT * EXCLUDE ({without}) FROM {table} ORDER BY ALL")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Flags of a scan that runs there."""
    log = tmp_path_factory.mktemp("cluster") / "log"
    with job_server(log) as runner, worker_pool(log) as workers:
        yield [*runner, *workers]


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = catalogue(tmp_path_factory.mktemp("portable") / "music", 8)
    (folder / "broken.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt nonsense")
    return folder


def test_tables_are_whole_and_as_those_of_a_local_run_when_the_command_ends(cluster, music, tmp_path):
    done = scan(music, tmp_path / "there", *cluster, "--max_failed_fraction=0.2")
    assert ": done" in done.stdout
    scan(music, tmp_path / "here", "--direct_num_workers=1", "--max_failed_fraction=0.2")
    for table in TABLES:
        assert facts(tmp_path / "there", table) == facts(tmp_path / "here", table)
    assert len(facts(tmp_path / "there", "quality")) == 8
    assert len(facts(tmp_path / "there", "dead_letters")) == 1


def test_a_job_that_fails_ends_in_words(cluster, music, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "work").write_text("in the way")
    told = scan(music, tmp_path, *cluster, status=1).stderr.splitlines()[-2:]  # above are the runner's own
    assert told[0].startswith("songscan: the job failed: cannot write to")
    assert "the same command goes on from there" in told[1]


def test_a_job_server_that_is_not_there_is_told(music, tmp_path):
    places = [f"--input={music}", f"--output={tmp_path}", "--tasks=quality"]
    server = ["--runner=PortableRunner", f"--job_endpoint=localhost:{free_port()}", "--job_server_timeout=1"]
    flags = [*places, *server, "--environment_type=EXTERNAL", "--environment_config=localhost:1"]
    with pytest.raises(RunError, match="job server cannot be reached"):
        submit(parse_scan(flags)[0], flags, "PortableRunner", Console())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--runner=FlinkRunner"], "--environment_type is missing"),
        (["--runner=FlinkRunner", "--environment_type=EXTERNAL", "--flink_job_server_jar=no.jar"], "does not exist"),
    ],
)
def test_a_job_that_could_not_run_is_refused(flags, words):
    with pytest.raises(MisuseError, match=words):
        check_portable(parse(flags))
