"""The summary of a run, made from its tables alone: what was done, what failed, what it cost, what drifted.

Conventions. Seconds, bytes; shares are 0..1. The names of the fields are those of OUTPUT/state/summaries/RUN_ID.json,
and stable: fields may be added, never changed in meaning (`format` tells if one ever is). A run on a remote runner may
be summed up while it goes on, and again when it is over.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from transforms.errors import MisuseError, RunError
from transforms.nights import Drift, find_drift
from transforms.records import TABLES, Row
from transforms.whole import written_whole

FORMAT = 1
EXAMPLES = 5  #: tracks that are named as the longest and the slowest
LEAST_LENGTH_S = 10.0  #: of those told as slow: a click has nothing but overhead
DECODE = "decode"


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """What became of what was listed; the first six add up to it."""

    not_audio: int
    up_to_date: int
    withheld: int
    written: int
    dead_lettered: int
    listed: int
    failed_again: int  #: those of the dead-lettered that had failed before


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A kind of failure, with an example."""

    stage: str
    reason: str
    tracks: int
    transient: int  #: those of them that are tried again next time
    example_track_id: str
    example_error: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a task cost, added up over the workers; `decode` is fetching, hashing and decoding."""

    task: str
    model_name: str
    model_version: str
    tracks: int
    audio_s: float
    wall_s: float
    share: float  #: of the time of all tasks and decoding, 0..1
    speed: float | None  #: audio over time, one worker's


@dataclass(frozen=True, kw_only=True)
class TrackCost:
    """A track that took long."""

    track_id: str
    audio_s: float
    wall_s: float  #: of decoding and all tasks


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run, summed up."""

    format: int = FORMAT
    run_id: str
    began: datetime
    ended: datetime | None
    status: str
    songscan_version: str
    input: str
    tasks: tuple[str, ...]
    tracks: Tracks
    rows: dict[str, int]  #: by table
    failures: tuple[Failure, ...]  #: the commonest first
    audio_s: float
    wall_s: float | None
    speed: float | None  #: audio over time, all workers together
    bytes_read: int
    costs: tuple[Cost, ...]  #: the dearest first
    longest: tuple[TrackCost, ...]
    slowest: tuple[TrackCost, ...]  #: by time per second of audio
    drift: Drift

    def to_json(self) -> str:
        """As it is written down."""
        told = dataclasses.asdict(self)
        told["drift"] |= {"tested": self.drift.tested, "flags": [dataclasses.asdict(flag) for flag in self.drift.flags]}
        return json.dumps(told, default=_moment, ensure_ascii=True, allow_nan=False, indent=1)


