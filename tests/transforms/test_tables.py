import json
import os

import duckdb
import pyarrow as pa
import pytest

from tests.transforms.outputs import failure, opening, put, row, write
from transforms import parts, tables
from transforms.errors import MisuseError, RunError
from transforms.records import TABLES, DeadLetter, Quality, Run, TrackFacts, Work
from transforms.schemas import arrow_schema, to_arrow


def rows_of(output, sql):
    with tables.connect(str(output), threads=1) as connection:
        return sorted(connection.execute(sql).fetchall())


def scores(output, view="quality"):
    return rows_of(output, f"SELECT track_id, score FROM {view}")


def test_a_part_counts_only_once_work_has_one_of_its_name(tmp_path):
    write(tmp_path, "one", opening("a", score=1.0))
    write(tmp_path, "two", opening("b", score=2.0), commit=False)
    assert scores(tmp_path) == [("a", 1.0)]
    assert [os.path.basename(p) for p in tables.committed_parts(str(tmp_path), "quality")] == ["one.parquet"]
    write(tmp_path, "two", opening("b", score=2.0))
    assert scores(tmp_path) == [("a", 1.0), ("b", 2.0)]


def test_a_work_part_without_rows_commits(tmp_path):
    write(tmp_path, "gone", [row(TrackFacts, "a", state="removed")])
    assert rows_of(tmp_path, "SELECT track_id, state FROM tracks") == [("a", "removed")]


def test_unfinished_files_are_not_read(tmp_path):
    write(tmp_path, "one", opening())
    for name in (".one.parquet.77", "_two.parquet", "notes.txt"):
        (tmp_path / "tables/quality" / name).write_bytes(b"PAR1 half")
    assert len(scores(tmp_path)) == 1


def test_empty_outputs_have_all_columns(tmp_path):
    (tmp_path / "tables").mkdir()
    with tables.connect(str(tmp_path)) as connection:
        for table, record in TABLES.items():
            for view in (table, f"{table}_history"):
                columns = [d[0] for d in connection.execute(f"FROM {view}").description]
                assert columns == arrow_schema(record).names
                assert connection.execute(f"FROM {view}").fetchall() == []


def test_newest_reading_of_a_track_wins_whatever_the_order_of_parts(tmp_path):
    write(tmp_path, "z", opening("a", at=1, title="old"))
    write(tmp_path, "a", opening("a", at=2, title="new"))
    assert rows_of(tmp_path, "SELECT track_id, title FROM tracks") == [("a", "new")]


def test_history_keeps_versions_and_contents_but_not_openings_of_one_unit(tmp_path):
    write(tmp_path, "1", opening("a", "t1", 1, score=1.0))
    write(tmp_path, "2", opening("a", "t1", 2, score=2.0))
    write(tmp_path, "3", opening("a", "t1", 3, score=3.0, model_version="2"))
    write(tmp_path, "4", opening("a", "t2", 4, score=4.0, model_version="2"))
    assert scores(tmp_path, "quality_history") == [("a", 2.0), ("a", 3.0), ("a", 4.0)]
    assert scores(tmp_path) == [("a", 4.0)]


def test_several_rows_of_the_newest_opening_all_stay(tmp_path):
    old = [row(Quality, at=1, score=s) for s in (1.0, 2.0)]
    new = [row(Quality, at=2, score=s) for s in (3.0, 4.0, 5.0)]
    write(tmp_path, "1", [*old, row(Work, at=1)])
    write(tmp_path, "2", [*new, row(Work, at=2)])
    assert scores(tmp_path) == scores(tmp_path, "quality_history") == [("a", 3.0), ("a", 4.0), ("a", 5.0)]


def test_a_newer_success_without_rows_hides_the_older_rows(tmp_path):
    write(tmp_path, "1", opening("a", at=1))
    write(tmp_path, "2", [row(Work, "a", at=2, model_version="2")])
    assert scores(tmp_path) == []


