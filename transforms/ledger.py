"""What is due: a catalogue minus the ledger, as a plan file of small shards.

Conventions. The ledger is `tracks_history` and `work_history` of transforms/tables.py. A unit of work is (track,
content token, task, model name, model version, options digest); it is done if its newest row is ok or failed_permanent.
The state of a track is its newest row, its content the newest row with a token: a track that could not be opened leaves
a row without one, which does not say that the content changed. A track is fresh if its newest row has a token, is
`present`, and has the revision that is listed now: then only tasks that are not done are due, and it is up to date if
there are none. Any other track has to be opened: the tasks done for its known content are `tasks_if_changed`. Sets of
tasks are bit masks in SQL, in the order of `tasks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from transforms.errors import MisuseError
from transforms.listing import Listing
from transforms.records import Task, Track
from transforms.shards import count_shards, read_shard, write_shards
from transforms.tables import literal

__all__ = ["Plan", "Unmeasured", "count_shards", "plan", "read_shard"]

_SAMPLED = 200
_MOST_TASKS = 60  # bits in a mask
_TRACK_COLUMNS = [field.name for field in dataclasses.fields(Track)]


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """Due tracks of one file extension whose length nobody knows yet."""

    tracks: int
    size_bytes: int
    sample: tuple[tuple[str, int], ...]  #: URI and size of some of them, drawn by digest


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is going to do; listed = not_audio + up_to_date + withheld + due."""

    path: str
    shards: int
    listed: int
    not_audio: int
    up_to_date: int  #: nothing is due
    withheld: int  #: due, but left out by `since`, `track_ids` or `max_tracks`
    due: int
    removed: Mapping[str, str]  #: track id -> content token of what is no longer listed
    perhaps_moved: tuple[str, ...]  #: due ids, unknown so far, of the size of something removed; see `changes.moved`
    missing_ids: tuple[str, ...]  #: of `track_ids`, those that are not listed
    known_s: float  #: length of the due tracks whose length is known
    unmeasured: Mapping[str, Unmeasured]  #: the others, by extension


def plan(
    listing: Listing,
    ledger: Any,
    tasks: Sequence[Task],
    *,
    out_path: str,
    force: bool = False,
    since: datetime | None = None,
    track_ids: Collection[str] | None = None,
    max_tracks: int | None = None,
) -> Plan:
    """Subtracts the ledger from `listing`, and writes what is due to `out_path`.

    What is up to date counts as such, whatever the limits; limits withhold only what is due. Of `max_tracks`, the first
    listed are taken. Neighbours in the listing come to lie in different shards.

    Args:
        ledger: a connection by `tables.connect`; temporary tables are made in it.
        out_path: plan file, local or gs://.
        force: all tasks are due, done or not.
        since: tracks modified before it are withheld, and those of which nobody knows when; with time zone.
        track_ids: only these tracks.

    Raises:
        MisuseError: if the catalogue is empty, `since` has no time zone, or none of `track_ids` is listed.
    """
    if since is not None and since.tzinfo is None:
        raise MisuseError(f"since={since.isoformat()} has no time zone", "Write 2026-01-31T00:00:00+00:00.")
    assert 0 < len(tasks) <= _MOST_TASKS
    ledger.execute(
        "CREATE OR REPLACE TEMP VIEW listed AS SELECT *, file_row_number AS ordinal FROM "
        f"read_parquet({literal(listing.file())}, file_row_number = true)"
    )
    missing = _missing(ledger, track_ids)
    _load(ledger, tasks)
    everything = (1 << len(tasks)) - 1
    ledger.execute(_JUDGED, {"all": everything, "force": force})
    ledger.execute(
        _CHOSEN, {"since": since, "all_ids": track_ids is None, "most": 2**62 if max_tracks is None else max_tracks}
    )
    listed, not_audio, up_to_date, due = ledger.execute(_COUNTS).fetchall()[0]
    removed = _removed(ledger, listing)
    return Plan(
        path=out_path,
        shards=write_shards(lambda turn: ledger.sql(_PLANNED, params={"turn": turn, "due": due}), tasks, due, out_path),
        listed=listed,
        not_audio=not_audio,
        up_to_date=up_to_date,
        withheld=listed - not_audio - up_to_date - due,
        due=due,
        removed=removed,
        perhaps_moved=tuple(row[0] for row in ledger.execute(_PERHAPS_MOVED).fetchall()),
        missing_ids=missing,
        known_s=ledger.execute(_KNOWN_S).fetchall()[0][0],
        unmeasured=_unmeasured(ledger),
    )


