"""The tables that scans leave, read with DuckDB: which of their rows are the present state.

Conventions. transforms/parts.py says which files count. "Newest" is by (time, run_id). An opening of a track is known
by its stamp: track, token, model, run and time. Times are UTC.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow.parquet as pq

from transforms import records, schemas
from transforms.errors import RunError, SongscanError
from transforms.parts import committed_names, committed_parts, part_path, sweep
from transforms.records import STAMP

__all__ = ["STAMP", "committed_parts", "connect", "literal", "narrow", "reading_error", "scan_sql", "sweep", "unit"]

_NEWEST_FIRST = "ORDER BY time DESC, run_id DESC"


def connect(output: str, *, memory_limit: str = "2GB", threads: int | None = None) -> Any:
    """A DuckDB connection with the tables of `output` as views.

    For each table there is NAME_history: all that is known, the newest rows of each (track, token, model, version); and
    NAME, the present state: of `tracks` the newest row per track; of `work` the newest per track, task and model; of
    `dead_letters` those whose failure still stands; of result tables the rows of the newest success, per model, with
    the track's newest content; of `runs` all. Schema `parts` holds the committed rows as they are.

    Args:
        memory_limit: what DuckDB may use before it goes to disk, as in its setting of that name.
        threads: how many it may use; all cores if None.

    Raises:
        MisuseError: if `output` is not an output of songscan.
        RunError: if it is on Cloud Storage, or if a part is damaged.
    """
    parts = {t: [part_path(output, t, n) for n in names] for t, names in committed_names(output).items()}
    connection = duckdb.connect(config=_settings(memory_limit, threads))
    connection.execute("LOAD icu; SET TimeZone = 'UTC'; CREATE SCHEMA parts")  # icu knows time zones
    for table in records.TABLES:
        _create_parts_view(connection, output, table, parts.get(table, []))
    _create_state_views(connection)
    return connection


def narrow(connection: Any, track_id: str) -> None:
    """Leaves of all tables about tracks the rows about `track_id` alone, read once: what follows is fast, then."""
    for table, record in records.TABLES.items():
        if issubclass(record, records.Row):
            rows = f"SELECT * FROM parts.{table} WHERE track_id = $1"
            connection.execute(f"CREATE TABLE parts.{table}_of_track AS {rows}", [track_id])
            connection.execute(f"CREATE OR REPLACE VIEW parts.{table} AS FROM parts.{table}_of_track")


def _settings(memory_limit: str, threads: int | None) -> dict[str, Any]:
    spill = os.path.join(tempfile.gettempdir(), f"songscan-duckdb-{os.getpid()}")  # DuckDB makes and removes it
    settings: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": spill}
    # Without insertion order aggregates and joins stream; nobody may rely on the order of rows anyway.
    settings["preserve_insertion_order"] = False
    return settings if threads is None else {**settings, "threads": threads}


def literal(value: str) -> str:
    """`value` as an SQL string.

    >>> literal("rock 'n' roll")
    "'rock ''n'' roll'"
    """
    return "'" + value.replace("'", "''") + "'"


def scan_sql(output: str, paths: Sequence[str]) -> str:
    """The SQL that reads Parquet files, whatever columns each has.

    Raises:
        RunError: if one is damaged.
    """
    # DuckDB's own union_by_name opens every file again at every use of a view; here every file is looked at once.
    groups: dict[bytes | str, list[str]] = {}
    for path in paths:
        footer = read_footer(output, path)
        groups.setdefault((footer.metadata or {}).get(b"ARROW:schema") or str(footer.schema), []).append(path)
    scans = [f"SELECT * FROM read_parquet([{', '.join(map(literal, group))}])" for group in groups.values()]
    return " UNION ALL BY NAME ".join(scans)


def read_footer(output: str, path: str) -> Any:
    """The Parquet metadata of a part.

    Raises:
        RunError: if it is damaged.
    """
    try:
        return pq.read_metadata(path)
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise _damaged(output, path, error) from error


def read_part(output: str, path: str) -> Any:
    """A part as an Arrow table.

    Raises:
        RunError: if it is damaged.
    """
    try:
        return pq.ParquetFile(path).read()
    except (OSError, ValueError) as error:
        raise _damaged(output, path, error) from error


def _create_parts_view(connection: Any, output: str, table: str, paths: Sequence[str]) -> None:
    # Old parts lack newer columns, and a table may have no part yet: an empty table brings the columns and their order.
    columns = schemas.arrow_schema(records.TABLES[table]).empty_table()
    connection.from_arrow(columns).create(f"parts.{table}_columns")
    rows = f" UNION ALL BY NAME {scan_sql(output, paths)}" if paths else ""
    connection.execute(f"CREATE VIEW parts.{table} AS SELECT * FROM parts.{table}_columns{rows}")


def _create_state_views(connection: Any) -> None:
    connection.execute(_CURRENT_TOKENS)
    connection.execute(_CURRENT_UNITS)
    for table in reversed(records.TABLES):  # `work` is the last table, and dead_letters look at it
        history = f"parts.{table}" if table == "runs" else _newest(table, unit(table), "rank")
        connection.execute(f"CREATE VIEW {table}_history AS FROM ({history})")
        connection.execute(f"CREATE VIEW {table} AS {_current(table)}")


def unit(table: str) -> str:
    """The columns of `table` whose newest rows are known, and the older ones superseded."""
    unit = "track_id, content_token, model_name, model_version"
    more = {"work": ", task, options_digest", "dead_letters": ", task", "stems": ", stem"}
    return unit + more.get(table, "")


def _newest(table: str, per: str, function: str, where: str = "true") -> str:
    """SQL of the newest rows `per` columns: one with row_number, all of the newest opening with rank."""
    return (
        f"SELECT * FROM parts.{table} WHERE {where} QUALIFY {function}() OVER (PARTITION BY {per} {_NEWEST_FIRST}) = 1"
    )


def _current(table: str) -> str:
    special = {
        "runs": "FROM parts.runs",
        "tracks": _newest("tracks", "track_id", "row_number"),
        "work": _newest("work", "track_id, task, model_name", "row_number"),
        "dead_letters": _STANDING_FAILURES,
        "stems": _STANDING_STEMS,
    }
    # A model may serve two tasks: of the openings that still count, the newest that left rows here.
    return special.get(table) or (
        f"SELECT r.* FROM parts.{table} r SEMI JOIN parts.current_units USING ({', '.join(STAMP)}) "
        "QUALIFY rank() OVER (PARTITION BY r.track_id, r.model_name ORDER BY r.time DESC, r.run_id DESC) = 1"
    )


# A track that could not even be opened leaves rows without a token: they do not say that the content changed.
_CURRENT_TOKENS = """
CREATE VIEW parts.current_tokens AS
SELECT track_id, arg_max(content_token, (time, run_id)) AS content_token
FROM (SELECT track_id, content_token, time, run_id FROM parts.tracks
      UNION ALL SELECT track_id, content_token, time, run_id FROM parts.work)
