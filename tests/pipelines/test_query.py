import csv
import io
import json

import pytest
from rich.console import Console

from pipelines.cli import main
from pipelines.query import query, schema
from tests.transforms.outputs import failure, opening, put, row, write
from transforms.errors import MisuseError, RunError
from transforms.records import TABLES, Quality, Run, ScorePart, Work
from transforms.schemas import arrow_schema, to_arrow

HOSTILE = "[bold]x\n\x1b[31m\u202e名曲"


@pytest.fixture
def output(tmp_path):
    parts = [ScorePart(part="clipping", points=12.5, words="clipped")]
    write(tmp_path, "1", opening(HOSTILE, score=87.5, score_parts=parts, title="a,b") + failure("d"))
    write(tmp_path, "2", opening("b", at=2, score=float("nan")))
    put(tmp_path, "runs", "r", to_arrow("runs", [row(Run)]))
    return str(tmp_path)


def ask(output, sql, format="table"):
    console = Console(file=io.StringIO(), width=80)
    query(output, sql, format, console)
    return console.file.getvalue()


def test_table_shows_rows_and_nothing_is_interpreted(output):
    said = ask(output, "SELECT track_id, score, score_parts FROM quality WHERE score > 0")
    assert "[bold]x␊␛[31m<U+202E>名曲" in said.replace(" ", "")
    assert "87.5" in said
    assert "\x1b" not in said


def test_table_is_cut_with_a_word(output):
    assert "and 150 more rows" in ask(output, "SELECT * FROM range(250)")
    assert "no rows (x)" in ask(output, "SELECT 1 AS x WHERE false")


def test_csv_is_complete(output):
    (names, *rows) = csv.reader(io.StringIO(ask(output, "SELECT track_id, title, score_parts FROM quality JOIN tracks "
        "USING (track_id) ORDER BY score", "csv")))  # fmt: skip
    assert names == ["track_id", "title", "score_parts"]
    assert rows[0] == [HOSTILE, "a,b", '[{"part": "clipping", "points": 12.5, "words": "clipped"}]']


def test_json_is_json(output):
    rows = json.loads(ask(output, "SELECT track_id, score, time FROM quality ORDER BY time", "json"))
    assert rows == [
        {"track_id": HOSTILE, "score": 87.5, "time": "2026-01-01T00:00:00+00:00"},
        {"track_id": "b", "score": None, "time": "2026-01-01T02:00:00+00:00"},
    ]
    assert json.loads(ask(output, "SELECT 1 WHERE false", "json")) == []


def test_all_views_can_be_asked(output):
    for table in TABLES:
        ask(output, f"SELECT count(*) FROM {table}_history")
        ask(output, f"SUMMARIZE {table}")
    assert "dead_letters" in ask(output, "SHOW TABLES")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("COPY (SELECT 1) TO 'TABLES/tracks/evil.csv'", "one SELECT, and this is COPY"),
        ("COPY (SELECT 1) TO '/tmp/evil.csv'", "one SELECT"),
        ("CREATE TABLE x (a INT)", "one SELECT"),
        ("SET enable_external_access = true", "one SELECT"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'TABLES/evil.csv'", "one SELECT"),
        ("ATTACH 'x.db'", "one SELECT"),
        ("SELECT 1; DROP VIEW tracks", "2 statements"),
        ("", "this is nothing"),
        ("FROM read_text('/etc/passwd')", "Cannot access file"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Cannot access file"),
        ("FROM '/etc/passwd'", "passwd"),
        ("FROM glob('/etc/*')", "Cannot access file"),
        ("FROM read_blob('TABLES/../state/x')", "Cannot access file"),
    ],
)
def test_a_query_reads_nothing_but_the_tables_and_writes_nothing(output, sql, reason, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/x").write_text("secret")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MisuseError, match=reason):
        ask(output, sql.replace("TABLES", f"{output}/tables"))
    assert sorted(tmp_path.rglob("*")) == before


def test_variables_of_the_program_are_not_tables(output):
    secret = to_arrow("runs", [row(Run)])
    assert secret.num_rows
    with pytest.raises(MisuseError, match="secret does not exist"):
        ask(output, "FROM secret")


@pytest.mark.parametrize(
    ("sql", "advice"),
    [
        ("SELECT * FROM trackz", 'Did you mean "tracks"'),
        ("SELECT * FROM nothing_like_it", "Tables: .*quality, quality_history"),
        ("SELECT loudness FROM quality", "Columns of quality: track_id, .*integrated_lufs"),
        ("SELECT q.scor FROM quality q", "Columns of quality"),
        ("SELEC 1", "syntax error"),
        ("SELECT 'x'::INT", "Could not convert"),
        ("SELECT nope(1)", "nope does not exist"),
    ],
)
def test_errors_of_sql_come_with_advice(output, sql, advice):
    with pytest.raises(MisuseError, match=advice):
        ask(output, sql)


def test_a_wrong_format(output):
    with pytest.raises(MisuseError, match="'xml' is not a format"):
        ask(output, "SELECT 1", "xml")


def test_damage_is_not_the_fault_of_the_sql(tmp_path):
    write(tmp_path, "bad", [row(Quality, "x" * 5000), row(Work, "x" * 5000)])
    path = tmp_path / "tables/quality/bad.parquet"
    data = bytearray(path.read_bytes())
    data[4:100] = b"\xff" * 96
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"bad\.parquet"):
        ask(str(tmp_path), "SELECT * FROM quality")


def test_schema_tells_every_column():
    console = Console(file=io.StringIO(), width=80)
    schema(console)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    for table, record in TABLES.items():
        assert table in said
        for column in arrow_schema(record).names:
            assert column in said
    assert ".points" in said


def test_schema_as_ddl(capsys):
    assert main(["schema", "--bigquery=project.music"]) == 0
    assert "CREATE TABLE IF NOT EXISTS `project.music.tags` (" in capsys.readouterr().out
