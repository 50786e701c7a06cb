"""Cloud Storage, played by gcp-storage-emulator in a process of its own."""

from __future__ import annotations

import base64

import duckdb
import google_crc32c
import pytest
from google.cloud import storage

from transforms import gcs, ledger, schemas
from transforms.catalogue import Verdicts, list_catalogue
from transforms.errors import MisuseError
from transforms.listing import AUDIO, NOT_AUDIO, UNREADABLE, Entry
from transforms.records import Task

WAV = b"RIFF\x24\0\0\0WAVEfmt "


def put(bucket: storage.Bucket, *names: str, content: bytes = b"12345") -> None:
    for name in names:
        bucket.blob(name).upload_from_string(content)


def listed(input: str, verdicts: Verdicts | None = None) -> dict[str, Entry]:
    return {entry.track_id: entry for entry in list_catalogue(input, verdicts).entries}


def crc(content: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(content).digest()).decode()


def test_a_prefix_is_listed_with_revision_and_generation(bucket):
    put(bucket, "a/1.mp3", "a/b/雨.mp3", "ab/2.mp3", "a/.hidden.mp3", "a/")
    found = listed(f"gs://{bucket.name}/a")
    assert set(found) == {"1.mp3", "b/雨.mp3"}
    entry = found["1.mp3"]
    assert entry.uri == f"gs://{bucket.name}/a/1.mp3"
    assert entry.revision == f"5-{crc(b'12345')}"
    assert gcs.content_token(entry.revision) == f"crc32c:{crc(b'12345')}-5"
    assert entry.generation == bucket.get_blob("a/1.mp3").generation
    assert entry.modified == round(bucket.get_blob("a/1.mp3").updated.timestamp() * 1e6)
    assert list_catalogue(f"gs://{bucket.name}/a").file()


def test_globs_single_objects_sidecars_and_first_bytes(bucket, monkeypatch):
    put(bucket, "a/1.mp3", "a/1.lrc", "a/b/2.flac", "a/b/2 (live).flac", "a/b/2.txt", "a/cover.jpg")
    put(bucket, "a/wav", content=WAV)
    root = f"gs://{bucket.name}/a"
    verdicts = Verdicts()
    found = listed(root, verdicts)
    assert {name for name, entry in found.items() if entry.kind == AUDIO} == {
        "1.mp3",
        "b/2.flac",
        "b/2 (live).flac",
        "wav",
    }
    assert found["cover.jpg"].kind == found["1.lrc"].kind == NOT_AUDIO
    assert found["1.mp3"].lyrics_uri == f"{root}/1.lrc"
    assert found["b/2.flac"].lyrics_uri == f"{root}/b/2.txt"
    assert found["b/2 (live).flac"].lyrics_uri is None
    monkeypatch.setattr(gcs, "_read_head", lambda *_: pytest.fail("opened"))
    assert listed(root, verdicts) == found
    assert set(listed(f"{root}/*.mp3")) == {"1.mp3"}
    assert listed(f"{root}/**/2.*", verdicts)["b/2.flac"].lyrics_uri == f"{root}/b/2.txt"
    assert set(listed(f"{root}/1.mp3")) == {"1.mp3"}
    covers = list_catalogue(f"{root}/**/*.mp3").covers
    assert covers(f"{root}/x/gone.mp3")
    assert not covers(f"{root}/x/gone.flac")


def test_twins_under_normalisation_stay_apart(bucket):
    put(bucket, "m/Cafe\u0301/a.mp3", "m/Caf\u00e9/a.mp3", "m/e\u0301.mp3")
    found = listed(f"gs://{bucket.name}/m")
    (twin,) = [name for name in found if "~" in name]
    assert set(found) == {"Caf\u00e9/a.mp3", twin, "\u00e9.mp3"}
    assert "Cafe\u0301" in found[twin].uri


def test_what_is_not_there_is_misuse(bucket):
    put(bucket, "a/1.mp3")
    with pytest.raises(MisuseError, match="holds no files"):
        listed(f"gs://{bucket.name}/b")
    with pytest.raises(MisuseError, match="does not exist"):
        listed("gs://no-such-bucket-at-all/b")
    with pytest.raises(MisuseError, match="names no bucket"):
        listed("gs://")


def test_a_manifest_may_name_objects_and_be_one(bucket, tmp_path):
    put(bucket, *(f"a/{n}.mp3" for n in range(10)), "b/x.mp3")
    rows = [f"{n},gs://{bucket.name}/a/{n}.mp3" for n in range(9)] + ["x,b/x.mp3", "none,b/none.mp3"]
    put(bucket, "m.csv", content="\n".join(["track_id,uri", *rows]).encode())
    found = listed(f"gs://{bucket.name}/m.csv")
    assert [found[name].kind for name in ("0", "8", "x", "none")] == [AUDIO, AUDIO, AUDIO, UNREADABLE]
    assert found["x"].generation == bucket.get_blob("b/x.mp3").generation
    assert found["3"].revision == f"5-{crc(b'12345')}"
    with pytest.raises(MisuseError, match="does not exist"):
        listed(f"gs://{bucket.name}/none.csv")


def test_verdicts_may_lie_on_cloud_storage(bucket):
    verdicts = Verdicts({"/a": ("r1", True), "/b": ("r2", False)})
    path = f"gs://{bucket.name}/state/not_audio.parquet"
    verdicts.save(path)
    again = Verdicts.load(path)
    assert (again.get("/a", "r1"), again.get("/b", "r2"), again.get("/a", "r2")) == (True, False, None)


def test_a_plan_may_lie_on_cloud_storage(bucket):
    put(bucket, *(f"a/{n}.mp3" for n in range(5)))
    empty = duckdb.connect(config={"threads": 1})
    for name in ("tracks", "work"):
        empty.from_arrow(schemas.to_arrow(name, [])).create(f"{name}_history")
    path, task = f"gs://{bucket.name}/plan.parquet", Task(name="quality", model_name="quality", model_version="1")
    plan = ledger.plan(list_catalogue(f"gs://{bucket.name}/a"), empty, [task], out_path=path)
    assert ledger.count_shards(path) == plan.shards == 5
    dues = [due for shard in range(5) for due in ledger.read_shard(path, shard)]
    assert sorted(due.track.track_id for due in dues) == [f"{n}.mp3" for n in range(5)]
    assert {due.track.generation is not None for due in dues} == {True}
