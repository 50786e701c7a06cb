"""Parts are written whole or not at all, `work` last."""

import errno
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.transforms.outputs import START, failure, opening
from transforms import store, whole
from transforms.errors import RunError
from transforms.records import Due, Report, Track
from transforms.store import write_part


def report(track_id, rows):
    track = Track(track_id=track_id, uri=f"/{track_id}", size_bytes=1, modified=None, revision="1")
    due = Due(track=track, tasks=())
    return Report(due=due, content_token="t", run_id="r", time=START, rows=tuple(rows))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


REPORTS = [report("a", opening("a")), report("b", failure("b"))]


def test_one_name_in_all_tables(tmp_path):
    name = write_part(str(tmp_path), REPORTS, "r")
    assert files(tmp_path) == [f"tables/{table}/{name}" for table in ("dead_letters", "quality", "tracks", "work")]
    assert pq.read_table(tmp_path / "tables" / "work" / name).column("track_id").to_pylist() == ["a", "b"]


def test_the_name_tells_the_tracks_so_that_a_bundle_tried_again_overwrites(tmp_path):
    assert write_part(str(tmp_path), REPORTS, "r") == write_part(str(tmp_path), REPORTS, "r")
    assert write_part(str(tmp_path), REPORTS[:1], "r") != write_part(str(tmp_path), REPORTS, "r")
    assert len(files(tmp_path / "tables" / "work")) == 2


def test_work_is_the_last(tmp_path, monkeypatch):
    order = []
    plain = os.replace
    monkeypatch.setattr(whole.os, "replace", lambda a, b: (order.append(Path(b).parent.name), plain(a, b)))
    write_part(str(tmp_path), REPORTS, "r")
    assert order[-1] == "work"


def test_work_commits_even_where_it_has_no_rows(tmp_path):
    name = write_part(str(tmp_path), [report("a", opening("a")[:1])], "r")
    assert files(tmp_path) == [f"tables/tracks/{name}", f"tables/work/{name}"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "Permission denied")])
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, number, words):
    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store.os, "fsync", fail)
    with pytest.raises(RunError, match=words):
        write_part(str(tmp_path), REPORTS, "r")
    assert files(tmp_path) == []


def test_parts_are_for_all_to_read(tmp_path):
    name = write_part(str(tmp_path), REPORTS, "r")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "tables" / "work" / name).stat().st_mode & 0o777 == 0o666 & ~mask
