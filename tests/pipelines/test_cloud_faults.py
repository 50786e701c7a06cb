"""A catalogue and an output on Cloud Storage, with trouble on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipelines.options import parse_scan
from pipelines.submit import submit
from tests import signals
from tests.doubles import models as doubles
from tests.pipelines.scans import last_run, rows, scan
from transforms import gcs, mirror

TROUBLE = ("503", "429", "refused", "lost", "reset", "truncated", "wrong")  # such as passes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def upload(bucket, folder, count):
    for number in range(count):
        sound = signals.music(1.5, 16_000, 1, seed=number)
        path = signals.write(folder, "flac", sound, 16_000, stem=f"track{number}")
        bucket.blob(f"music/{path.name}").upload_from_filename(path)


def submitted(bucket, output, *flags):
    """The runner is a local one here; plan, ledger and parts are where a remote one would have them."""
    argv = [f"--input=gs://{bucket.name}/music", f"--output={output}", "--max_failed_fraction=1", *flags]
    console = Console(record=True, width=200)
    assert submit(parse_scan(argv)[0], argv, "FnApiRunner", console) == 0
    return console.export_text()


def results(output, *tables):
    """All rows without what differs between any two runs."""
    odd = {"run_id", "time", "wall_s"}
    found = {table: rows(output, f"FROM {table} ORDER BY ALL") for table in tables}
    plain = {table: [{k: v for k, v in row.items() if k not in odd} for row in of] for table, of in found.items()}
    return {table: sorted(of, key=str) for table, of in plain.items()}


def test_a_bucket_is_scanned_into_a_folder(bucket, proxy, tmp_path):
    upload(bucket, tmp_path, 3)
    source, output = f"gs://{bucket.name}/music", tmp_path / "out"
    proxy.fail("503", "^GET .*prefix=")
    for number, kind in enumerate(("truncated", "wrong", "reset")):
        proxy.fail(kind, rf"track{number}\.flac.*alt=media")
    scan(source, output, "--direct_num_workers=1")
    assert proxy.faults.total() == 4
    assert last_run(output)["written"] == 3
    tokens = {row["content_token"] for row in rows(output, "FROM tracks")}
    assert len(tokens) == 3
    assert all(token.startswith("crc32c:") for token in tokens)
    calm = f"gs://{bucket.name}/calm"
    submitted(bucket, calm, "--tasks=quality")
    same = ("tracks", "work", "quality")
    assert results(output, *same) == results(mirror.readable(calm), *same)
    sound = signals.write(tmp_path, "flac", signals.music(2.5, 16_000, 1, seed=9), 16_000, stem="new")
    bucket.blob("music/track1.flac").upload_from_filename(sound)
    scan(source, output, "--direct_num_workers=1")
    run = last_run(output)
    assert (run["written"], run["up_to_date"]) == (1, 2)
    assert rows(output, "SELECT duration_s FROM tracks WHERE track_id = 'track1.flac'") == [{"duration_s": 2.5}]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_job_plans_writes_and_ends_on_gs(bucket, proxy, tmp_path, seed):
    upload(bucket, tmp_path, 3)
    output = f"gs://{bucket.name}/out"
    proxy.fail_at_random(seed, 0.2, TROUBLE)
    assert "3 due" in submitted(bucket, output, "--tasks=quality")
    assert "3 up to date" in submitted(bucket, output, "--tasks=quality")
    copy = mirror.readable(output)
    assert proxy.faults.total() > 5
    assert [row["status"] for row in rows(copy, "FROM work")] == ["ok"] * 3
    assert len(rows(copy, "FROM quality")) == 3
    assert [row["status"] for row in rows(copy, "FROM runs")] == ["done"] * 2


def test_what_changes_under_the_scan_is_due_next_time(bucket, proxy, tmp_path):
    upload(bucket, tmp_path, 3)
    output = f"gs://{bucket.name}/out"
    other = signals.write(tmp_path, "flac", signals.music(2.5, 16_000, 1, seed=9), 16_000, stem="other")
    proxy.before(r"track0\.flac.*alt=media", lambda: bucket.blob("music/track0.flac").delete())
    proxy.before(r"track1\.flac.*alt=media", lambda: bucket.blob("music/track1.flac").upload_from_filename(other))
    submitted(bucket, output, "--tasks=quality")
    letters = rows(mirror.readable(output), "FROM dead_letters ORDER BY track_id")
    assert [(row["track_id"], row["reason"], row["transient"]) for row in letters] == [
        ("track0.flac", "gone", True),
        ("track1.flac", "gone", True),
    ]
    assert "1 due" in submitted(bucket, output, "--tasks=quality")
    copy = mirror.readable(output)
    (track,) = rows(copy, "FROM tracks WHERE track_id = 'track1.flac'")
    assert track["duration_s"] == 2.5
    assert track["content_token"] == f"crc32c:{bucket.get_blob('music/track1.flac').crc32c}-{other.stat().st_size}"


def test_stems_and_the_model_lie_on_gs(bucket, proxy, tmp_path):
    upload(bucket, tmp_path, 2)
    model = doubles.separator(tmp_path / "models")
    for path in filter(Path.is_file, model.rglob("*")):
        bucket.blob(f"models/band/1/{path.relative_to(model)}").upload_from_filename(path)
    output = f"gs://{bucket.name}/out"
    proxy.fail_at_random(3, 0.2, TROUBLE)
    submitted(bucket, output, "--tasks=stems", f"--models=gs://{bucket.name}/models/band/1")
    assert proxy.faults.total() > 5
    proxy.heal()
    found = rows(mirror.readable(output), "FROM stems")
    assert {(row["track_id"], row["stem"]) for row in found} == {
        (f"track{number}.flac", stem) for number in range(2) for stem in ("vocals", "accompaniment")
    }
    objects = {item.uri: (item.size_bytes, item.crc32c) for item in gcs.list_objects(f"{output}/stems/")}
    assert objects == {row["uri"]: (row["size_bytes"], row["crc32c"]) for row in found}
