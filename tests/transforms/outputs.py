"""Made outputs: folders of parts as scans leave them, from a few words per row."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import records, schemas

START = datetime(2026, 1, 1, tzinfo=UTC)
FILLERS: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, datetime: START}


def row(record: type, track: str = "a", token: str = "sha256:1", at: int = 0, **columns: Any) -> Any:
    """A row of `record`, opened `at` hours after the start by the run of that hour; what is not told is empty."""
    stamp = {"track_id": track, "content_token": token, "run_id": f"run-{at:03d}", "time": START + timedelta(hours=at)}
    given = {"model_name": "quality", "model_version": "1", "status": "ok", "task": "quality", "state": "present"}
    known = {**given, **stamp, **columns}
    hints = _hints(record)
    names = [field.name for field in dataclasses.fields(record)]
    return record(**{name: known[name] if name in known else _filler(hints[name]) for name in names})


_hints = functools.cache(typing.get_type_hints)  # slow, and asked for at every row


def _filler(hint: Any) -> Any:
    if type(None) in typing.get_args(hint):
        return None
    return [] if typing.get_origin(hint) is list else FILLERS[hint]


def opening(track: str = "a", token: str = "sha256:1", at: int = 0, **columns: Any) -> list[Any]:
    """The rows of a track that went well: facts, quality and work."""
    return [row(record, track, token, at, **columns) for record in (records.TrackFacts, records.Quality, records.Work)]


def failure(track: str = "a", token: str = "sha256:1", at: int = 0, **columns: Any) -> list[Any]:
    """The rows of a track that failed before any task."""
    work = row(records.Work, track, token, at, **{"status": "failed_permanent", **columns, "task": "quality"})
    return [row(records.DeadLetter, track, token, at, task="decode", **columns), work]


def write(output: Any, name: str, rows: Sequence[Any], *, commit: bool = True) -> None:
    """One flush: parts of that name, the one of `work` last, and not at all if the run is killed before."""
    for table, record in records.TABLES.items():
        of_table = [r for r in rows if type(r) is record]
        if (of_table and table != "work") or (commit and table == "work" and rows):
            put(output, table, name, schemas.to_arrow(table, of_table))


def put(output: Any, table: str, name: str, rows: pa.Table) -> None:
    """One part."""
    folder = os.path.join(output, "tables", table)
    os.makedirs(folder, exist_ok=True)
    pq.write_table(rows, os.path.join(folder, f"{name}.parquet"))