def _moment(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def newest_run(connection: Any) -> str:
    """The identity of the run that began last.

    Raises:
        MisuseError: if there is none.
    """
    rows = connection.execute("SELECT run_id FROM parts.runs ORDER BY time DESC, run_id DESC LIMIT 1").fetchall()
    if not rows:
        raise MisuseError("no run has ended here yet", "a run writes its line into `runs` at its end")
    return str(rows[0][0])


def summarise(connection: Any, run_id: str, drift: Drift | None = None) -> Summary:
    """What the tables tell of a run.

    Args:
        connection: of transforms/tables.py, to the output itself or to a copy of its tables.
        drift: of that run, if it is known already.

    Raises:
        MisuseError: if there is no such run.
    """
    run = _run(connection, run_id)
    connection.execute(_GATHER, {"run": run_id})
    ((bytes_read,),) = connection.execute(_BYTES, {"run": run_id}).fetchall()
    ((audio_s,),) = connection.execute("SELECT coalesce(sum(duration_s), 0) FROM costs_of_tracks").fetchall()
    return Summary(
        **{name: run[name] for name in ("run_id", "ended", "status", "songscan_version", "input", "wall_s")},
        began=run["time"],
        tasks=tuple(run["tasks"]),
        tracks=_tracks(connection, run),
        rows=_row_counts(connection, run_id),
        failures=tuple(Failure(**row) for row in _dicts(connection, _FAILURES, {"run": run_id})),
        audio_s=audio_s,
        speed=audio_s / run["wall_s"] if run["wall_s"] else None,
        bytes_read=bytes_read,
        costs=tuple(Cost(**row) for row in _dicts(connection, _COSTS, {"run": run_id})),
        longest=_examples(connection, "audio_s > 0", "audio_s DESC"),
        slowest=_examples(connection, f"audio_s >= {LEAST_LENGTH_S}", "wall_s / audio_s DESC"),
        drift=find_drift(connection, run_id) if drift is None else drift,
    )


def write_summary(output: str, summary: Summary) -> str:
    """Writes OUTPUT/state/summaries/RUN_ID.json, local or gs://, whole or not at all; its path.

    Raises:
        RunError: if it cannot be written.
    """
    path = f"{output.rstrip('/')}/state/summaries/{summary.run_id}.json"
    try:
        with written_whole(path) as scratch, open(scratch, "w", encoding="utf-8") as file:
            file.write(summary.to_json() + "\n")
    except OSError as error:
        words = f"cannot write {path}: {error.strerror or error}"
        raise RunError(words, "the tables are complete; make room there, then `songscan summary` tells it") from error
    return path


def _dicts(connection: Any, query: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.sql(query, params=parameters or {}).to_arrow_table().to_pylist()
    return rows


def _run(connection: Any, run_id: str) -> dict[str, Any]:
    found = _dicts(connection, "FROM parts.runs WHERE run_id = $run", {"run": run_id})
    if not found:
        raise MisuseError(
            f"there is no run {run_id!r} here", "`songscan query OUTPUT 'SELECT run_id, time FROM runs'` lists them"
        )
    return found[-1]


def _tracks(connection: Any, run: dict[str, Any]) -> Tracks:
    """As the run's line has it; of a run that was submitted, what is in the tables by now."""
    counts = {f.name: run[f.name] or 0 for f in dataclasses.fields(Tracks)}
    if run["status"] == "submitted":
        counts |= _dicts(connection, _OUTCOMES)[0]
        done = sum(counts[name] for name in ("not_audio", "up_to_date", "written", "dead_lettered"))
        counts["withheld"] = max(0, counts["listed"] - done)
    return Tracks(**counts)


def _row_counts(connection: Any, run_id: str) -> dict[str, int]:
    tables = [name for name, record in TABLES.items() if issubclass(record, Row)]
    each = [f"SELECT '{table}', count(*) FROM parts.{table} WHERE run_id = $run" for table in tables]
    return dict(connection.execute(" UNION ALL ".join(each), {"run": run_id}).fetchall())


def _examples(connection: Any, where: str, order: str) -> tuple[TrackCost, ...]:
    rows = "SELECT track_id, coalesce(duration_s, 0) AS audio_s, wall_s FROM costs_of_tracks"
    query = f"FROM ({rows}) WHERE {where} ORDER BY {order}, track_id LIMIT {EXAMPLES}"
    return tuple(TrackCost(**row) for row in _dicts(connection, query))


_GATHER = """
CREATE OR REPLACE TEMP TABLE costs_of_tracks AS
SELECT track_id, w.duration_s, w.ok, w.again, coalesce(w.wall_s, 0) + coalesce(t.wall_s, 0) AS wall_s
FROM (SELECT track_id, max(duration_s) AS duration_s, sum(wall_s) AS wall_s, bool_or(status = 'ok') AS ok,
      max(attempts) > 1 AS again FROM parts.work WHERE run_id = $run GROUP BY track_id) w
LEFT JOIN (SELECT track_id, max(decode_wall_s) AS wall_s FROM parts.tracks WHERE run_id = $run AND state = 'present'
      GROUP BY track_id) t USING (track_id)
"""

_OUTCOMES = """
SELECT count_if(ok) AS written, count_if(NOT ok) AS dead_lettered, count_if(NOT ok AND again) AS failed_again
FROM costs_of_tracks
"""

_BYTES = """
SELECT coalesce(sum(size_bytes), 0)::BIGINT FROM parts.tracks
WHERE run_id = $run AND state = 'present' AND content_token <> ''
"""

_FAILURES = """
SELECT stage, reason, count(DISTINCT track_id) AS tracks, count(DISTINCT track_id) FILTER (transient) AS transient,
    min(track_id) AS example_track_id, arg_min(error, track_id) AS example_error, arg_min(advice, track_id) AS advice
FROM parts.dead_letters WHERE run_id = $run GROUP BY stage, reason ORDER BY tracks DESC, stage, reason
"""

_COSTS = f"""
WITH costs AS (
    SELECT task, model_name, model_version, count(*) AS tracks, coalesce(sum(duration_s), 0) AS audio_s,
        sum(wall_s) AS wall_s FROM parts.work WHERE run_id = $run AND wall_s IS NOT NULL GROUP BY ALL
    UNION ALL
    SELECT '{DECODE}', '', '', count(*), coalesce(sum(c.duration_s), 0), sum(t.decode_wall_s)
    FROM parts.tracks t LEFT JOIN costs_of_tracks c USING (track_id)
    WHERE t.run_id = $run AND t.state = 'present' HAVING sum(t.decode_wall_s) IS NOT NULL)
SELECT *, coalesce(wall_s / nullif(sum(wall_s) OVER (), 0), 0) AS share, audio_s / nullif(wall_s, 0) AS speed
FROM costs ORDER BY wall_s DESC, task, model_name
"""
