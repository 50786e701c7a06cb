"""The DDL against the one definition of the tables."""

import re

import pytest

from transforms import records
from transforms.bigquery_schema import RECORDS, added_columns_ddl, ddl, table_ddl
from transforms.errors import MisuseError
from transforms.schemas import arrow_schema


@pytest.mark.parametrize("name", RECORDS)
def test_every_column_is_there_once_in_order_with_its_meaning(name):
    statement = table_ddl("p-1.music", name)
    assert statement.startswith(f"CREATE TABLE IF NOT EXISTS `p-1.music.{name}` (\n")
    schema = arrow_schema(RECORDS[name])
    assert re.findall(r"^  `(\w+)` ", statement, re.M) == schema.names
    for field in schema:
        (line,) = [line for line in statement.splitlines() if line.startswith(f"  `{field.name}` ")]
        assert ("NOT NULL" in line) == (not field.nullable and not str(field.type).startswith("list"))
        assert field.metadata[b"doc"].decode().replace('"', '\\"') in line


@pytest.mark.parametrize("name", RECORDS)
def test_partitions_and_clusters_are_of_columns_that_are_there(name):
    statement = table_ddl("music", name)
    names = arrow_schema(RECORDS[name]).names
    assert "PARTITION BY DATE(time)\n" in statement
    assert "time" in names
    clustered = [column for line in re.findall(r"^CLUSTER BY (.*)$", statement, re.M) for column in line.split(", ")]
    assert set(clustered) <= set(names)
    assert len(clustered) <= 4
    assert clustered[:1] == (["track_id"] if "track_id" in names else clustered[:1])


def test_all_tables_and_then_their_views():
    made = re.findall(r"^CREATE .*`music\.(\w+)`", ddl("music"), re.M)
    assert made[: len(RECORDS)] == [*records.TABLES, "parts"]
    views = {f"{table}_{kind}" for table in records.TABLES if table != "runs" for kind in ("now", "history")}
    assert sorted(made[len(RECORDS) :]) == sorted(views)


def test_a_column_that_is_lacking_may_be_null_in_the_rows_that_are_there():
    there = [name for name in arrow_schema(RECORDS["work"]).names if name not in ("task", "wall_s")]
    first, second = added_columns_ddl("music", "work", there)
    assert first.startswith("ALTER TABLE `music.work` ADD COLUMN IF NOT EXISTS `task` STRING OPTIONS (description")
    assert "`wall_s` FLOAT64" in second


@pytest.mark.parametrize("dataset", ["", "a.b-c", "a.b.", "music`; DROP TABLE x; --", "my music", "."])
def test_what_is_no_dataset_is_refused(dataset):
    with pytest.raises(MisuseError, match="is no name of a BigQuery dataset"):
        ddl(dataset)
