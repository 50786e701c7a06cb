"""A local copy of the tables of an output on Cloud Storage."""

import pyarrow.parquet as pq
import pytest

from tests.transforms.outputs import opening
from transforms import conditional, gcs, mirror, records, tables
from transforms.errors import MisuseError, RunError
from transforms.parts import committed_names
from transforms.store import write_table


@pytest.fixture
def output(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"gs://{bucket.name}/out"


def write(output, name, rows, *, commit=True):
    by_table = {"tracks": records.TrackFacts, "quality": records.Quality, "work": records.Work}
    for table, record in by_table.items():
        if commit or table != "work":
            write_table(output, table, f"{name}.parquet", [row for row in rows if type(row) is record])


def ids(folder):
    return sorted(row[0] for row in tables.connect(folder).execute("SELECT track_id FROM quality").fetchall())


def fetched(proxy, monkeypatch):
    paths = []
    download = gcs.download
    monkeypatch.setattr(
        gcs, "download", lambda uri, *more: paths.append(uri.rpartition("/tables/")[2]) or download(uri, *more)
    )
    return paths


def test_a_folder_is_its_own(tmp_path):
    assert mirror.desk(str(tmp_path)) == mirror.readable(str(tmp_path)) == str(tmp_path)


def test_only_what_is_new_is_fetched(output, proxy, monkeypatch):
    write(output, "r1", opening("a"))
    folder = mirror.readable(output)
    assert ids(folder) == ["a"]
    paths = fetched(proxy, monkeypatch)
    write(output, "r2", opening("b"))
    assert ids(mirror.readable(output)) == ["a", "b"]
    assert sorted(paths) == ["quality/r2.parquet", "tracks/r2.parquet", "work/r2.parquet"]
    assert paths[-1] == "work/r2.parquet"


def test_what_is_written_once_more_or_removed_is_noticed(output):
    write(output, "r1", opening("a"))
    write(output, "r2", opening("b"))
    mirror.readable(output)
    write(output, "r1", opening("c"))  # of the same size
    for part in list(gcs.list_objects(f"{output}/tables/")):
        if part.uri.endswith("r2.parquet"):
            assert conditional.delete(part.uri, part.generation)
    assert ids(mirror.readable(output)) == ["c"]


def test_a_track_that_is_being_written_is_not_half_there(output, proxy):
    """The parts of a flush appear while the listing goes on: after `work` was listed, before the others were."""
    write(output, "r1", opening("a"))
    listings = []

    def flush():
        listings.append(1)
        if len(listings) == 2:
            write(output, "r2", opening("b"))

    for _ in range(2):
        proxy.before(r"^GET /storage/v1/b/[^/]+/o\?", flush)
    folder = mirror.readable(output)
    assert ids(folder) == ["a"]
    assert committed_names(folder)["quality"] == ["r1.parquet"]
    assert len(listings) == 2
    assert ids(mirror.readable(output)) == ["a", "b"]


def test_one_run_alone(output, tmp_path):
    write(output, "r1-x", opening("a"))
    write(output, "r2-y", opening("b"))
    (tmp_path / "end").mkdir()
    mirror.bring(output, str(tmp_path / "end"), "r2")
    assert ids(str(tmp_path / "end")) == ["b"]


def test_one_run_of_a_folder(tmp_path):
    write(str(tmp_path / "out"), "r1-x", opening("a"))
    write(str(tmp_path / "out"), "r2-y", opening("b"))
    write(str(tmp_path / "out"), "r2-z", opening("c"), commit=False)
    mirror.bring(str(tmp_path / "out"), str(tmp_path / "end"), "r2")
    mirror.bring(str(tmp_path / "out"), str(tmp_path / "end"), "r2")
    assert ids(str(tmp_path / "end")) == ["b"]


def test_what_is_not_committed_is_swept_away(output):
    write(output, "r1", opening("a"))
    write(output, "r2", opening("b"), commit=False)
    write_table(output, "runs", "r2.parquet", [])
    assert sorted(mirror.sweep(output)) == [f"{output}/tables/{t}/r2.parquet" for t in ("quality", "tracks")]
    left = sorted(part.uri.rpartition("/tables/")[2] for part in gcs.list_objects(f"{output}/tables/"))
    assert left == ["quality/r1.parquet", "runs/r2.parquet", "tracks/r1.parquet", "work/r1.parquet"]
    assert mirror.sweep(output) == []


def test_names_that_leave_their_folder_are_no_parts(monkeypatch):
    top = "gs://b/out/tables/"
    hostile = ["work/../../../evil.parquet", "../x.parquet", "..parquet/x.parquet", "work/.hidden.parquet"]
    hostile += ["work/a/b.parquet", "work/", "x.parquet", "work/..", "work/_x.parquet", "work/x.txt"]
    objects = [gcs.Object(top + name, 1, "", 1, 0) for name in [*hostile, "work/r1.parquet"]]
    monkeypatch.setattr(gcs, "list_objects", lambda prefix: iter(o for o in objects if o.uri.startswith(prefix)))
    assert {(table, name) for table, parts in mirror.list_parts("gs://b/out").items() for name in parts} == {
        ("work", "r1.parquet")
    }


def test_two_emulators_are_two_worlds(monkeypatch):
    first = mirror.desk("gs://music/out/")
    assert first == mirror.desk("gs://music/out") != mirror.desk("gs://music_out")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert mirror.desk("gs://music/out") != first


def test_what_is_no_output_is_told(output):
    with pytest.raises(MisuseError, match=r"out' is not an output of songscan"):
        mirror.readable(output)
    with pytest.raises(MisuseError, match="no-such-bucket"):
        mirror.readable("gs://no-such-bucket/out")


def test_a_part_that_arrives_damaged_again_and_again_is_told(output, proxy):
    write(output, "r1", opening("a"))
    proxy.fail("wrong", r"GET .*tables/quality", 50)
    with pytest.raises(RunError, match=r"the tables of gs://.* cannot be read"):
        mirror.readable(output)
    proxy.heal()
    assert pq.read_table(f"{mirror.readable(output)}/tables/quality/r1.parquet").num_rows == 1