def test_a_failure_of_a_new_version_leaves_the_old_result(tmp_path):
    write(tmp_path, "1", opening("a", at=1, score=1.0))
    write(tmp_path, "2", [row(Work, "a", at=2, model_version="2", status="failed_transient")])
    assert scores(tmp_path) == [("a", 1.0)]


def test_results_of_a_former_content_are_not_current(tmp_path):
    write(tmp_path, "1", opening("a", "t1", 1))
    write(tmp_path, "2", failure("a", "t2", 2))
    assert scores(tmp_path) == []
    assert len(scores(tmp_path, "quality_history")) == 1


def test_a_file_that_could_not_be_opened_says_nothing_about_its_content(tmp_path):
    write(tmp_path, "1", opening("a", "t1", 1, score=1.0))
    write(tmp_path, "2", failure("a", "", 2))
    assert scores(tmp_path) == [("a", 1.0)]


def test_models_do_not_supersede_each_other(tmp_path):
    write(tmp_path, "1", opening("a", at=1, score=1.0, model_name="x"))
    write(tmp_path, "2", opening("a", at=2, score=2.0, model_name="y"))
    assert scores(tmp_path) == [("a", 1.0), ("a", 2.0)]


def test_a_model_that_serves_two_tasks_keeps_the_rows_of_both(tmp_path):
    write(tmp_path, "1", [row(Quality, at=1, score=1.0), row(Work, at=1)])
    write(tmp_path, "2", [row(Work, at=2, task="features")])
    assert scores(tmp_path) == [("a", 1.0)]


def test_dead_letters_stand_until_mended(tmp_path):
    write(tmp_path, "1", failure("a", at=1) + failure("b", at=1))
    write(tmp_path, "2", opening("a", at=2))
    assert rows_of(tmp_path, "SELECT track_id FROM dead_letters") == [("b",)]
    assert rows_of(tmp_path, "SELECT track_id FROM dead_letters_history") == [("a",), ("b",)]


def test_a_repeated_failure_is_one_dead_letter(tmp_path):
    write(tmp_path, "1", failure("a", at=1, status="failed_transient", attempts=1))
    write(tmp_path, "2", failure("a", at=2, status="failed_transient", attempts=2))
    assert rows_of(tmp_path, "SELECT track_id, attempts FROM dead_letters") == [("a", 2)]


def test_one_failed_task_stands_beside_another_that_is_ok(tmp_path):
    letter = row(DeadLetter, at=1, task="tags", model_name="musicnn")
    failed = row(Work, at=1, task="tags", model_name="musicnn", status="failed_permanent")
    write(tmp_path, "1", [*opening(at=1), letter, failed])
    assert rows_of(tmp_path, "SELECT task FROM dead_letters") == [("tags",)]
    assert len(scores(tmp_path)) == 1


def test_runs_need_no_work_part(tmp_path):
    put(tmp_path, "runs", "r", to_arrow("runs", [row(Run)]))
    assert rows_of(tmp_path, "SELECT run_id FROM runs") == [("run-000",)]


def test_parts_of_other_versions(tmp_path):
    write(tmp_path, "1", opening("a", score=1.0))
    write(tmp_path, "2", opening("b", score=2.0))
    old = to_arrow("quality", [row(Quality, "b", score=2.0)]).drop_columns(["hum_hz", "score_parts"])
    put(tmp_path, "quality", "2", old.append_column("loved", pa.array(["much"])))
    assert rows_of(tmp_path, "SELECT track_id, score, hum_hz, score_parts, loved FROM quality") == [
        ("a", 1.0, None, [], None),
        ("b", 2.0, None, None, "much"),
    ]


@pytest.mark.parametrize("name", ["it's", "we[i]rd *", "名曲 🎵", 'a"b;--'])
def test_any_name_of_the_output_folder(tmp_path, name):
    write(tmp_path / name, "1", opening())
    assert len(scores(tmp_path / name)) == 1


