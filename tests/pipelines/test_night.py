"""Nights of a catalogue in a bucket, into BigQuery: through the emulators of both, the whole command."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.launch import launch
from tests import bigquery, signals
from tests.doubles import models as doubles
from tests.doubles.storage_emulator import storage_emulator
from tests.doubles.storage_proxy import proxied
from transforms import gcs, gcs_client
from transforms.errors import RunError

TRACKS = 8
SOURCE, OUTPUT = "gs://music/catalogue", "gs://music/scan"
COUNTED = ("tracks", "work", "quality", "tags", "runs", "tracks_now", "work_now", "quality_now", "tags_now")


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Iterator[Any]:
    """A bucket from which the emulator of BigQuery can load."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with storage_emulator(tmp_path) as url, proxied(url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        gcs_client.client.cache_clear()
        yield gcs_client.client().create_bucket("music")
        gcs_client.client.cache_clear()


@pytest.fixture
def warehouse(bucket, tmp_path, monkeypatch) -> Iterator[bigquery.Proxy]:
    if not bigquery.PYTHON.exists():
        pytest.skip(bigquery.ABSENT)
    with bigquery.emulator(tmp_path / ".cloudstorage") as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        monkeypatch.setattr("transforms.bigquery.PAUSES_S", (0.01, 0.01, 0.01))
        yield server


def upload_track(bucket, folder, number, duration_s=1.0):
    sound = signals.music(duration_s, 16_000, 1, seed=number)
    path = signals.write(folder, "flac", sound, 16_000, stem=f"track{number:02d}")
    bucket.blob(f"catalogue/{path.name}").upload_from_filename(path)


def upload_model(bucket, folder, version):
    model = doubles.fake(folder / version, version=version)
    for path in model.rglob("*"):
        if path.is_file():
            bucket.blob(f"models/fake/{version}/{path.relative_to(model)}").upload_from_filename(path)
    return f"gs://music/models/fake/{version}"


def night(results, model, *more):
    flags = [f"--input={SOURCE}", f"--output={OUTPUT}", f"--results=bq://{results}", f"--models={model}"]
    return launch([*flags, "--tasks=quality,tags", "--direct_num_workers=1", *more])


def counts(results):
    return {table: bigquery.ask(results, f"SELECT COUNT(*) AS n FROM {table}")[0]["n"] for table in COUNTED}


def last_run(results):
    return bigquery.ask(results, "SELECT * FROM runs ORDER BY time DESC LIMIT 1")[0]


def test_nights_of_a_bucket_into_bigquery(bucket, warehouse, tmp_path):
    for number in range(TRACKS):
        upload_track(bucket, tmp_path, number)
    model, results = upload_model(bucket, tmp_path, "1"), bigquery.new_dataset()

    assert night(results, model) == 0
    first = {"tracks": 8, "work": 16, "quality": 8, "tags": 16, "runs": 1}
    now = {"tracks_now": 8, "work_now": 16, "quality_now": 8, "tags_now": 16}
    assert counts(results) == first | now

    # Parts are but the way into BigQuery: the ledger is there, whatever becomes of them, on whichever machine.
    shutil.rmtree(tmp_path / "cache")
    for part in list(gcs.list_objects(f"{OUTPUT}/tables/")):
        bucket.blob(part.uri.removeprefix("gs://music/")).delete()
    assert night(results, model) == 0
    assert counts(results) == first | now | {"runs": 2}
    run = last_run(results)
    assert (run["listed"], run["up_to_date"], run["written"]) == (8, 8, 0)

    upload_track(bucket, tmp_path, 7, 1.5)
    assert night(results, model) == 0
    run = last_run(results)
    assert (run["listed"], run["up_to_date"], run["written"]) == (8, 7, 1)
    changed = {"tracks": 9, "work": 18, "quality": 9, "tags": 18, "runs": 3}
    assert counts(results) == changed | now
    asked = "SELECT DISTINCT duration_s FROM tracks_now WHERE track_id = 'track07.flac'"
    assert bigquery.ask(results, asked) == [{"duration_s": 1.5}]

    # A new version of the model, and BigQuery fails in the middle of the night: `work` is merged last.
    model = upload_model(bucket, tmp_path, "2")
    warehouse.fault = bigquery.FaultAt(
        "songscan-merge-stage_work_", lambda request, _: bigquery.failed_job(request, "invalidQuery", "out of luck")
    )
    with pytest.raises(RunError, match="out of luck"):
        night(results, model)
    warehouse.fault = None
    assert counts(results)["work"] == 18
    assert counts(results)["tags_now"] == 16  # of version 1: no half night shows
    assert night(results, model) == 0
    run = last_run(results)
    assert (run["up_to_date"], run["written"]) == (8, 0)
    version_2 = {"tracks": 17, "work": 26, "quality": 9, "tags": 34, "runs": 5}
    assert counts(results) == version_2 | now
    asked = "SELECT model_version, COUNT(*) AS n FROM tags_now GROUP BY model_version"
    assert bigquery.ask(results, asked) == [{"model_version": "2", "n": 16}]