WHERE content_token <> '' GROUP BY track_id
"""

_CURRENT_UNITS = f"""
CREATE VIEW parts.current_units AS
SELECT {", ".join(STAMP)}, task FROM parts.work SEMI JOIN parts.current_tokens USING (track_id, content_token)
WHERE status = 'ok'
QUALIFY row_number() OVER (PARTITION BY track_id, task, model_name {_NEWEST_FIRST}) = 1
"""

# A failure before any task was reached is told once, under the task `decode`, and failed all tasks of that opening.
_STANDING_FAILURES = """
SELECT d.* FROM parts.dead_letters d SEMI JOIN work w
ON d.track_id = w.track_id AND d.run_id = w.run_id AND d.time = w.time
AND w.status <> 'ok' AND d.task IN (w.task, 'decode')
"""

# Stems may be asked for one by one, and each that was made for this content still lies where its row says.
_STANDING_STEMS = f"""
SELECT s.* FROM parts.stems s SEMI JOIN parts.current_tokens USING (track_id, content_token)
SEMI JOIN (FROM parts.work WHERE status = 'ok') USING ({", ".join(STAMP)})
QUALIFY row_number() OVER (PARTITION BY track_id, model_name, stem {_NEWEST_FIRST}) = 1
"""


# Errors ---------------------------------------------------------------------------------------------------------


def reading_error(output: str, error: Exception) -> SongscanError:
    """What an error of DuckDB means that came up while it read the parts of `output`."""
    for table, names in committed_names(output).items():
        for path in (part_path(output, table, name) for name in names):
            try:
                read_part(output, path)
            except RunError as damaged:
                return damaged
    return RunError(
        f"The tables of {output} cannot be read ({str(error).splitlines()[0]})",
        "If a scan or compaction is at work there, ask again; else check the disk, or run `songscan doctor`",
    )


def _damaged(output: str, path: str, error: Exception) -> RunError:
    return RunError(
        f"The part {path} cannot be read ({str(error).splitlines()[0]})",
        f"It was damaged after it was written. Delete {os.path.basename(path)!r} from every folder in "
        f"{os.path.join(output, 'tables')}: its tracks count as not yet scanned then; scan again",
    )
