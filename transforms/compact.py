"""Joins small parts of the tables into big ones, and removes rows that nothing refers to any more.

Conventions. Both rewrite groups of parts: new files under temporary names, then the journal, then the new names (`work`
last, which is the moment that the new part counts and the old ones no longer do), then the old files go, then the
journal. A death at any step leaves either the old or the new state (transforms/parts.py reads the journal), and the
next `sweep` removes the rest. Only for the holder of the output's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from transforms import parts, records, schemas, stem_files, tables
from transforms.errors import RunError, SongscanError

PART_ROWS = 100_000  # a part read as a whole needs some 100 MB at most

Rewrite = Callable[[pa.Table, str], pa.Table]


@dataclass(frozen=True, kw_only=True)
class Compacted:
    """What a compaction did, in parts of all tables."""

    parts_before: int
    parts_after: int

    def __str__(self) -> str:
        if self.parts_before == self.parts_after:
            return f"{self.parts_after} parts: nothing to join"
        return f"{self.parts_before} parts became {self.parts_after}"


def compact(output: str, *, part_rows: int = PART_ROWS) -> Compacted:
    """Joins small parts until each has about `part_rows` rows in its longest table; no view changes.

    Raises:
        MisuseError: if `output` is not an output of songscan.
        RunError: if it is on Cloud Storage, if a part is damaged, or if there is no space or no permission to write.
    """
    parts.check_output(output)
    parts.sweep(output)
    before = _count(output)
    for group in _groups(output, part_rows):
        _replace_or_leave(output, group, lambda rows, _: rows)
    return Compacted(parts_before=before, parts_after=_count(output))


def prune(output: str, *, yes: bool, part_rows: int = PART_ROWS) -> dict[str, int]:
    """How many rows are superseded, by table, and how many stem files; removes them if `yes`.

    Superseded is what the current views do not show: results of an earlier content, of an earlier version of the same
    model, of an earlier opening; failures since mended; and the rows of `work` that committed them. The views NAME stay
    as they are, NAME_history loses what is removed. `runs` and tables of other versions of songscan are left alone.

    Raises:
        MisuseError, RunError: as `compact`.
    """
    parts.check_output(output)
    if yes:
        parts.sweep(output)
    connection = tables.connect(output)
    try:
        superseded = {t: _superseded(connection, t) for t in records.TABLES if t != "runs"}
        files = stem_files.superseded_files(connection, output)
        if yes and any(superseded.values()):
            for group in _groups(output, part_rows, whole=True):
                _replace_or_leave(output, group, lambda rows, table: _kept(connection, rows, table))
            stem_files.remove_files(files, output)  # only now that no row names them
    except duckdb.Error as error:
        raise tables.reading_error(output, error) from error
    finally:
        connection.close()
    return {**superseded, "stem files": len(files)}


def _count(output: str) -> int:
    return sum(map(len, parts.committed_names(output).values()))


# Groups of parts ------------------------------------------------------------------------------------------------


def _groups(output: str, part_rows: int, *, whole: bool = False) -> Iterator[list[str]]:
    """File names of parts that become one; with `whole` every part is in a group, else only those worth joining."""
    group: list[str] = []
    rows = 0
    for name, length in sorted(_lengths(output).items()):
        if not whole and length > part_rows // 2:
            continue  # long enough
        if group and rows + length > part_rows:
            yield group
            group, rows = [], 0
        group.append(name)
        rows += length
    if whole or len(group) > 1:
        yield group


def _lengths(output: str) -> dict[str, int]:
    """Rows of the longest part of each name."""
    lengths: dict[str, int] = {}
    for table, names in parts.committed_names(output).items():
        for name in names:
            rows = tables.read_footer(output, parts.part_path(output, table, name)).num_rows
            lengths[name] = max(lengths.get(name, 0), rows)
    return lengths


# One group at a time --------------------------------------------------------------------------------------------


def _replace_or_leave(output: str, group: Sequence[str], rewrite: Rewrite) -> None:
    """`_replace`; where the disk does not allow it, the parts stay as they are, and the unfinished ones go at once.

    Raises:
        RunError: if the disk does not allow it.
    """
    try:
        _replace(output, group, rewrite)
    except OSError as error:
        with contextlib.suppress(OSError, SongscanError):  # else the next run sweeps
            parts.sweep(output)
        raise RunError(
            f"cannot rewrite the tables of {output}: {error.strerror or error}",
            "nothing is lost, and every table shows what it showed before. Joining parts needs as much space as they "
            "take: free some, see that the folder may be written to, and run the same command again",
        ) from error


def _replace(output: str, group: Sequence[str], rewrite: Rewrite) -> None:
    """Puts one part in the place of those named in `group`, in every table, its rows as `rewrite` leaves them."""
    new = f"compact-{hashlib.sha256(json.dumps(group).encode()).hexdigest()[:16]}{parts.SUFFIX}"
    counting = parts.committed_names(output)
    written = []
    for table in parts.table_folders(output):
        old = [parts.part_path(output, table, n) for n in sorted(set(counting[table]) & set(group))]
        if old or table == parts.COMMIT:
            _write(parts.part_path(output, table, f"_{new}"), rewrite(_read(output, table, old), table))
            written.append(table)
    _write_journal(output, parts.Compaction(new=new, old=tuple(group)))
    for table in written:  # `work` is the last
        os.replace(parts.part_path(output, table, f"_{new}"), parts.part_path(output, table, new))
    parts.sweep(output)


def _read(output: str, table: str, paths: Sequence[str]) -> pa.Table:
    """The rows of `paths` with all columns that any of them has: a newer songscan may have written some."""
    schema = schemas.arrow_schema(records.TABLES[table]) if table in records.TABLES else pa.schema([])
    read = [tables.read_part(output, path) for path in paths]
    if all(rows.schema.equals(schema) for rows in read):
        return pa.concat_tables([schema.empty_table(), *read])
    loose = [rows.cast(_loose(rows.schema)) for rows in (schema.empty_table(), *read)]
    joined = pa.concat_tables(loose, promote_options="permissive")
    docs = {field.name: field.metadata for field in schema}
    return joined.cast(pa.schema([field.with_metadata(docs.get(field.name)) for field in joined.schema]))


def _loose(schema: pa.Schema) -> pa.Schema:
    """`schema` with all that may be missing in some part nullable, members of structs included."""
    return pa.schema([pa.field(field.name, _loose_type(field.type)) for field in schema])


def _loose_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _loose_type(field.type)) for field in kind])
    return pa.list_(_loose_type(kind.value_type)) if pa.types.is_list(kind) else kind


def _write(path: str, rows: pa.Table) -> None:
    with open(path, "wb") as file:
        pq.write_table(rows, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())


def _write_journal(output: str, compaction: parts.Compaction) -> None:
    path = parts.journal_path(output)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump({"new": compaction.new, "old": list(compaction.old)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)


# What is superseded ---------------------------------------------------------------------------------------------


def _superseded(connection: Any, table: str) -> int:
    """Counts the rows of `table` that may go; leaves the stamps of those that stay in the table kept.TABLE."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS kept")
    connection.execute(f"CREATE TABLE kept.{table} AS SELECT DISTINCT {_key(table)} FROM ({_staying(table)})")
    query = f"SELECT count(*) FROM parts.{table} ANTI JOIN kept.{table} USING ({_key(table)})"
    return int(connection.execute(query).fetchall()[0][0])


