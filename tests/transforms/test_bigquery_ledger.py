"""The anti-join in BigQuery: the plan is what it is without."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tests import bigquery
from tests.transforms.outputs import row, write
from transforms import ledger, tables
from transforms.bigquery import Dataset
from transforms.bigquery_ledger import subtract
from transforms.listing import AUDIO, NOT_AUDIO, UNREADABLE, Entry, Listing, Notes
from transforms.publish import publish
from transforms.records import Problem, Task, TrackFacts, Work

QUALITY = Task(name="quality", model_name="quality", model_version="1")
TAGS = Task(name="tags", model_name="net", model_version="3", options_digest='a"a')
IDS = [f"track {number}" for number in range(40)]


def listing(draw=None, *, complete=True):
    """Some of the tracks, some changed, some unreadable, some no audio any more; and unknown ones."""
    draw = draw or random.Random(3)
    entries = []
    for name in (*draw.sample(IDS, 34), "new 1", "new 2"):
        kind = draw.choice([AUDIO] * 8 + [UNREADABLE, NOT_AUDIO])
        problem = Problem(reason="gone", message="m", advice="a") if kind == UNREADABLE else None
        revision = draw.choice(["r1", "r1", "r1", "r2"])
        entries.append(Entry(name, f"/music/{name}", 100, 0, revision, kind, problem, title=f"title of {name}"))
    return Listing("/music", iter(entries), Notes(complete=complete), lambda uri: uri.startswith("/music/"))


def history(draw):
    """What earlier runs left about the tracks."""
    for name in IDS:
        for at in sorted(draw.sample(range(20), draw.randrange(4))):
            token = draw.choice(["t1", "t1", "t1", "t2", ""])
            state = draw.choice(["present"] * 7 + ["removed"])
            uri = draw.choice(["/music/", "/elsewhere/"]) + name
            facts = {"revision": draw.choice(["r1", "r1", "r2"]), "state": state, "uri": uri, "size_bytes": 100}
            yield row(TrackFacts, name, token, at, duration_s=draw.choice([None, 60.0]), **facts)
            for task in draw.choice([[QUALITY], [QUALITY, TAGS], [QUALITY, TAGS], [TAGS]]):
                status = draw.choice(["ok", "ok", "ok", "failed_permanent", "failed_transient"])
                version = draw.choice([task.model_version] * 4 + ["0"])
                of = {"task": task.name, "model_name": task.model_name, "model_version": version}
                digest = draw.choice([task.options_digest] * 4 + ["zz"])
                yield row(Work, name, token, at, status=status, attempts=at, options_digest=digest, **of)


@pytest.fixture(scope="module")
def output(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    write(folder, "one", list(history(random.Random(5))))
    publish(str(folder), dataset)
    return folder


def planned(connection, listed, tasks, path, **options):
    made = ledger.plan(listed, connection, tasks, out_path=str(path), **options)
    shards = (ledger.read_shard(made.path, shard) for shard in range(made.shards))
    dues = [due for shard in shards for due in shard]
    # BigQuery has no null arrays: those of what is known come back empty.
    known = [due.known and dataclasses.replace(due.known, damaged_at_s=None) for due in dues]
    return dataclasses.replace(made, path=""), [dataclasses.replace(due, known=None) for due in dues], known


ASKED = {
    "one task": ((QUALITY,), {}),
    "two tasks": ((QUALITY, TAGS), {}),
    "a version that nobody has seen": ((dataclasses.replace(TAGS, model_version="4"), QUALITY), {}),
    "force": ((QUALITY,), {"force": True}),
    "a few": ((QUALITY,), {"max_tracks": 5}),
    "by name": ((QUALITY,), {"track_ids": (*IDS[:12], "nobody")}),
}


@pytest.mark.parametrize("words", ASKED)
def test_the_plan_is_the_same(output, dataset, tmp_path, words):
    tasks, options = ASKED[words]
    complete = words != "a few"
    whole = planned(tables.connect(str(output)), listing(complete=complete), tasks, tmp_path / "whole", **options)
    kept = {"keep_ids": options.get("track_ids", ()), "force": options.get("force", False)}
    rest = subtract(dataset, listing(complete=complete), tasks, str(tmp_path / "left"), **kept)
    plan, *dues = planned(tables.connect(str(tmp_path / "left")), rest.listing, tasks, tmp_path / "rest", **options)
    counted = dataclasses.replace(
        plan, listed=plan.listed + rest.up_to_date, up_to_date=plan.up_to_date + rest.up_to_date
    )
    assert (counted, *dues) == whole
    assert whole[0].due
    assert bool(whole[0].removed) == complete
    assert rest.listing.notes.complete == complete
    if words in ("one task", "two tasks"):
        assert rest.up_to_date >= 2
        left = tables.connect(str(tmp_path / "left")).execute("SELECT count(DISTINCT track_id) FROM tracks").fetchall()
        assert left[0][0] <= len(IDS) - rest.up_to_date  # the rows of what is up to date are not fetched
    assert not [table for table in bigquery.counts(dataset) if table.startswith("ledger_")]


def test_nothing_published_yet(dataset, tmp_path):
    empty = bigquery.new_dataset()
    assert isinstance(empty, Dataset)
    rest = subtract(empty, listing(), (QUALITY,), str(tmp_path / "left"))
    plan, *_ = planned(tables.connect(str(tmp_path / "left")), rest.listing, (QUALITY,), tmp_path / "plan")
    assert (rest.up_to_date, plan.up_to_date, plan.listed) == (0, 0, 36)
