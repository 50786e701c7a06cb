import itertools
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.outputs import failure, opening, put, row, write
from transforms import parts, tables
from transforms.compact import compact, prune
from transforms.errors import MisuseError, RunError
from transforms.records import TABLES, Quality, Run, ScorePart, Tag, Work
from transforms.schemas import arrow_schema, to_arrow

VIEWS = [view for table in TABLES for view in (table, f"{table}_history")]


def state(output, views=VIEWS):
    with tables.connect(str(output), threads=1) as connection:
        return {view: sorted(map(str, connection.execute(f"FROM {view}").fetchall())) for view in views}


MADE = {t: record for t, record in TABLES.items() if t not in ("stems", "defects", "verdicts")}  # by `make`


def make(output):
    """Five tracks: a changed twice, b has two versions, c failed and was mended, d fails, e was only listed."""
    tags = [row(Tag, "a", "t1", 1, label="jazz"), row(Tag, "a", "t1", 1, label="rock")]
    write(output, "p1", opening("a", "t1", 1, score=1.0) + opening("b", "u1", 1, score=2.0) + tags)
    write(output, "p2", failure("c", "", 2))
    write(output, "p3", opening("a", "t2", 3, score=3.0))
    write(output, "p4", opening("b", "u1", 4, score=4.0, model_version="2"))
    write(output, "p5", opening("c", "v1", 5, score=5.0) + failure("d", "w1", 5))
    write(output, "p6", [*opening("a", "t3", 6, score=6.0), row(Tag, "a", "t3", 6, label="jazz")])
    write(output, "p7", failure("d", "w1", 7))
    write(output, "p8", opening("e", "x1", 8)[:1])
    write(output, "p9", failure("b", "", 9))
    put(output, "runs", "run1", to_arrow("runs", [row(Run, at=1)]))
    put(output, "runs", "run2", to_arrow("runs", [row(Run, at=2)]))


def test_joins_all_into_one_and_changes_no_view(tmp_path):
    make(tmp_path)
    before = state(tmp_path)
    done = compact(str(tmp_path))
    assert state(tmp_path) == before
    assert {t: len(n) for t, n in parts.committed_names(str(tmp_path)).items()} == dict.fromkeys(MADE, 1)
    assert (done.parts_before, done.parts_after) == (9 + 5 + 2 + 6 + 4 + 2, 6)
    assert compact(str(tmp_path)).parts_before == 6
    assert state(tmp_path) == before


def test_parts_stay_below_the_wanted_length_and_long_ones_are_left(tmp_path):
    write(tmp_path, "long", [r for i in range(8) for r in opening(f"long{i}")])
    for i in range(7):
        write(tmp_path, f"small{i}", opening(f"small{i}"))
    before = state(tmp_path)
    compact(str(tmp_path), part_rows=3)
    assert state(tmp_path) == before
    lengths = [pq.read_metadata(p).num_rows for p in tables.committed_parts(str(tmp_path), "work")]
    assert sorted(lengths) == [1, 3, 3, 8]
    assert (tmp_path / "tables/work/long.parquet").exists()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    make(tmp_path)
    before, files = state(tmp_path), sorted(tmp_path.rglob("*.parquet"))
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
        with pytest.raises(RunError, match=r"No space left(?s:.*)nothing is lost"):
            compact(str(tmp_path))
    assert sorted(tmp_path.rglob("*.parquet")) == files
    assert state(tmp_path) == before
    compact(str(tmp_path))
    assert state(tmp_path) == before


class Killed(BaseException):
    pass


@pytest.fixture
def kill_at(monkeypatch):
    """Dies just before the n-th change of the file system."""

    def arm(step):
        left = [step]

        def guarded(function):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return function(*args, **kwargs)

            return call

        for module, name in ((os, "replace"), (os, "remove"), (pq, "write_table")):
            monkeypatch.setattr(module, name, guarded(getattr(module, name)))

    return arm


