"""The tables as BigQuery knows them: DDL from their one definition in transforms/records.py.

Conventions. GoogleSQL. A table is partitioned by the day of its rows' `time` (UTC), which is the date of the scan, and
clustered by track, model and, where a track has many rows, what tells them apart. Arrays cannot be null in BigQuery,
and are never declared so; every other column that is never null is NOT NULL. One table more than records.py has,
`parts`, says which parts were published (transforms/publish.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from transforms import records, schemas
from transforms.bigquery_views import view_ddl
from transforms.bigquery_views import views as views_of
from transforms.errors import MisuseError

CLUSTERED_BY = (
    "track_id",
    "model_name",
    "model_version",
    "task",
    "label",
    "stem",
    "class",
)  #: the first four that a table has
MOST_CLUSTERED = 4
PARTS = "parts"  #: the table of what was published
_SCALARS = {
    pa.string(): "STRING",
    pa.int64(): "INT64",
    pa.float64(): "FLOAT64",
    pa.bool_(): "BOOL",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}


@dataclass(frozen=True, kw_only=True)
class PublishedPart:
    """One row per part that was published: it need not be loaded again."""

    IDENTITY: ClassVar = ("table_name", "name", "revision")
    table_name: str = records.column("the table that it is a part of")
    name: str = records.column("its file name")
    revision: str = records.column("the storage's mark of its content: size and time, or size and CRC32C")
    publication: str = records.column("the publication that loaded it: UTC time and a random suffix")
    time: datetime = records.column("when its rows were in the table, UTC")


RECORDS: dict[str, Any] = {**records.TABLES, PARTS: PublishedPart}


def ddl(dataset: str) -> str:
    """Statements that create every table in `dataset` where it is not there yet, and the views of them.

    Args:
        dataset: DATASET, or PROJECT.DATASET.

    Raises:
        MisuseError: if that is no name of a dataset.
    """
    views = [view_ddl(dataset, name, sql) for name, sql in views_of(dataset).items()]
    return "\n\n".join([*(table_ddl(dataset, name) for name in RECORDS), *views])


def table_ddl(dataset: str, name: str) -> str:
    """The statement that creates the table `name` where it is not there yet.

    Raises:
        MisuseError: if `dataset` is no name of a dataset.

    >>> print(table_ddl("music", "stems").splitlines()[0])
    CREATE TABLE IF NOT EXISTS `music.stems` (
    """
    if not re.fullmatch(r"([a-z0-9:.-]+\.)?[A-Za-z0-9_]+", dataset):
        raise MisuseError(f"{dataset!r} is no name of a BigQuery dataset", "write DATASET or PROJECT.DATASET")
    schema = schemas.arrow_schema(RECORDS[name])
    columns = ",\n".join(f"  {_column(field)}" for field in schema)
    clustered = [column for column in CLUSTERED_BY if column in schema.names][:MOST_CLUSTERED]
    cluster = f"CLUSTER BY {', '.join(clustered)}\n" if clustered else ""
    words = quoted((RECORDS[name].__doc__ or "").splitlines()[0])
    return (
        f"CREATE TABLE IF NOT EXISTS `{dataset}.{name}` (\n{columns}\n)\n"
        f"PARTITION BY DATE(time)\n{cluster}OPTIONS (description = {words});"
    )


def loose_schema(record: type) -> pa.Schema:
    """The Arrow schema of a table whose columns may all be null: parts of older versions lack some."""
    return pa.schema([pa.field(field.name, field.type) for field in schemas.arrow_schema(record)])


def added_columns_ddl(dataset: str, name: str, there: Collection[str]) -> list[str]:
    """Statements that add to the table `name` what it lacks, null in the rows that are in it.

    Args:
        there: names of the columns that it has.
    """
    lacking = [field.with_nullable(True) for field in schemas.arrow_schema(RECORDS[name]) if field.name not in there]
    return [f"ALTER TABLE `{dataset}.{name}` ADD COLUMN IF NOT EXISTS {_column(field)};" for field in lacking]


def _column(field: pa.Field) -> str:
    must = "" if field.nullable or pa.types.is_list(field.type) else " NOT NULL"
    return f"`{field.name}` {type_of(field.type)}{must} OPTIONS (description = {quoted(_doc(field))})"


def type_of(kind: pa.DataType) -> str:
    """An Arrow type as GoogleSQL names it.

    >>> type_of(pa.list_(pa.float64())), type_of(pa.struct([pa.field("a", pa.string())]))
    ('ARRAY<FLOAT64>', 'STRUCT<`a` STRING>')
    """
    if pa.types.is_list(kind):
        return f"ARRAY<{type_of(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'`{member.name}` {type_of(member.type)}' for member in kind)}>"
    return _SCALARS[kind]


def _doc(field: pa.Field) -> str:
    words: bytes = (field.metadata or {}).get(b"doc", b"")
    return words.decode()


def quoted(words: str) -> str:
    """A string literal: GoogleSQL has JSON's escapes.

    >>> quoted("it's \\"so\\"")
    '"it\\'s \\\\"so\\\\""'
    """
    return json.dumps(words, ensure_ascii=False)