# Steps ----------------------------------------------------------------------------------------------------------


def _table(ledger: Any, name: str, columns: Mapping[str, pa.Array]) -> None:
    ledger.register("incoming", pa.table(dict(columns)))
    ledger.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM incoming")
    ledger.unregister("incoming")


def _missing(ledger: Any, track_ids: Collection[str] | None) -> tuple[str, ...]:
    _table(ledger, "wanted", {"track_id": pa.array(sorted(track_ids or ()), pa.string())})
    rows = ledger.execute("FROM wanted ANTI JOIN listed USING (track_id) ORDER BY track_id").fetchall()
    if track_ids is not None and len(rows) == len(set(track_ids)):
        named = ", ".join(repr(row[0]) for row in rows[:5])
        raise MisuseError(
            f"no such track in the catalogue: {named or 'none is named'}",
            "See the ids: songscan show. One with a comma goes into a file: --track_ids=@FILE.",
        )
    return tuple(row[0] for row in rows)


def _load(ledger: Any, tasks: Sequence[Task]) -> None:
    asked = {name: pa.array([getattr(task, name) for task in tasks], pa.string()) for name in Task.__annotations__}
    bits = pa.array([1 << n for n in range(len(tasks))], pa.int64())
    _table(ledger, "asked", {"bit": bits, **asked})
    ledger.execute(_FACTS)
    ledger.execute(_KNOWN)
    ledger.execute("DROP TABLE facts")
    ledger.execute(_DONE)


def _removed(ledger: Any, listing: Listing) -> dict[str, str]:
    gone: list[tuple[str, str, int]] = []
    if listing.notes.complete:
        rows = ledger.execute(_NOT_LISTED)
        while chunk := rows.fetchmany(10_000):
            gone += [(track_id, token or "", size) for track_id, uri, token, size in chunk if listing.covers(uri)]
    _table(ledger, "removed", {"size_bytes": pa.array((size for *_, size in gone), pa.int64())})
    return {track_id: token for track_id, token, _ in sorted(gone)}


