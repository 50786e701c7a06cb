"""The views of the tables in BigQuery: what transforms/tables.py shows locally, in GoogleSQL.

Conventions. A table NAME holds all rows that were ever published. NAME_history is what is known: the newest rows of
each (track, token, model, version). NAME_now is the present state: the views NAME of transforms/tables.py, row by row.
An opening of a track is known by its stamp; "newest" is by (time, run_id).
"""

from __future__ import annotations

from collections.abc import Callable

from transforms import records
from transforms.records import STAMP
from transforms.tables import unit

_NEWEST_FIRST = "ORDER BY time DESC, run_id DESC"
_Named = Callable[[str], str]


def view_ddl(dataset: str, name: str, sql: str) -> str:
    """The statement that creates a view, or gives it another query."""
    return f"CREATE OR REPLACE VIEW `{dataset}.{name}` AS\n{sql};"


def views(dataset: str) -> dict[str, str]:
    """Name and query of the views of every table in `dataset`, each after those that it reads.

    Args:
        dataset: DATASET, or PROJECT.DATASET, checked before.
    """

    def named(name: str) -> str:
        return f"`{dataset}.{name}`"

    queries = {}
    for table in reversed(records.TABLES):  # `work` is the last table, and dead_letters look at it
        if issubclass(records.TABLES[table], records.Row):
            queries[f"{table}_history"] = _newest(named(table), unit(table), "RANK")
            queries[f"{table}_now"] = _now(table, named)
    return queries


def _newest(table: str, per: str, function: str, where: str = "TRUE") -> str:
    """SQL of the newest rows `per` columns: one with ROW_NUMBER, all of the newest opening with RANK."""
    return f"SELECT * FROM {table}\nWHERE {where}\nQUALIFY {function}() OVER (PARTITION BY {per} {_NEWEST_FIRST}) = 1"


def _now(table: str, named: _Named) -> str:
    special = {"tracks": "track_id", "work": "track_id, task, model_name"}
    if table in special:
        return _newest(named(table), special[table], "ROW_NUMBER")
    if table == "dead_letters":
        return _standing_failures(named)
    if table == "stems":
        return _standing_stems(named)
    # A model may serve two tasks: of the openings that still count, the newest that left rows here.
    return (
        f"WITH {_current_tokens(named)},\n{_current_units(named)}\n"
        f"SELECT r.* FROM {named(table)} AS r\nWHERE {_exists('current_units AS u', 'u', 'r')}\n"
        "QUALIFY RANK() OVER (PARTITION BY r.track_id, r.model_name ORDER BY r.time DESC, r.run_id DESC) = 1"
    )


def _exists(rows: str, one: str, other: str, *, columns: tuple[str, ...] = STAMP, where: str = "") -> str:
    equal = " AND ".join(f"{one}.{column} = {other}.{column}" for column in columns)
    return f"EXISTS (SELECT 1 FROM {rows} WHERE {equal}{where})"


# A track that could not even be opened leaves rows without a token: they do not say that the content changed.
def _current_tokens(named: _Named) -> str:
    return (
        "current_tokens AS (SELECT track_id, content_token FROM (\n"
        f"  SELECT track_id, content_token, time, run_id FROM {named('tracks')} UNION ALL\n"
        f"  SELECT track_id, content_token, time, run_id FROM {named('work')})\n"
        f"WHERE content_token <> ''\nQUALIFY ROW_NUMBER() OVER (PARTITION BY track_id {_NEWEST_FIRST}) = 1)"
    )


def _current_units(named: _Named) -> str:
    current = _exists("current_tokens AS c", "c", "w", columns=("track_id", "content_token"))
    newest = "PARTITION BY w.track_id, w.task, w.model_name ORDER BY w.time DESC, w.run_id DESC"
    return (
        f"current_units AS (SELECT {', '.join(f'w.{column}' for column in STAMP)} FROM {named('work')} AS w\n"
        f"WHERE w.status = 'ok' AND {current}\nQUALIFY ROW_NUMBER() OVER ({newest}) = 1)"
    )


# A failure before any task was reached is told once, under the task `decode`, and failed all tasks of that opening.
def _standing_failures(named: _Named) -> str:
    failed = " AND w.status <> 'ok' AND d.task IN (w.task, 'decode')"
    standing = _exists(f"{named('work_now')} AS w", "d", "w", columns=("track_id", "run_id", "time"), where=failed)
    return f"SELECT d.* FROM {named('dead_letters')} AS d\nWHERE {standing}"


# Stems may be asked for one by one, and each that was made for this content still lies where its row says.
def _standing_stems(named: _Named) -> str:
    current = _exists("current_tokens AS c", "c", "s", columns=("track_id", "content_token"))
    done = _exists(f"{named('work')} AS w", "w", "s", where=" AND w.status = 'ok'")
    newest = "PARTITION BY s.track_id, s.model_name, s.stem ORDER BY s.time DESC, s.run_id DESC"
    return (
        f"WITH {_current_tokens(named)}\nSELECT s.* FROM {named('stems')} AS s\nWHERE {current}\n  AND {done}\n"
        f"QUALIFY ROW_NUMBER() OVER ({newest}) = 1"
    )
