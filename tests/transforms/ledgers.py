"""A ledger of records, by hand, and plans made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import duckdb

from transforms import ledger, schemas
from transforms.listing import AUDIO, Entry, Listing, Notes
from transforms.records import Due, Problem, Task, TrackFacts, Work

QUALITY = Task(name="quality", model_name="quality", model_version="1")
TAGS = Task(name="tags", model_name="musicnn", model_version="3", options_digest="aa")
DAY = datetime(2026, 1, 1, tzinfo=UTC)
GONE = Problem(reason="gone", message="'a' cannot be found", advice="Mount it.", transient=True)


def entry(track_id: str, revision: str = "r1", **changes_: object) -> Entry:
    made = Entry(track_id, f"/music/{track_id}", 100, int(DAY.timestamp() * 1e6), revision, AUDIO)
    return made._replace(**changes_)  # type: ignore[arg-type]


def listing(*entries: Entry, complete: bool = True) -> Listing:
    return Listing("/music", iter(entries), Notes(complete=complete), lambda uri: uri.startswith("/music/"))


def facts(track_id: str, token: str = "t1", revision: str = "r1", day: int = 0, **more: object) -> TrackFacts:
    blank = dict.fromkeys(field.name for field in dataclasses.fields(TrackFacts))
    known = {
        "track_id": track_id,
        "content_token": token,
        "model_name": "decode",
        "model_version": "1",
        "run_id": f"run{day}",
        "time": DAY + timedelta(days=day),
        "uri": f"/music/{track_id}",
        "size_bytes": 100,
        "revision": revision,
        "state": "present",
    }
    return TrackFacts(**{**blank, **known, **more})  # type: ignore[arg-type]


def work(track_id: str, task: Task, status: str = "ok", token: str = "t1", attempts: int = 0, day: int = 0) -> Work:
    return Work(
        track_id=track_id,
        content_token=token,
        model_name=task.model_name,
        model_version=task.model_version,
        run_id=f"run{day}",
        time=DAY + timedelta(days=day),
        task=task.name,
        options_digest=task.options_digest,
        status=status,
        attempts=attempts,
        duration_s=60.0,
        wall_s=1.0,
    )


def connect(tracks: list[TrackFacts], works: list[Work]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    for name, rows in (("tracks", tracks), ("work", works)):
        connection.from_arrow(schemas.to_arrow(name, rows)).create(f"{name}_history")
    connection.execute(
        "CREATE VIEW tracks AS FROM tracks_history QUALIFY row_number() OVER "
        "(PARTITION BY track_id ORDER BY time DESC) = 1"
    )
    return connection


def planner(folder: Path) -> Callable[..., tuple[ledger.Plan, list[Due]]]:
    """What plans a night from entries, rows of tracks and rows of work, and gives all that is due; nothing is lost."""
    number = count()

    def make(entries, tracks=(), works=(), tasks=(QUALITY,), complete=True, **options):
        path = str(folder / f"plan{next(number)}.parquet")
        plan = ledger.plan(
            listing(*entries, complete=complete), connect([*tracks], [*works]), tasks, out_path=path, **options
        )
        assert plan.listed == plan.not_audio + plan.up_to_date + plan.withheld + plan.due
        assert plan.shards == ledger.count_shards(path)
        dues = [due for shard in range(plan.shards) for due in ledger.read_shard(path, shard)]
        assert len(dues) == plan.due
        return plan, dues

    return make