def _unmeasured(ledger: Any) -> dict[str, Unmeasured]:
    ledger.execute(_UNMEASURED)
    totals = ledger.execute(
        "SELECT extension, count(*), sum(size_bytes)::BIGINT FROM unmeasured GROUP BY ALL"
    ).fetchall()
    share = max(1, _SAMPLED // max(1, len(totals)))
    most = _SAMPLED if sum(count for _, count, _ in totals) <= _SAMPLED else share
    sample: dict[str, list[tuple[str, int]]] = {}
    for extension, uri, size in ledger.execute(_SAMPLE, {"most": most}).fetchall():
        sample.setdefault(extension, []).append((uri, size))
    return {
        extension: Unmeasured(tracks=count, size_bytes=size, sample=tuple(sample[extension]))
        for extension, count, size in sorted(totals)
    }


# SQL ------------------------------------------------------------------------------------------------------------

_FACTS = """
CREATE OR REPLACE TEMP TABLE facts AS
SELECT track_id, content_token, run_id, time, uri, size_bytes, revision, state, duration_s FROM tracks_history
"""

_KNOWN = """
CREATE OR REPLACE TEMP TABLE known AS
WITH newest AS (FROM facts QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY time DESC, run_id DESC) = 1),
unread AS (SELECT track_id FROM newest WHERE content_token = ''),
read_before AS (FROM facts SEMI JOIN unread USING (track_id) WHERE content_token <> ''
    QUALIFY row_number() OVER (PARTITION BY track_id ORDER BY time DESC, run_id DESC) = 1)
SELECT n.track_id, n.uri, n.size_bytes, n.revision, n.state, n.content_token AS newest_token,
    CASE WHEN n.content_token <> '' THEN n.content_token ELSE b.content_token END AS token,
    CASE WHEN n.content_token <> '' THEN n.duration_s ELSE b.duration_s END AS duration_s
FROM newest n LEFT JOIN read_before b USING (track_id)
"""

_DONE = """
CREATE OR REPLACE TEMP TABLE done AS
WITH per_task AS (
    SELECT w.track_id, a.bit,
        bool_or(w.status IN ('ok', 'failed_permanent') AND w.content_token <> '') AS done,
        bool_or(w.status = 'failed_permanent' AND w.content_token = '') AS hopeless,
        arg_max(CASE WHEN w.status = 'failed_transient' THEN w.attempts ELSE 0 END, w.time) AS attempts
    FROM work_history w
    JOIN asked a ON w.task = a.name AND w.model_name = a.model_name AND w.model_version = a.model_version
        AND w.options_digest = a.options_digest
    JOIN known k ON w.track_id = k.track_id AND (w.content_token = k.token OR w.content_token = k.newest_token)
    GROUP BY ALL)
SELECT track_id, bit_or(CASE WHEN done THEN bit ELSE 0 END) AS done,
    bit_or(CASE WHEN hopeless THEN bit ELSE 0 END) AS hopeless, max(attempts) AS attempts
FROM per_task GROUP BY track_id
"""

_JUDGED = """
CREATE OR REPLACE TEMP TABLE judged AS
WITH compared AS (
    SELECT l.ordinal, l.track_id, l.modified, k.track_id IS NULL AS unknown, coalesce(d.done, 0) AS done, k.duration_s,
        coalesce(k.revision = l.revision, false) AS same,
        same AND k.newest_token <> '' AND k.state = 'present' AS fresh,
        CASE WHEN same AND k.newest_token = '' THEN coalesce(d.hopeless, 0) ELSE 0 END AS hopeless,
        CASE WHEN same THEN coalesce(d.attempts, 0) ELSE 0 END AS attempts
    FROM listed l LEFT JOIN known k USING (track_id) LEFT JOIN done d USING (track_id) WHERE l.kind <> 'not_audio')
SELECT ordinal, track_id, modified, unknown, attempts, CASE WHEN fresh THEN duration_s END AS duration_s,
    CASE WHEN $force THEN $all::BIGINT ELSE $all::BIGINT & ~done & ~hopeless END AS tasks,
    CASE WHEN fresh OR $force THEN 0 ELSE $all::BIGINT & done & ~hopeless END AS tasks_if_changed,
    NOT $force AND ((fresh AND tasks = 0) OR hopeless = $all::BIGINT) AS up_to_date
FROM compared
"""

_CHOSEN = """
CREATE OR REPLACE TEMP TABLE chosen AS
SELECT *, row_number() OVER (ORDER BY ordinal) - 1 AS place FROM judged
WHERE NOT up_to_date AND ($since::TIMESTAMPTZ IS NULL OR coalesce(modified >= $since::TIMESTAMPTZ, false))
    AND ($all_ids OR track_id IN (FROM wanted))
QUALIFY place < $most
"""

_COUNTS = """
SELECT (SELECT count(*) FROM listed), (SELECT count(*) FROM listed WHERE kind = 'not_audio'),
    (SELECT count(*) FROM judged WHERE up_to_date), (SELECT count(*) FROM chosen)
"""

_NOT_LISTED = """
SELECT track_id, uri, token, size_bytes FROM known ANTI JOIN listed USING (track_id) WHERE state = 'present'
"""

_PERHAPS_MOVED = """
SELECT l.track_id FROM chosen c JOIN listed l USING (ordinal) WHERE c.unknown AND l.size_bytes IN (FROM removed)
ORDER BY ordinal
"""

_PLANNED = f"""
WITH before AS (
    SELECT t.track_id, t AS known FROM tracks_history t SEMI JOIN chosen USING (track_id) WHERE t.content_token <> ''
    QUALIFY row_number() OVER (PARTITION BY t.track_id ORDER BY t.time DESC, t.run_id DESC) = 1)
SELECT {", ".join("l." + name for name in _TRACK_COLUMNS)}, c.tasks, c.tasks_if_changed, c.attempts,
    0::BIGINT AS deaths, l.problem, b.known
FROM chosen c JOIN listed l USING (ordinal) LEFT JOIN before b ON b.track_id = c.track_id
ORDER BY c.place * $turn::BIGINT % $due::BIGINT
"""

_KNOWN_S = "SELECT coalesce(sum(duration_s), 0.0) FROM chosen"

_UNMEASURED = """
CREATE OR REPLACE TEMP TABLE unmeasured AS
SELECT l.uri, l.size_bytes, lower(regexp_extract(l.uri, '\\.([^./]+)$', 1)) AS extension
FROM chosen c JOIN listed l USING (ordinal) WHERE c.duration_s IS NULL AND l.kind = 'audio'
"""

_SAMPLE = """
SELECT extension, uri, size_bytes FROM unmeasured
QUALIFY row_number() OVER (PARTITION BY extension ORDER BY md5(uri)) <= $most ORDER BY ALL
"""
