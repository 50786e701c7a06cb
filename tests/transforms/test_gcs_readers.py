"""What reads through transforms/gcs.py while Cloud Storage fails: manifests, models, lyrics, plans, tracks."""

import contextlib
import io
import os
import resource

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms import gcs, model_files, ranges, shards
from transforms.catalogue import list_catalogue
from transforms.decode import fetched
from transforms.errors import RunError
from transforms.listing import AUDIO
from transforms.lyrics import find_lyrics
from transforms.manifest import manifest_entries
from transforms.records import Track

CONTENT = os.urandom(300_000)


@pytest.fixture
def uri(bucket):
    bucket.blob("a/song.flac").upload_from_string(CONTENT)
    return f"gs://{bucket.name}/a/song.flac"


def manifests(bucket):
    rows = {
        "track_id": ["a", "b"],
        "uri": ["song.flac", f"gs://{bucket.name}/b/none.flac"],
        "lyrics_uri": ["a.lrc", ""],
    }
    table = pa.table(rows)
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    lines = [
        f'{{"track_id": "{t}", "uri": "{u}", "lyrics_uri": "{y}"}}' for t, u, y in zip(*rows.values(), strict=True)
    ]
    return {
        "csv": "\n".join([",".join(rows), *map(",".join, zip(*rows.values(), strict=True))]).encode(),
        "jsonl": "\n".join(lines).encode(),
        "parquet": parquet.getvalue(),
    }


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", [None, "503", "truncated", "wrong"])
def test_manifests_of_all_kinds(bucket, uri, proxy, extension, kind):
    bucket.blob(f"a/m.{extension}").upload_from_string(manifests(bucket)[extension])
    if kind:
        proxy.fail(kind, rf"m\.{extension}.*alt=media", times=2)
    here, gone = manifest_entries(f"gs://{bucket.name}/a/m.{extension}")
    item = gcs.describe([uri])[uri]
    assert (here.uri, here.generation, here.revision) == (uri, item.generation, item.revision)
    assert here.lyrics_uri == f"gs://{bucket.name}/a/a.lrc"
    assert gone.problem.reason == "gone"
    assert proxy.faults[kind or ""] == (2 if kind else 0)


@pytest.mark.parametrize("kind", ["503", "reset", "truncated", "wrong"])
def test_a_model_is_fetched_whole(bucket, proxy, kind):
    files = {"songscan.json": b"{}", "variables/variables.data": CONTENT}
    for name, content in files.items():
        bucket.blob(f"models/x/1/{name}").upload_from_string(content)
    proxy.fail(kind, "alt=media", times=2)
    folder = model_files.local_model(f"gs://{bucket.name}/models/x/1")
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files


def test_a_model_that_is_replaced_meanwhile_is_not_half_of_each(bucket, proxy):
    bucket.blob("models/x/1/songscan.json").upload_from_string(b"{}")
    proxy.before("alt=media", lambda: bucket.blob("models/x/1/songscan.json").upload_from_string(b"[]"))
    with pytest.raises(model_files.ModelError, match="written anew"):
        model_files.local_model(f"gs://{bucket.name}/models/x/1")


@pytest.mark.parametrize("kind", [None, "503", "truncated", "wrong"])
def test_lyrics_beside_the_audio_and_from_a_manifest(bucket, uri, proxy, kind):
    bucket.blob("a/song.lrc").upload_from_string("[00:01.00]雨".encode())
    bucket.blob("a/m.csv").upload_from_string(b"track_id,uri,lyrics_uri\n1,song.flac,song.lrc\n2,song.flac,none.lrc")
    audio = [entry for entry in list_catalogue(uri.rpartition("/")[0]).entries if entry.kind == AUDIO]
    one, gone = manifest_entries(f"gs://{bucket.name}/a/m.csv")
    for entry in (*audio, one):
        if kind:
            proxy.fail(kind, r"song\.lrc.*alt=media", times=2)
        assert find_lyrics(track(entry)) == "[00:01.00]雨"
    assert find_lyrics(track(gone)) is None
    assert proxy.faults[kind or ""] == (4 if kind else 0)


def track(entry):
    known = {
        "track_id": entry.track_id,
        "uri": entry.uri,
        "lyrics_uri": entry.lyrics_uri,
        "generation": entry.generation,
    }
    return Track(**known, size_bytes=entry.size_bytes, modified=None, revision=entry.revision)


def test_a_plan_is_read_by_parts_which_are_checked(bucket, proxy, monkeypatch):
    monkeypatch.setattr(ranges, "_READ_AHEAD_BYTES", 1000)
    path = f"gs://{bucket.name}/plan.parquet"
    with duckdb.connect() as connection:
        rows = connection.sql("SELECT hash(range)::VARCHAR AS track_id FROM range(50000)")
        shards.write_shards(lambda _: rows, [], 50_000, path)
    assert shards.count_shards(path) == 50_000 // 16
    proxy.requests.clear()
    with contextlib.suppress(KeyError):  # these rows are no tracks
        shards.read_shard(path, 3)
    parts = sum("alt=media" in words for words in proxy.requests)
    for _ in range(parts - 2):
        proxy.before("alt=media", lambda: None)
    proxy.fail("wrong", "alt=media")  # the pages but for their end, after the foot of the file
    with pytest.raises(RunError, match=r"the plan gs://.* cannot be read: .*CRC"):
        shards.read_shard(path, 3)


def test_a_track_on_a_full_disk_ends_the_run_in_words(uri, tmp_path):
    (entry,) = list_catalogue(uri).entries
    with fetched(track(entry), str(tmp_path)) as path:
        assert os.path.getsize(path) == len(CONTENT)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.raises(RunError, match=rf"no room for 'gs://.*song\.flac' in {tmp_path}"),
            fetched(track(entry), str(tmp_path)),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
