"""The DDL against the one definition of the tables."""

import re

import pytest

from transforms import records
from transforms.bigquery_schema import ddl, table_ddl
from transforms.errors import MisuseError
from transforms.schemas import arrow_schema


@pytest.mark.parametrize("name", records.TABLES)
def test_every_column_is_there_once_in_order_with_its_meaning(name):
    statement = table_ddl("p-1.music", name)
    assert statement.startswith(f"CREATE TABLE IF NOT EXISTS `p-1.music.{name}` (\n")
    schema = arrow_schema(records.TABLES[name])
    assert re.findall(r"^  `(\w+)` ", statement, re.M) == schema.names
    for field in schema:
        (line,) = [line for line in statement.splitlines() if line.startswith(f"  `{field.name}` ")]
        assert ("NOT NULL" in line) == (not field.nullable and not str(field.type).startswith("list"))
        assert field.metadata[b"doc"].decode().replace('"', '\\"') in line


@pytest.mark.parametrize("name", records.TABLES)
def test_partitions_and_clusters_are_of_columns_that_are_there(name):
    statement = table_ddl("music", name)
    names = arrow_schema(records.TABLES[name]).names
    assert "PARTITION BY DATE(time)\n" in statement
    assert "time" in names
    clustered = [column for line in re.findall(r"^CLUSTER BY (.*)$", statement, re.M) for column in line.split(", ")]
    assert set(clustered) <= set(names)
    assert len(clustered) <= 4
    assert clustered[:1] == (["track_id"] if "track_id" in names else clustered[:1])


def test_all_tables():
    assert re.findall(r"`music\.(\w+)`", ddl("music")) == list(records.TABLES)


@pytest.mark.parametrize("dataset", ["", "a.b-c", "a.b.", "music`; DROP TABLE x; --", "my music", "."])
def test_what_is_no_dataset_is_refused(dataset):
    with pytest.raises(MisuseError, match="is no name of a BigQuery dataset"):
        ddl(dataset)
