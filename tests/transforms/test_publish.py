"""Parts into BigQuery's tables: once, whatever happened before. Each test has tracks of its own in one dataset."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from tests import bigquery
from tests.transforms.outputs import START, opening, put, row, write
from transforms import bigquery_schema, records, schemas
from transforms.bigquery_merge import merge_sql
from transforms.compact import compact
from transforms.errors import MisuseError, RunError
from transforms.publish import publish
from transforms.records import Run, Tag, TrackFacts

OPENING = ("tracks", "quality", "work")


def counts_of(dataset, track):
    """Rows about a track, by table."""
    rows = {t: bigquery.ask(dataset, f"SELECT COUNT(*) AS n FROM {t} WHERE track_id = '{track}'") for t in OPENING}
    return {table: found[0]["n"] for table, found in rows.items()}


def staged(dataset):
    return [table for table in bigquery.counts(dataset) if table.startswith("stage_")]


@pytest.mark.parametrize("table", bigquery_schema.RECORDS)
def test_every_table_says_what_tells_its_rows_apart(table):
    record = bigquery_schema.RECORDS[table]
    assert "IDENTITY" in vars(record), "a row of a new table needs an identity of its own"
    schema = schemas.arrow_schema(record)
    assert all(not schema.field(column).nullable for column in record.IDENTITY)  # null equals nothing, in a MERGE
    if issubclass(record, records.Row):
        assert record.IDENTITY[:6] == records.STAMP
        assert set(record.IDENTITY[6:]) >= {"task", "stem", "label"} & set(schema.names)


def test_a_merge_looks_at_the_partitions_of_its_rows_alone():
    sql = merge_sql("p.d", "work", "p.d.stage", [START.date(), (START + timedelta(days=40)).date()])
    assert "DATE(T.time) IN (DATE '2026-01-01', DATE '2026-02-10')" in sql
    assert "UPDATE" not in sql
    assert "*" not in sql


def test_committed_parts_come_in_once_and_a_second_time_adds_nothing(dataset, tmp_path):
    tags = [row(Tag, "a", at=1, label=label, label_group="genre") for label in ("rock", "pop")]
    write(tmp_path, "one", [*opening("a", at=1), *tags])
    write(tmp_path, "two", opening("b", at=50))
    write(tmp_path, "half", opening("c", at=2), commit=False)
    put(tmp_path, "runs", "r", schemas.to_arrow("runs", [row(Run, run_id="r", tasks=["quality:quality:1"])]))
    lines = []
    done = publish(str(tmp_path), dataset, lines.append)
    assert done.rows == {"tracks": 2, "quality": 2, "tags": 2, "runs": 1, "work": 2}
    assert list(done.rows)[-1] == "work"
    assert done.parts == 8
    assert lines[0] == "tracks: 2 rows, from 2 parts"
    before = bigquery.counts(dataset)
    assert before == {**done.rows, "parts": 8}
    assert publish(str(tmp_path), dataset).parts == 0
    assert bigquery.counts(dataset) == before
    bigquery.client().query(f"TRUNCATE TABLE `{dataset}.parts`").result()  # as if nobody had written down what is in
    assert publish(str(tmp_path), dataset).rows == dict.fromkeys(done.rows, 0)
    assert bigquery.counts(dataset) == before
    assert bigquery.ask(dataset, "SELECT tasks FROM runs") == [{"tasks": ["quality:quality:1"]}]


def test_compacted_parts_double_nothing(dataset, tmp_path):
    for number in range(3):
        write(tmp_path, f"part{number}", opening("compacted", at=number))
    publish(str(tmp_path), dataset)
    compact(str(tmp_path))
    assert publish(str(tmp_path), dataset).rows == dict.fromkeys(OPENING, 0)
    assert counts_of(dataset, "compacted") == dict.fromkeys(OPENING, 3)


def test_the_line_of_a_run_is_brought_up_to_date(dataset, tmp_path):
    def write_run(**columns):
        put(tmp_path, "runs", "night", schemas.to_arrow("runs", [row(Run, run_id="night", **columns)]))
        return publish(str(tmp_path), dataset).rows

    write(tmp_path, "one", opening("of the night"))
    assert write_run(status="submitted")["runs"] == 1
    assert write_run(status="done", ended=START + timedelta(hours=9), written=7) == {"runs": 1}
    assert write_run(status="started", written=12345) == {"runs": 0}  # older, though it comes later
    asked = bigquery.ask(dataset, "SELECT status, written FROM runs WHERE run_id = 'night'")
    assert asked == [{"status": "done", "written": 7}]


def test_parts_of_another_version_and_a_table_of_an_older_one(dataset, tmp_path):
    dataset = bigquery.new_dataset()
    older = re.sub(r"  `lyrics` .*\n", "", bigquery_schema.table_ddl(str(dataset), "tracks"))
    bigquery.client().query(older).result()
    rows = schemas.to_arrow("tracks", [row(TrackFacts, "old", title="kept", lyrics="la")])
    put(
        made(tmp_path / "old", "old"),
        "tracks",
        "one",
        rows.drop_columns(["artist"]).append_column("novel", rows["uri"]),
    )
    publish(str(tmp_path / "old"), dataset)
    asked = bigquery.ask(dataset, "SELECT title, artist, lyrics FROM tracks WHERE track_id = 'old'")
    assert asked == [{"title": "kept", "artist": None, "lyrics": "la"}]


def made(output, track):
    write(output, "one", opening(track))
    return output


def test_parts_on_cloud_storage_are_loaded_from_there(dataset, bigquery_server, bucket, tmp_path):
    write(tmp_path, "one", opening("stored", at=1))
    write(tmp_path, "two", opening("stored", at=2))
    write(tmp_path, "half", opening("stored", at=3), commit=False)
    for path in tmp_path.glob("tables/*/*.parquet"):
        bucket.blob(f"out/{path.relative_to(tmp_path)}").upload_from_filename(path)
    shutil.copytree(tmp_path, bigquery_server.buckets / bucket.name / "out")  # where the emulator looks for gs://
    done = publish(f"gs://{bucket.name}/out/", dataset)
    assert done.rows == dict.fromkeys(OPENING, 2)
    assert publish(f"gs://{bucket.name}/out", dataset).parts == 0
    assert counts_of(dataset, "stored") == dict.fromkeys(OPENING, 2)
    loads = [body for job, body in bigquery_server.begun.items() if "load-stage_work" in job and b"gs://" in body]
    assert sum(b"/tables/work/one.parquet" in body and b"/tables/work/two.parquet" in body for body in loads) == 1
    with pytest.raises(MisuseError, match="has no tables"):
        publish(f"gs://{bucket.name}/elsewhere", dataset)


# Faults ---------------------------------------------------------------------------------------------------------


def test_a_load_job_that_fails_is_told_and_mends_with_the_next_publication(dataset, bqproxy, tmp_path):
    made(tmp_path, "refused")
    words = "Error while reading data, error message: bad page\nmore"
    fails = bigquery.FaultAt("songscan-load-stage_quality", lambda r, _: bigquery.failed_job(r, "invalid", words))
    bqproxy.fault = fails
    with pytest.raises(RunError, match=r"one\.parquet of `quality` cannot be loaded: .*bad page\. Nothing") as raised:
        publish(str(tmp_path), dataset)
    assert "run the same command again" in raised.value.advice
    assert counts_of(dataset, "refused") == {"tracks": 1, "quality": 0, "work": 0}
    assert len(fails.seen) == 1
    bqproxy.fault = None
    assert publish(str(tmp_path), dataset).rows == {"quality": 1, "work": 1}
    assert counts_of(dataset, "refused") == dict.fromkeys(OPENING, 1)
    assert not staged(dataset)


FAULTS = {
    "the load is sent again": bigquery.FaultAt("songscan-load-stage_quality", bigquery.cut_before),
    "the load was heard": bigquery.FaultAt("songscan-load-stage_quality", bigquery.cut_after),
    "the MERGE is sent again": bigquery.FaultAt("songscan-merge-stage_quality", bigquery.cut_before),
    "the MERGE was heard": bigquery.FaultAt("songscan-merge-stage_quality", bigquery.cut_after),
    "the MERGE is asked for again": bigquery.FaultAt(
        "songscan-merge-stage_work", lambda r, _: bigquery.refused(503, "backendError", "try again"), times=2
    ),
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_passes_needs_nobody(dataset, bqproxy, tmp_path, words):
    made(tmp_path, words)
    bqproxy.fault = FAULTS[words]
    assert publish(str(tmp_path), dataset).rows == dict.fromkeys(OPENING, 1)
    assert FAULTS[words].seen
    assert counts_of(dataset, words) == dict.fromkeys(OPENING, 1)
    assert not staged(dataset)


def test_a_merge_that_dies_half_way_is_told_and_the_next_publication_goes_on(dataset, bqproxy, tmp_path):
    made(tmp_path, "half")
    died = bigquery.FaultAt("songscan-merge-stage_quality", lambda r, _: bigquery.failed_job(r, "invalidQuery", "died"))
    bqproxy.fault = died
    with pytest.raises(
        RunError, match=r"1 new parts of `quality`, one\.parquet the first, cannot be published: .*died"
    ):
        publish(str(tmp_path), dataset)
    assert staged(dataset)
    bqproxy.fault = None
    assert publish(str(tmp_path), dataset).rows == {"quality": 1, "work": 1}
    assert counts_of(dataset, "half") == dict.fromkeys(OPENING, 1)
    assert not staged(dataset)


PUBLISH = (
    "import sys; from transforms import bigquery as b, publish as p; p.publish(sys.argv[1], b.Dataset(*sys.argv[2:]))"
)
KILLS = {
    "before a MERGE": ("songscan-merge-stage_quality", bigquery.cut_before, {"tracks": 1, "quality": 0, "work": 0}),
    "while a MERGE runs": ("songscan-merge-stage_quality", bigquery.cut_after, {"tracks": 1, "quality": 1, "work": 0}),
    "before it is written down": ("songscan-parts-work", bigquery.cut_before, dict.fromkeys(OPENING, 1)),
}


@pytest.mark.parametrize("when", KILLS)
def test_a_publication_killed_at_any_moment_loses_and_doubles_nothing(dataset, bqproxy, tmp_path, when):
    made(tmp_path, when)
    stem, happens, then = KILLS[when]
    process = subprocess.Popen([sys.executable, "-c", PUBLISH, tmp_path, dataset.project, dataset.name])

    def kill(request, pass_on):
        process.kill()
        process.wait()
        return happens(request, pass_on)

    bqproxy.fault = bigquery.FaultAt(stem, kill)
    assert process.wait(120) == -signal.SIGKILL
    while bqproxy.fault.seen and bqproxy.busy:
        time.sleep(0.01)
    assert counts_of(dataset, when) == then
    assert staged(dataset)
    publish(str(tmp_path), dataset)
    assert counts_of(dataset, when) == dict.fromkeys(OPENING, 1)
    assert not staged(dataset)


def test_the_merge_of_a_dead_publication_is_waited_for(dataset, bqproxy, tmp_path):
    """It may run on in BigQuery long after its client was killed."""
    made(tmp_path, "late")
    bqproxy.fault = bigquery.FaultAt(
        "songscan-merge-stage_work", lambda r, _: bigquery.failed_job(r, "invalid", "killed")
    )
    with pytest.raises(RunError, match="killed"):
        publish(str(tmp_path), dataset)
    (dead,) = staged(dataset)
    bqproxy.fault = None
    bqproxy.asked.clear()
    publish(str(tmp_path), dataset)
    merge = next(at for at, (method, job) in enumerate(bqproxy.asked) if method == "POST" and "merge-stage_work" in job)
    assert bqproxy.asked.index(("GET", f"songscan-merge-{dead}-0")) < merge
