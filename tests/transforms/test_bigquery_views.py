"""The views in BigQuery against those of DuckDB, on the same parts."""

from __future__ import annotations

import random

from tests import bigquery
from tests.transforms.outputs import row, write
from transforms import tables
from transforms.publish import publish
from transforms.records import TABLES, DeadLetter, Defect, Quality, Reason, Stem, Tag, TrackFacts, Verdict, Work


def random_opening(draw, number):
    """One opening of some track: facts, one or two tasks with their results, or a failure before any."""
    track, token = draw.choice("abc"), draw.choice(["t1", "t2", "t2", ""])
    at = draw.randrange(40)
    of = {"run_id": f"run-{number:03d}"}  # some openings are of the same time: the run decides, then
    version = draw.choice("12")
    rows = []
    if token or draw.random() < 0.7:
        rows.append(row(TrackFacts, track, token, at, title=f"{number}", damaged_at_s=[0.5] * draw.randrange(3), **of))
    if not token:
        failed = draw.choice(["failed_transient", "failed_permanent"])
        rows.append(row(DeadLetter, track, token, at, task="decode", error=f"{number}", **of))
        return [*rows, *(row(Work, track, token, at, status=failed, task=t, model_name=t, **of) for t in ("quality",))]
    for task in draw.sample(["quality", "tags", "defects", "stems"], draw.randrange(1, 5)):
        name = {"quality": "quality"}.get(task, "net")  # one model serves two tasks
        stamp = {**of, "task": task, "model_name": name, "model_version": version}
        status = draw.choice(["ok", "ok", "ok", "failed_permanent"])
        digest = draw.choice(["", "x"])
        rows.append(row(Work, track, token, at, status=status, options_digest=digest, **stamp))
        if status != "ok":
            rows.append(row(DeadLetter, track, token, at, error=f"{number}", **stamp))
        elif task == "quality":
            rows.append(row(Quality, track, token, at, score=float(number), **stamp))
        elif task == "tags":
            rows += [row(Tag, track, token, at, label=label, score=number / 100, **stamp) for label in ("x", "y")]
        elif task == "defects":
            found = draw.randrange(3)
            rows += [row(Defect, track, token, at, number=n, start_s=number / 4, **stamp) for n in range(found)]
            reasons = [Reason(what="click", words=f"{number}", start_s=1.5, end_s=None)] * (found > 1)
            rows.append(row(Verdict, track, token, at, accepted=not reasons, reasons=reasons, defects=found, **stamp))
        else:
            stems = draw.sample(["vocals", "accompaniment"], draw.randrange(1, 3))
            rows += [row(Stem, track, token, at, stem=stem, uri=f"{number}", **stamp) for stem in stems]
    return rows


def plain(rows):
    """Rows in one order; BigQuery has no null arrays."""

    def value(name, it):
        return it.timestamp() if name == "time" else it or [] if name == "damaged_at_s" else it

    return sorted(repr([(name, value(name, it)) for name, it in sorted(found.items())]) for found in rows)


def test_both_show_the_same_rows(dataset, tmp_path):
    draw = random.Random(7)
    for number in range(60):
        write(tmp_path, f"part{number}", random_opening(draw, number))
    publish(str(tmp_path), dataset)
    differ = 0
    with tables.connect(str(tmp_path), threads=1) as connection:
        for table in (table for table in TABLES if table != "runs"):
            for here, there in ((table, f"{table}_now"), (f"{table}_history", f"{table}_history")):
                expected = connection.sql(f"FROM {here}").to_arrow_table().to_pylist()
                assert plain(bigquery.ask(dataset, f"SELECT * FROM {there}")) == plain(expected), there
                assert expected
                differ += len(expected) < connection.execute(f"SELECT count(*) FROM parts.{table}").fetchall()[0][0]
    assert differ >= 10  # each of the views leaves something out, or little would be shown by this
