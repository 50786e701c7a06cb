"""The summary of a run, from made tables: every figure worked out by hand; drift of nights that are known to differ."""

import dataclasses
import json
import math

import numpy as np
import pytest

from tests.transforms.outputs import failure, opening, row, write
from transforms import gcs, tables
from transforms.errors import MisuseError
from transforms.nights import NIGHTS, find_drift
from transforms.records import DeadLetter, Run, Tag, TrackFacts, Work
from transforms.summary import newest_run, summarise, write_summary

TRACKS = 120


@pytest.fixture
def night(tmp_path):
    """Two runs; the second took four tracks: one for two tasks, one renewed, two that failed (one of them again)."""
    write(tmp_path, "run-000", opening("old", size_bytes=7, duration_s=1.0, wall_s=1.0, decode_wall_s=1.0))
    write(tmp_path, "run-000-run", [row(Run, status="done", written=1)])
    facts = {"duration_s": 100.0, "size_bytes": 1000, "decode_wall_s": 2.0, "wall_s": 3.0}
    rows = opening("long.mp3", at=1, **facts)
    rows += [row(Work, "long.mp3", at=1, task="tags", model_name="msd", duration_s=100.0, wall_s=15.0)]
    rows += [row(Tag, "long.mp3", at=1, model_name="msd", label=label) for label in ("rock", "jazz")]
    rows += opening("short.mp3", at=1, **{**facts, "duration_s": 20.0, "size_bytes": 500, "wall_s": 8.0})
    rows += [row(TrackFacts, "renewed", at=1, size_bytes=50, duration_s=9.0, decode_wall_s=0.5)]
    rows += [row(TrackFacts, "gone", at=1, size_bytes=10**9, state="removed")]
    for track, attempts in (("bad.mp3", 1), ("again.mp3", 3)):
        why = {"stage": "decode", "reason": "not_audio", "error": f"{track} is text", "advice": "Leave it out"}
        rows += failure(track, "", 1, attempts=attempts, transient=attempts > 1, **why)
        rows += [row(TrackFacts, track, "", 1, size_bytes=3, decode_wall_s=0.5)]
    write(tmp_path, "run-001", rows)
    counts = {"listed": 9, "not_audio": 2, "up_to_date": 3, "withheld": 0, "written": 2, "dead_lettered": 2}
    line = row(Run, at=1, status="done", wall_s=10.0, failed_again=1, tasks=["quality:quality:1"], **counts)
    write(tmp_path, "run-001-run", [line])
    return tmp_path


def test_every_figure(night):
    summary = summarise(tables.connect(str(night)), "run-001")
    tracks = {"not_audio": 2, "up_to_date": 3, "withheld": 0, "written": 2, "dead_lettered": 2}
    assert dataclasses.asdict(summary.tracks) == {**tracks, "listed": 9, "failed_again": 1}
    assert summary.rows == {"tracks": 6, "quality": 2, "tags": 2, "stems": 0, "dead_letters": 2, "work": 5} | {"defects": 0, "verdicts": 0}
    (failures,) = summary.failures
    assert (failures.stage, failures.reason, failures.tracks, failures.transient) == ("decode", "not_audio", 2, 1)
    assert (failures.example_track_id, failures.example_error) == ("again.mp3", "again.mp3 is text")
    assert (summary.audio_s, summary.wall_s, summary.speed, summary.bytes_read) == (120.0, 10.0, 12.0, 1550)
    costs = {cost.task: cost for cost in summary.costs}
    assert list(costs) == ["tags", "quality", "decode"]
    assert [(c.tracks, c.audio_s, c.wall_s) for c in costs.values()] == [(1, 100, 15), (2, 120, 11), (5, 120, 5.5)]
    assert costs["decode"].share == pytest.approx(5.5 / 31.5)
    assert costs["tags"].speed == pytest.approx(100 / 15)
    assert [(t.track_id, t.audio_s, t.wall_s) for t in summary.longest] == [
        ("long.mp3", 100, 20),
        ("short.mp3", 20, 10),
    ]
    assert [track.track_id for track in summary.slowest] == ["short.mp3", "long.mp3"]
    assert summary.drift.flags == []


def test_the_names_of_the_file_are_stable(night):
    """Add to this list what is added; what is in it stays."""
    told = json.loads(summarise(tables.connect(str(night)), "run-001").to_json())
    names = {"format", "run_id", "began", "ended", "status", "songscan_version", "input", "tasks", "tracks", "rows"}
    names |= {"failures", "audio_s", "wall_s", "speed", "bytes_read", "costs", "longest", "slowest", "drift"}
    assert set(told) == names
    assert set(told["drift"]) == {"nights", "measures", "checks", "tested", "flags"}
    model = {"model_name", "model_version"}
    assert set(told["costs"][0]) == {"task", *model, "tracks", "audio_s", "wall_s", "share", "speed"}
    checked = {"kind", *model, "label", "tracks", "tonight", "before", "nights", "effect", "p_value", "flagged"}
    assert set(told["drift"]["checks"][0]) == checked
    assert (told["format"], told["began"]) == (1, "2026-01-01T01:00:00+00:00")


def test_the_newest_run_and_unknown_ones(night, tmp_path_factory):
    connection = tables.connect(str(night))
    assert newest_run(connection) == "run-001"
    with pytest.raises(MisuseError, match="no run 'x'"):
        summarise(connection, "x")
    empty = tmp_path_factory.mktemp("empty")
    (empty / "tables").mkdir()
    with pytest.raises(MisuseError, match="no run has ended"):
        newest_run(tables.connect(str(empty)))


