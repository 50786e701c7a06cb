"""A catalogue and an output on Cloud Storage, through the emulator."""

from __future__ import annotations

import os

from pipelines.options import parse_scan
from pipelines.submit import submit
from tests import signals
from tests.pipelines.scans import last_run, rows, scan
from transforms import gcs


def upload(bucket, folder, count):
    for number in range(count):
        sound = signals.music(1.5, 16_000, 1, seed=number)
        path = signals.write(folder, "flac", sound, 16_000, stem=f"track{number}")
        bucket.blob(f"music/{path.name}").upload_from_filename(path)


def test_a_bucket_is_scanned_into_a_folder(bucket, tmp_path):
    upload(bucket, tmp_path, 3)
    source, output = f"gs://{bucket.name}/music", tmp_path / "out"
    scan(source, output, "--direct_num_workers=1")
    assert last_run(output)["written"] == 3
    tokens = {row["content_token"] for row in rows(output, "FROM tracks")}
    assert len(tokens) == 3
    assert all(token.startswith("crc32c:") for token in tokens)
    sound = signals.write(tmp_path, "flac", signals.music(2.5, 16_000, 1, seed=9), 16_000, stem="new")
    bucket.blob("music/track1.flac").upload_from_filename(sound)
    scan(source, output, "--direct_num_workers=1")
    run = last_run(output)
    assert (run["written"], run["up_to_date"]) == (1, 2)
    assert rows(output, "SELECT duration_s FROM tracks WHERE track_id = 'track1.flac'") == [{"duration_s": 2.5}]


def test_submission_plans_and_writes_on_gs(bucket, tmp_path, capsys):
    """The runner is a local one here; plan, ledger and parts are where a remote one would have them."""
    upload(bucket, tmp_path, 3)
    flags = [
        f"--input=gs://{bucket.name}/music",
        f"--output=gs://{bucket.name}/out",
        "--runner=FnApiRunner",
        "--tasks=quality",
    ]
    assert submit(parse_scan(flags)[0], flags) == 0
    assert "3 due" in capsys.readouterr().out
    assert submit(parse_scan(flags)[0], flags) == 0
    assert "3 up to date" in capsys.readouterr().out
    for part in gcs.list_objects(f"gs://{bucket.name}/out/tables/"):
        target = tmp_path / "copy" / part.uri.split("/out/")[1]
        os.makedirs(target.parent, exist_ok=True)
        gcs.download(part.uri, part.generation, str(target))
    copy = tmp_path / "copy"
    assert [row["status"] for row in rows(copy, "FROM work")] == ["ok"] * 3
    assert len(rows(copy, "FROM quality")) == 3
    assert [row["status"] for row in rows(copy, "FROM runs")] == ["submitted"] * 2