@pytest.mark.parametrize("job", [compact, lambda output: prune(output, yes=True)], ids=["compact", "prune"])
def test_death_at_any_step_changes_no_view_and_the_next_run_ends_it(tmp_path, monkeypatch, kill_at, job):
    made = tmp_path / "made"
    write(made, "p1", opening("a", "t1", 1, score=1.0) + failure("b", "", 1))
    write(made, "p2", opening("a", "t2", 2, score=2.0) + failure("b", "", 2))
    put(made, "runs", "run1", to_arrow("runs", [row(Run, at=1)]))
    views = [*TABLES, "quality_history"] if job is compact else list(TABLES)
    before = state(made, views)
    for step in itertools.count():
        output = shutil.copytree(made, tmp_path / f"{step}")
        with monkeypatch.context():
            kill_at(step)
            try:
                job(str(output))
                break
            except Killed:
                pass
            finally:
                monkeypatch.undo()
        assert state(output, views) == before
        tables.sweep(str(output))
        assert state(output, views) == before
        assert not [p for p in output.glob("tables/*/*") if p.name[0] in "._"]
        assert not os.path.exists(parts.journal_path(str(output)))
    assert step == 5 + 1 + 5 + 9 + 1  # parts written, journal, parts renamed, parts removed, journal removed


def test_columns_of_newer_and_older_versions_survive(tmp_path):
    full = to_arrow("quality", [row(Quality, "a", score_parts=[ScorePart(part="x", points=1.0, words="w")])])
    narrow = pa.struct([("part", pa.string()), ("points", pa.float64())])
    old_parts = pa.array([[{"part": "y", "points": 2.0}]], pa.list_(narrow))
    old = to_arrow("quality", [row(Quality, "b")]).drop_columns(["score_parts", "hum_hz"])
    old = old.append_column("score_parts", old_parts).append_column("later", pa.array([7]))
    for name, track, part in (("1", "a", full), ("2", "b", old)):
        put(tmp_path, "quality", name, part)
        put(tmp_path, "later_table", name, pa.table({"track_id": [track]}))
        write(tmp_path, name, [row(Work, track)])
    before = state(tmp_path)
    assert "'words': None" in str(before["quality"])
    compact(str(tmp_path))
    assert state(tmp_path) == before
    (part,) = tables.committed_parts(str(tmp_path), "later_table")
    assert pq.read_table(part)["track_id"].to_pylist() == ["a", "b"]


def test_the_documentation_of_columns_survives(tmp_path):
    make(tmp_path)
    compact(str(tmp_path))
    for table, record in MADE.items():
        (part,) = tables.committed_parts(str(tmp_path), table)
        told = [(f.name, f.nullable, f.metadata[b"doc"]) for f in pq.read_schema(part)]
        assert told == [(f.name, f.nullable, f.metadata[b"doc"]) for f in arrow_schema(record)]


def test_prune_says_first_and_removes_when_told(tmp_path):
    make(tmp_path)
    before = state(tmp_path)
    # a: two former contents; b: a former version; c: a mended failure; d: the first of two failures.
    counted = {
        "tracks": 3,
        "quality": 3,
        "tags": 2,
        "defects": 0,
        "verdicts": 0,
        "stems": 0,
        "dead_letters": 2,
        "work": 5,
        "stem files": 0,
    }
    assert prune(str(tmp_path), yes=False) == counted
    assert state(tmp_path) == before
    assert prune(str(tmp_path), yes=True) == counted
    after = state(tmp_path)
    assert {t: after[t] for t in TABLES} == {t: before[t] for t in TABLES}
    assert after["quality_history"] == after["quality"]
    assert not any(prune(str(tmp_path), yes=True).values())


def test_prune_of_what_has_nothing_superseded_touches_no_file(tmp_path):
    write(tmp_path, "1", opening())
    before = [(p, p.stat().st_mtime_ns, p.stat().st_ino) for p in tmp_path.glob("tables/*/*")]
    assert not any(prune(str(tmp_path), yes=True).values())
    assert [(p, p.stat().st_mtime_ns, p.stat().st_ino) for p in tmp_path.glob("tables/*/*")] == before


def test_not_an_output(tmp_path):
    for job in (compact, lambda output: prune(output, yes=True)):
        with pytest.raises(MisuseError, match="not an output"):
            job(str(tmp_path))