def test_a_submitted_run_is_counted_by_what_is_there(night):
    write(night, "run-002", opening("new", at=2, duration_s=5.0) + failure("worse", at=2, attempts=1))
    write(night, "run-002-run", [row(Run, at=2, status="submitted", listed=10, up_to_date=5)])
    tracks = summarise(tables.connect(str(night)), "run-002").tracks
    assert (tracks.written, tracks.dead_lettered, tracks.withheld) == (1, 1, 3)


def test_it_is_written_here_and_to_a_bucket(night, bucket):
    """As for an output on Cloud Storage whose tables are read from a copy."""
    summary = summarise(tables.connect(str(night)), "run-001")
    for output in (str(night / "elsewhere"), f"gs://{bucket.name}/out/"):
        path = write_summary(output, summary)
        with gcs.open_binary(path) as file:
            assert json.load(file)["run_id"] == "run-001"
    assert path == f"gs://{bucket.name}/out/state/summaries/run-001.json"


# Drift --------------------------------------------------------------------------------------------------------------


def tracks_of_a_night(rng, at, *, rock=0.3, score=80.0, failed=0.02, version="1", count=TRACKS):
    rows = []
    for number in range(count):
        track = f"{at}-{number}"
        if rng.random() < failed:
            rows += failure(track, at=at, attempts=1)
            continue
        known = {"duration_s": float(rng.lognormal(5, 0.5)), "integrated_lufs": float(rng.normal(-12, 3))}
        rows += opening(track, at=at, score=float(rng.normal(score, 8)), **known)
        for label, share in (("rock", rock), ("jazz", 0.2)):
            known = {"present": bool(rng.random() < share), "threshold": 0.5}
            rows += [row(Tag, track, at=at, model_name="msd", model_version=version, label=label, **known)]
    return rows


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Sixteen nights alike, too many by two; two small runs among them."""
    output, rng = tmp_path_factory.mktemp("nights"), np.random.default_rng(1)
    for at in range(NIGHTS + 2):
        write(output, f"run-{at:03d}", tracks_of_a_night(rng, at))
    for at in (20, 21):
        write(output, f"run-{at:03d}", tracks_of_a_night(rng, at, rock=1.0, count=9))
    return output


def drift_after(nights, rows):
    """Of a night of `rows`, which is taken away again."""
    write(nights, "run-050", rows)
    try:
        return find_drift(tables.connect(str(nights)), "run-050")
    finally:
        for path in nights.glob("tables/*/run-050.parquet"):
            path.unlink()


def told(flags):
    return {flag.label or flag.kind for flag in flags}


@pytest.mark.parametrize(
    ("changed", "flagged"),
    [
        ({}, set()),
        ({"rock": 0.7}, {"rock"}),
        ({"score": 60.0}, {"quality_score"}),
        ({"failed": 0.4}, {"failed_share"}),
        ({"rock": 0.7, "version": "2"}, set()),  # another version is compared with itself alone
        ({"rock": 0.7, "count": 60}, set()),
    ],
)
def test_what_changed_is_flagged_and_nothing_else(nights, changed, flagged):
    drift = drift_after(nights, tracks_of_a_night(np.random.default_rng(2), 50, **changed))
    assert told(drift.flags) == flagged
    assert len(drift.words()) == len(flagged)


def test_nights_are_the_latest_that_count(nights):
    drift = drift_after(nights, tracks_of_a_night(np.random.default_rng(3), 50))
    assert drift.nights == tuple(f"run-{at:03d}" for at in range(NIGHTS + 1, 1, -1))
    assert {check.nights for check in drift.checks} == {NIGHTS}
    assert {(check.kind, check.label) for check in drift.checks} >= {("tag_share", "rock"), ("log_duration", "")}


def test_measures_spread_as_they_were_drawn(nights):
    drift = drift_after(nights, tracks_of_a_night(np.random.default_rng(4), 50))
    measures = {spreads.name: spreads for spreads in drift.measures}
    assert measures["duration_s"].before.median == pytest.approx(math.exp(5), rel=0.1)
    assert measures["quality_score"].before.q05 == pytest.approx(80 - 1.645 * 8, abs=1)
    assert measures["loudness_lufs"].tonight.mean == pytest.approx(-12, abs=1)


def test_what_failed_before_is_no_news(nights):
    rows = tracks_of_a_night(np.random.default_rng(5), 50)
    known = [r for number in range(200) for r in failure(f"known-{number}", at=50, attempts=4)]
    assert told(drift_after(nights, rows + known).flags) == set()
    new = [dataclasses.replace(r, attempts=1) if isinstance(r, (Work, DeadLetter)) else r for r in known]
    assert told(drift_after(nights, rows + new).flags) == {"failed_share"}


def test_a_first_night_has_nothing_to_be_compared_with(tmp_path):
    write(tmp_path, "run-000", tracks_of_a_night(np.random.default_rng(6), 0))
    drift = find_drift(tables.connect(str(tmp_path)), "run-000")
    assert (drift.nights, drift.tested, drift.flags) == ((), 0, [])
    assert drift.measures[0].before is None
    nothing = find_drift(tables.connect(str(tmp_path)), "run-of-nothing")
    assert nothing.checks == ()
