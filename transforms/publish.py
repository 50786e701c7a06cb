"""Finished Parquet parts to BigQuery: every committed part once, whatever died in between.

Conventions. The table `parts` of the dataset says which parts are in; the others are new. Table by table, `work` last,
new parts are loaded into a staging table, merged from there (transforms/bigquery_merge.py) and written down in `parts`.
A publication that dies leaves at most a staging table: the next one merges the same parts again, which adds nothing
that is there already. Before it merges, it removes the staging tables of others and waits for their MERGE, should one
still run: two MERGEs of the same rows at a time would not see each other's, and write them twice.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import bigquery, gcs, mirror, parts, records, schemas
from transforms.bigquery import Dataset, Warehouse
from transforms.bigquery_merge import days_sql, merge_sql, stage_ddl
from transforms.bigquery_schema import (
    PARTS,
    RECORDS,
    PublishedPart,
    added_columns_ddl,
    loose_schema,
    table_ddl,
)
from transforms.bigquery_views import view_ddl, views
from transforms.errors import MisuseError
from transforms.tables import read_part

UPLOAD_BYTES = 256 << 20  # of local parts that are sent as one file; one part at least

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A committed part of one table."""

    name: str
    path: str  #: local, or gs://
    revision: str  #: equal revisions are taken as equal content
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a publication did."""

    parts: int  #: of all tables
    rows: Mapping[str, int]  #: added or brought up to date, by table; tables without new parts are left out


def publish(output: str, results: Dataset, tell: Tell = lambda _: None, *, prepared: bool = False) -> Published:
    """Brings the rows of all committed parts of `output` into the tables of `results`, and makes tables and views.

    Only one publication of an output at a time: whoever holds the lock of a local one.

    Args:
        output: a local folder, or gs://BUCKET/FOLDER.
        tell: is given a line for every table that got rows.
        prepared: `prepare` was called not long ago, so that tables and views need not be looked at again.

    Raises:
        MisuseError: if `output` is no output of songscan, or the dataset is not there or may not be written.
        RunError: if a part is damaged, BigQuery refuses one, or cannot be reached; what is published already stays.
    """
    found = find_parts(output)
    warehouse = bigquery.connect(results)
    publication = f"{datetime.now(UTC):%Y%m%dT%H%M%S}_{secrets.token_hex(3)}"
    if not prepared:
        make_tables(warehouse, publication)
    known = _published(warehouse, publication)
    new = {t: [p for p in found.get(t, []) if (t, p.name, p.revision) not in known] for t in records.TABLES}
    rows = {}
    for table in (table for table in records.TABLES if new[table]):  # `work` is the last: it commits the others
        rows[table] = _publish_table(warehouse, table, new[table], publication)
        tell(f"{table}: {rows[table]:,} rows, from {len(new[table]):,} parts")
    return Published(parts=sum(map(len, new.values())), rows=rows)


def prepare(results: Dataset) -> None:
    """Makes the tables and views, as far as they are not there, and sees that they fit.

    Raises:
        MisuseError, RunError: as `make_tables`.
    """
    make_tables(bigquery.connect(results), f"{datetime.now(UTC):%Y%m%dT%H%M%S}_{secrets.token_hex(3)}")


def make_tables(warehouse: Warehouse, publication: str) -> None:
    """Creates what is not there yet: tables, columns, views.

    Raises:
        MisuseError, RunError: as `bigquery.connect`.
    """
    dataset, there = str(warehouse.dataset), set(warehouse.tables())
    statements = [table_ddl(dataset, table) for table in RECORDS if table not in there]
    for table in (table for table in RECORDS if table in there):
        statements += added_columns_ddl(dataset, table, warehouse.columns(table))
    for name, sql in views(dataset).items():
        if statements or name not in there or warehouse.view_sql(name) != sql:  # a new column shows in a new view
            statements.append(view_ddl(dataset, name, sql))
    if statements:
        what = f"The tables of {dataset} cannot be made"
        warehouse.query("\n".join(statements), f"songscan-tables-{publication}", what)


# Parts ----------------------------------------------------------------------------------------------------------


def find_parts(output: str) -> dict[str, list[Part]]:
    """The committed parts of `output`, by table, sorted by name.

    Raises:
        MisuseError: if `output` is no output of songscan.
    """
    if gcs.is_gcs(output):
        return _find_on_gcs(output.rstrip("/"))
    return {
        table: [_local_part(parts.part_path(output, table, name)) for name in names]
        for table, names in parts.committed_names(output).items()
    }


def _local_part(path: str) -> Part:
    stat = os.stat(path)
    revision = f"{stat.st_size}-{stat.st_mtime_ns}"
    return Part(name=os.path.basename(path), path=path, revision=revision, size_bytes=stat.st_size)


def _find_on_gcs(output: str) -> dict[str, list[Part]]:
    found = mirror.list_parts(output)
    if not any(found.values()):
        raise MisuseError(
            f"{output!r} is not an output of songscan: it has no tables",
            "Give the place that `songscan scan INPUT OUTPUT` wrote to",
        )
    counting = parts.counting({table: sorted(those) for table, those in found.items()})
    return {table: [_remote_part(name, found[table][name]) for name in names] for table, names in counting.items()}


def _remote_part(name: str, found: gcs.Object) -> Part:
    return Part(name=name, path=found.uri, revision=found.revision, size_bytes=found.size_bytes)


def _published(warehouse: Warehouse, publication: str) -> set[tuple[str, str, str]]:
    """Table, name and revision of every part that is in."""
    sql = f"SELECT table_name, name, revision FROM `{warehouse.name(PARTS)}`"
    rows = warehouse.query(sql, f"songscan-known-{publication}", f"{warehouse.name(PARTS)} cannot be read")
    return {tuple(row.values()) for row in rows}


# One table ------------------------------------------------------------------------------------------------------


def _publish_table(warehouse: Warehouse, table: str, new: Sequence[Part], publication: str) -> int:
    """Brings the rows of `new` into `table`; how many were added."""
    stage = f"{_stages_of(table)}{publication}"
    what = f"{len(new):,} new parts of `{table}`, {new[0].name} the first, cannot be published"
    create = stage_ddl(warehouse.name(stage), loose_schema(RECORDS[table]))
    warehouse.query(create, f"songscan-create-{stage}", what)
    _clear_others(warehouse, table, stage)
    for number, (source, name) in enumerate(_sources(table, new)):
        warehouse.load(source, stage, f"songscan-load-{stage}-{number}", f"{name} of `{table}` cannot be loaded")
    added = _merge(warehouse, table, stage, what)
    _write_down(warehouse, table, new, publication)
    warehouse.drop(stage)
    return added


def _stages_of(table: str) -> str:
    return f"stage_{table}_"


def _clear_others(warehouse: Warehouse, table: str, stage: str) -> None:
    """Ends what other publications of `table` left: a MERGE without its staging table fails, or is through with it."""
    for other in warehouse.tables():
        if other.startswith(_stages_of(table)) and other != stage:
            warehouse.drop(other)
            warehouse.settle(_merge_stem(other))


def _merge_stem(stage: str) -> str:
    return f"songscan-merge-{stage}"


def _merge(warehouse: Warehouse, table: str, stage: str, what: str) -> int:
    days = [row["day"] for row in warehouse.query(days_sql(warehouse.name(stage)), f"songscan-days-{stage}", what)]
    if not days:
        return 0  # parts of `work` without rows commit the others'
    sql = merge_sql(str(warehouse.dataset), table, warehouse.name(stage), days)
    return warehouse.change(sql, _merge_stem(stage), what)


def _write_down(warehouse: Warehouse, table: str, new: Sequence[Part], publication: str) -> None:
    now = datetime.now(UTC)
    rows = [
        {"table_name": table, "name": part.name, "revision": part.revision, "publication": publication, "time": now}
        for part in new
    ]
    written = pa.Table.from_pylist(rows, schema=schemas.arrow_schema(PublishedPart))
    with tempfile.TemporaryDirectory(prefix="songscan-publish-") as folder:
        path = os.path.join(folder, "parts.parquet")
        warehouse.load_rows(written.to_batches(), written.schema, path, PARTS, f"songscan-parts-{table}-{publication}")


# What is loaded -------------------------------------------------------------------------------------------------


def _sources(table: str, new: Sequence[Part]) -> Iterator[tuple[str | list[str], str]]:
    """What one load job after another takes, with words for it: URIs, or a local file that goes when the next comes."""
    if gcs.is_gcs(new[0].path):
        for start in range(0, len(new), bigquery.MOST_URIS):
            batch = new[start : start + bigquery.MOST_URIS]
            yield [part.path for part in batch], _named(batch)
        return
    for group in _groups(new):
        with tempfile.TemporaryDirectory(prefix="songscan-publish-") as folder:
            yield _joined(table, group, os.path.join(folder, "rows.parquet")), _named(group)


def _named(group: Sequence[Part]) -> str:
    return group[0].name if len(group) == 1 else f"{len(group):,} parts, {group[0].name} to {group[-1].name},"


def _groups(new: Sequence[Part]) -> Iterator[list[Part]]:
    """Local parts that go into one file: few jobs however many parts there are, and no file beyond all bounds."""
    group: list[Part] = []
    size_bytes = 0
    for part in new:
        if group and size_bytes + part.size_bytes > UPLOAD_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(part)
        size_bytes += part.size_bytes
    yield group


def _joined(table: str, group: Sequence[Part], path: str) -> str:
    """One Parquet file at `path` with the rows of all parts, and all columns that `table` has."""
    schema = loose_schema(RECORDS[table])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in group:
            writer.write_table(_conformed(part.path, schema))
    return path


def _conformed(path: str, schema: pa.Schema) -> pa.Table:
    rows = read_part(os.path.dirname(os.path.dirname(os.path.dirname(path))), path)
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