def _key(table: str) -> str:
    more = ("task", "options_digest") if table == parts.COMMIT else ()
    return ", ".join((*tables.STAMP, *more))


def _staying(table: str) -> str:
    """SQL of the rows that stay: the present state, and what it is derived from."""
    shown = f"SELECT {_key(table)} FROM {table}"
    # Which content of a track is the newest is told by these two tables: the row that tells it has to stay.
    telling = (
        f"SELECT {_key(table)} FROM parts.{table} WHERE content_token <> '' "
        "QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY time DESC, run_id DESC) = 1"
    )
    counting = f"SELECT {_key(table)} FROM parts.work SEMI JOIN parts.current_units USING ({_key_of_unit()})"
    committing_stems = f"SELECT {_key(table)} FROM parts.work SEMI JOIN stems USING ({', '.join(tables.STAMP)})"
    return {
        "tracks": f"{shown} UNION ALL ({telling})",
        "work": f"{shown} UNION ALL ({telling}) UNION ALL {counting} UNION ALL {committing_stems}",
    }.get(table, shown)


def _key_of_unit() -> str:
    return ", ".join((*tables.STAMP, "task"))


def _kept(connection: Any, rows: pa.Table, table: str) -> pa.Table:
    """Those of `rows` that stay."""
    if table not in records.TABLES or table == "runs":
        return rows
    numbered = rows.select(_key(table).split(", ")).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    connection.register("numbered", numbered)
    query = f"SELECT row FROM numbered SEMI JOIN kept.{table} USING ({_key(table)}) ORDER BY row"
    staying = connection.sql(query).to_arrow_table()["row"]
    connection.unregister("numbered")
    return rows.take(staying)