def test_not_an_output(tmp_path):
    for i in range(14):
        (tmp_path / f"song{i:02d}.mp3").touch()
    with pytest.raises(MisuseError, match=r"no folder `tables`.*'song00.mp3'.*'song11.mp3' and 2 more"):
        tables.connect(str(tmp_path))
    with pytest.raises(MisuseError, match="does not exist"):
        tables.connect(str(tmp_path / "nowhere"))
    with pytest.raises(MisuseError, match="is a file"):
        tables.connect(str(tmp_path / "song00.mp3"))
    with pytest.raises(RunError, match="gs://bucket/x is on Cloud Storage"):
        tables.connect("gs://bucket/x")


def test_a_damaged_part_is_named_with_the_remedy(tmp_path):
    write(tmp_path, "good", opening("a"))
    write(tmp_path, "bad", opening("b"))
    path = tmp_path / "tables/quality/bad.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match=r"quality/bad.parquet cannot be read.*Delete 'bad.parquet' from every folder"):
        tables.connect(str(tmp_path))


def test_damage_that_shows_while_reading_is_named_too(tmp_path):
    write(tmp_path, "bad", opening("b" * 5000))
    path = tmp_path / "tables/quality/bad.parquet"
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with tables.connect(str(tmp_path)) as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute("SELECT * FROM quality").fetchall()
    assert "quality/bad.parquet cannot be read" in str(tables.reading_error(str(tmp_path), caught.value))


def test_time_is_utc_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write(tmp_path, "1", opening(at=2))
    assert rows_of(tmp_path, "SELECT time::VARCHAR FROM tracks") == [("2026-01-01 02:00:00+00",)]


# Sweeping -------------------------------------------------------------------------------------------------------


def files(output):
    return sorted(str(p.relative_to(output / "tables")) for p in output.glob("tables/*/*"))


def test_sweep_removes_what_a_dead_run_left_and_nothing_else(tmp_path):
    write(tmp_path, "one", opening("a"))
    put(tmp_path, "runs", "r", to_arrow("runs", [row(Run)]))
    kept = files(tmp_path)
    write(tmp_path, "two", opening("b"), commit=False)
    (tmp_path / "tables/work/.three.parquet.123").touch()
    removed = tables.sweep(str(tmp_path))
    names = ["quality/two.parquet", "tracks/two.parquet", "work/.three.parquet.123"]
    assert sorted(os.path.relpath(p, tmp_path / "tables") for p in removed) == names
    assert files(tmp_path) == kept
    assert tables.sweep(str(tmp_path)) == []


def test_sweep_of_an_output_without_tables_does_nothing(tmp_path):
    assert tables.sweep(str(tmp_path)) == []


def test_a_journal_that_is_none(tmp_path):
    write(tmp_path, "1", opening())
    (tmp_path / "state").mkdir()
    (tmp_path / "state/compaction.json").write_text("{")
    with pytest.raises(RunError, match=r"journal .* cannot be read"):
        tables.connect(str(tmp_path))


@pytest.mark.parametrize("committed", [True, False])
def test_the_journal_decides_which_side_counts(tmp_path, committed):
    write(tmp_path, "old1", opening("a"))
    write(tmp_path, "old2", opening("b"))
    put(tmp_path, "runs", "old3", to_arrow("runs", [row(Run)]))
    write(tmp_path, "new", opening("a") + opening("b"), commit=committed)
    put(tmp_path, "runs", "new", to_arrow("runs", [row(Run)]))
    (tmp_path / "state").mkdir()
    old = [f"old{i}.parquet" for i in (1, 2, 3)]
    (tmp_path / "state/compaction.json").write_text(json.dumps({"new": "new.parquet", "old": old}))
    assert [t for t, _ in scores(tmp_path)] == ["a", "b"]
    assert len(rows_of(tmp_path, "FROM runs")) == 1
    tables.sweep(str(tmp_path))
    assert not os.path.exists(parts.journal_path(str(tmp_path)))
    assert [t for t, _ in scores(tmp_path)] == ["a", "b"]
    assert len(rows_of(tmp_path, "FROM runs")) == 1
    assert ("quality/new.parquet" in files(tmp_path)) == committed
    assert ("quality/old1.parquet" in files(tmp_path)) != committed
