"""`songscan query` and `songscan schema`: SQL over the tables of an output, and what their columns mean.

Conventions. A query reads, and reads nothing but the tables: it can neither write nor open another file. Tables are for
eyes (shortened, control characters made visible), CSV and JSON for programs (complete, as they are, times in ISO 8601).
"""

from __future__ import annotations

import csv
import datetime
import itertools
import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipelines.visible import cell
from transforms import mirror, records, schemas, tables
from transforms.errors import MisuseError, SongscanError

FORMATS = ("table", "csv", "json")
ROWS_SHOWN = 100  # of a table for reading
_BATCH_ROWS = 1000
_NO_LIMIT = 10_000  # characters of width


def query(output: str, sql: str, format: str = "table", console: Console | None = None) -> None:
    """Prints what `sql` says over the tables of `output`.

    Args:
        sql: one SELECT of DuckDB (DESCRIBE, SUMMARIZE and SHOW TABLES too).
        format: one of FORMATS.

    Raises:
        MisuseError: if the SQL or the format is wrong, or asks for more than to read the tables.
        RunError: if the tables cannot be read.
    """
    if format not in FORMATS:
        raise MisuseError(f"--format={format!r} is not a format", f"Formats are: {', '.join(FORMATS)}")
    console = console or Console()
    output = mirror.readable(output)
    with tables.connect(output) as connection:
        lock(connection, output)
        _check_statement(connection, sql)
        try:
            result = connection.execute(sql)
            names = [column[0] for column in result.description]
            _PRINTERS[format](console, names, _rows(result))
        except duckdb.Error as error:
            raise _explained(connection, output, error) from error


def lock(connection: Any, output: str) -> None:
    """Leaves `connection` nothing to reach but the tables of `output`, for good."""
    folder = os.path.join(output, "tables")
    connection.execute(f"SET allowed_directories = [{tables.literal(folder)}]")
    # Variables of this program are not tables; everything outside the folder is out of reach; and so it stays.
    connection.execute("SET python_enable_replacements = false; SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check_statement(connection: Any, sql: str) -> None:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise MisuseError(
            _first_line(error), "The SQL is DuckDB's: https://duckdb.org/docs/sql/introduction"
        ) from error
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        what = "nothing" if not kinds else kinds[0] if len(kinds) == 1 else f"{len(kinds)} statements"
        raise MisuseError(
            f"A query is one SELECT, and this is {what}",
            "It only reads the tables; to save what it says, use --format csv and send the output to a file",
        )


def _rows(result: Any) -> Iterator[tuple[Any, ...]]:
    while batch := result.fetchmany(_BATCH_ROWS):
        yield from batch


# Errors ---------------------------------------------------------------------------------------------------------


def _explained(connection: Any, output: str, error: duckdb.Error) -> SongscanError:
    message = str(error)
    if isinstance(error, duckdb.PermissionException):
        return MisuseError(_first_line(error), "A query reads the tables of the output and nothing else")
    # What damaged pages lead to has no class of its own.
    if type(error) in (duckdb.Error, duckdb.IOException) or os.path.join(output, "tables") in message:
        return tables.reading_error(output, error)
    suggestion = re.search(r'Did you mean "([^"]*)"', message)
    advice = f'Did you mean "{suggestion[1]}"? ' if suggestion else ""
    if isinstance(error, duckdb.CatalogException):
        return MisuseError(_first_line(error), f"{advice}Tables: {', '.join(_views(connection))}")
    if isinstance(error, duckdb.BinderException):
        return MisuseError(_first_line(error), advice + _columns_in_question(message))
    return MisuseError(_first_line(error), advice or "See the columns and their types with `songscan schema`")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip("!.")


def _views(connection: Any) -> list[str]:
    query = "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal ORDER BY 1"
    return [name for (name,) in connection.execute(query).fetchall()]


def _columns_in_question(message: str) -> str:
    """The columns of the tables that the SQL in DuckDB's `message` names."""
    words = set(re.findall(r"\w+", message))
    named = [name for name in records.TABLES if {name, f"{name}_history"} & words]
    lists = [f"Columns of {name}: {', '.join(schemas.arrow_schema(records.TABLES[name]).names)}" for name in named]
    return ". ".join(lists) or "See the columns and their types with `songscan schema`"


# Printing -------------------------------------------------------------------------------------------------------


def _print_table(console: Console, names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    shown = [[cell(value) for value in row] for row in itertools.islice(rows, ROWS_SHOWN)]
    left_out = sum(1 for _ in rows)
    grid = Table()
    for name in names:
        grid.add_column(cell(name))
    for row in shown:
        grid.add_row(*row)
    if not shown:
        console.print(Text(f"no rows ({', '.join(names)})"))
    elif Measurement.get(console, console.options.update(width=_NO_LIMIT), grid).maximum <= console.width:
        console.print(grid)
    else:
        _print_records(console, names, shown)
    if left_out:
        console.print(f"... and {left_out:,} more rows: add LIMIT, or use --format csv")


def _print_records(console: Console, names: list[str], rows: list[list[Text]]) -> None:
    """One value a line: for rows that are wider than the terminal."""
    for number, row in enumerate(rows, 1):
        console.print(Text(f"row {number}", style="bold"))
        record = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        for name, value in zip(names, row, strict=True):
            record.add_row(cell(name), value)
        console.print(record)


def _print_csv(console: Console, names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    writer = csv.writer(console.file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([json.dumps(_plain(v)) if isinstance(v, list | dict) else _plain(v) for v in row] for row in rows)


def _print_json(console: Console, names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    separator = "["
    for row in rows:
        line = json.dumps(dict(zip(names, map(_plain, row), strict=True)), ensure_ascii=False)
        console.file.write(f"{separator}\n{line}")
        separator = ","
    console.file.write("[]\n" if separator == "[" else "\n]\n")


_PRINTERS = {"table": _print_table, "csv": _print_csv, "json": _print_json}


def _plain(value: Any) -> Any:
    """What JSON and CSV can hold: no NaN, times in ISO 8601."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


# Documentation of the tables ------------------------------------------------------------------------------------


def schema(console: Console | None = None) -> None:
    """Prints what each table and each of its columns means."""
    console = console or Console()
    for name, record in records.TABLES.items():
        console.print(Text(name, style="bold"), Text((record.__doc__ or "").splitlines()[0]))
        grid = Table("column", "type", "meaning", show_edge=False, pad_edge=False)
        for field in schemas.arrow_schema(record):
            optional = ", may be null" if field.nullable else ""
            grid.add_row(
                Text(field.name), Text(type_words(field.type) + optional), Text(field.metadata[b"doc"].decode())
            )
            for member in _members(field.type):
                words = Text(member.metadata[b"doc"].decode())
                grid.add_row(Text(f"  .{member.name}"), Text(type_words(member.type)), words)
        console.print(grid)
        console.print()
    console.print(
        Text("NAME is the present state of a table, NAME_history what is known of earlier contents and versions.")
    )


def type_words(kind: pa.DataType) -> str:
    """An Arrow type in words.

    >>> type_words(pa.list_(pa.float64()))
    'list of numbers'
    """
    if pa.types.is_list(kind):
        return f"list of {type_words(kind.value_type)}s"
    if pa.types.is_struct(kind):
        return "record"
    words = {"string": "text", "int64": "integer", "double": "number", "bool": "true/false"}
    return words.get(str(kind), "time" if pa.types.is_timestamp(kind) else str(kind))


def _members(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_list(kind):
        return _members(kind.value_type)
    return list(kind) if pa.types.is_struct(kind) else []
