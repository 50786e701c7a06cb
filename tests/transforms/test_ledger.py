"""Up to date, due, withheld: each case by hand, on a ledger of records."""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime
from itertools import pairwise

import pytest

from tests.transforms.ledgers import DAY, GONE, QUALITY, TAGS, entry, facts, planner, work
from transforms import ledger
from transforms.errors import MisuseError
from transforms.listing import NOT_AUDIO, UNREADABLE, Entry
from transforms.records import TrackFacts, Work


@pytest.fixture
def made(tmp_path):
    return planner(tmp_path)


def counts(plan: ledger.Plan) -> tuple[int, int, int, int]:
    return plan.not_audio, plan.up_to_date, plan.withheld, plan.due


def test_all_is_due_at_first_and_nothing_is_lost_on_the_way(made):
    full = entry("雨\n'😀'", generation=7, title="T", artist="A", lyrics="la", lyrics_uri="/music/a.lrc")
    plan, (due, other) = made([full, entry("../../x"), entry("c.jpg", kind=NOT_AUDIO)], tasks=(QUALITY, TAGS))
    assert counts(plan) == (1, 0, 0, 2)
    assert {due.track.track_id, other.track.track_id} == {"雨\n'😀'", "../../x"}
    track = due.track if due.track.title else other.track
    assert (track.uri, track.size_bytes, track.modified, track.revision) == (full.uri, 100, DAY, "r1")
    assert (track.generation, track.title, track.artist, track.lyrics, track.lyrics_uri) == full[-5:]
    assert due.tasks == (QUALITY, TAGS)
    assert due.tasks_if_changed == ()
    assert (due.known, due.attempts, due.deaths, due.problem) == (None, 0, 0, None)


def test_what_is_done_or_failed_for_good_is_up_to_date(made):
    tracks = [facts("a"), facts("b")]
    works = [work("a", QUALITY), work("b", QUALITY, "failed_permanent", attempts=1)]
    plan, dues = made([entry("a"), entry("b")], tracks, works)
    assert counts(plan) == (0, 2, 0, 0)
    assert dues == []


@pytest.mark.parametrize(
    "task",
    [
        dataclasses.replace(TAGS, model_version="4"),
        dataclasses.replace(TAGS, options_digest="bb"),
        dataclasses.replace(TAGS, model_name="other"),
        dataclasses.replace(TAGS, name="scene"),
    ],
)
def test_a_new_version_model_or_option_makes_that_task_due_and_no_other(made, task):
    known = facts("a", duration_s=12.0, damaged_at_s=[1.0, 2.5], title="T")
    plan, (due,) = made([entry("a")], [known], [work("a", QUALITY), work("a", TAGS)], tasks=(QUALITY, task))
    assert (due.tasks, due.tasks_if_changed) == ((task,), ())
    assert due.known == known
    assert plan.known_s == 12.0


def test_a_transient_failure_is_due_again_and_its_attempts_are_remembered(made):
    works = [work("a", QUALITY), work("a", TAGS, "failed_transient", attempts=2)]
    _, (due,) = made([entry("a")], [facts("a")], works, tasks=(QUALITY, TAGS))
    assert (due.tasks, due.attempts) == ((TAGS,), 2)


def test_a_changed_revision_is_opened_and_what_is_done_waits_for_the_token(made):
    _, (due,) = made([entry("a", "r2")], [facts("a")], [work("a", QUALITY)], tasks=(QUALITY, TAGS))
    assert (due.tasks, due.tasks_if_changed) == ((TAGS,), (QUALITY,))
    assert due.known is not None
    assert due.known.content_token == "t1"


def test_the_newest_row_decides(made):
    tracks = [facts("a", "t2", "r2", day=1), facts("a", "t1", "r1")]
    works = [work("a", QUALITY), work("a", QUALITY, token="t2", day=1)]
    assert counts(made([entry("a", "r2")], tracks, works)[0]) == (0, 1, 0, 0)
    _plan, (due,) = made([entry("a", "r2")], tracks, works[:1])  # done for the old content only
    assert due.tasks == (QUALITY,)
    _, (due,) = made([entry("a", "r1")], tracks, works)  # back at the old revision: looked at
    assert (due.tasks, due.tasks_if_changed) == ((), (QUALITY,))


def test_force_makes_all_due(made):
    plan, (due,) = made([entry("a")], [facts("a")], [work("a", QUALITY)], force=True)
    assert counts(plan) == (0, 0, 0, 1)
    assert (due.tasks, due.tasks_if_changed) == ((QUALITY,), ())


def test_an_unreadable_track_is_due_until_its_failure_is_permanent(made):
    trouble = entry("a", "gone-1", kind=UNREADABLE, problem=GONE)
    _, (due,) = made([trouble])
    assert due.problem == GONE
    blank = facts("a", "", "gone-1")
    _, (due,) = made([trouble], [blank], [work("a", QUALITY, "failed_transient", "", attempts=3)])
    assert (due.tasks, due.attempts) == ((QUALITY,), 3)
    done = [work("a", QUALITY, "failed_permanent", "", attempts=1)]
    assert counts(made([trouble], [blank], done)[0]) == (0, 1, 0, 0)
    _plan, (due,) = made([entry("a", "r9")], [blank], done)  # the file is there now
    assert (due.tasks, due.attempts, due.known) == ((QUALITY,), 0, None)


def test_a_night_without_the_file_does_not_cost_its_results(made):
    tracks = [facts("a"), facts("a", "", "gone", day=1)]
    works = [work("a", QUALITY), work("a", QUALITY, "failed_transient", "", attempts=1, day=1)]
    _, (due,) = made([entry("a")], tracks, works)
    assert (due.tasks, due.tasks_if_changed) == ((), (QUALITY,))
    assert due.known == tracks[0]


def test_limits_withhold_what_is_due_and_only_that(made):
    entries = [entry(name) for name in "abcde"]
    done = {"tracks": [facts("a")], "works": [work("a", QUALITY)]}
    plan, dues = made(entries, **done, max_tracks=2)
    assert counts(plan) == (0, 1, 2, 2)
    assert sorted(due.track.track_id for due in dues) == ["b", "c"]
    plan, dues = made(entries, **done, track_ids=["a", "d", "nobody"])
    assert counts(plan) == (0, 1, 3, 1)
    assert plan.missing_ids == ("nobody",)
    assert counts(made(entries, **done, max_tracks=0)[0]) == (0, 1, 4, 0)


def test_since_counts_the_moment_itself_and_withholds_what_has_no_time(made):
    at = int(DAY.timestamp() * 1e6)
    entries = [entry("a", modified=at - 1), entry("b", modified=at), entry("c", modified=None)]
    plan, (due,) = made(entries, since=DAY)
    assert due.track.track_id == "b"
    assert counts(plan) == (0, 0, 2, 1)
    _, (due,) = made(entries, since=datetime.fromisoformat("2026-01-01T02:00:00+02:00"))  # the same moment
    assert due.track.track_id == "b"


def test_misuse_is_told(made):
    with pytest.raises(MisuseError, match="'nobody'"):
        made([entry("a")], track_ids=["nobody"])
    with pytest.raises(MisuseError, match="time zone"):
        made([entry("a")], since=datetime(2026, 1, 1))


def expected(now: Entry, tracks: list[TrackFacts], works: list[Work]) -> tuple[set[str], set[str]] | None:
    """The rules of the module's docstring, told one track at a time; None: up to date."""
    rows = sorted((row for row in tracks if row.track_id == now.track_id), key=lambda row: row.time)
    read = [row for row in rows if row.content_token]
    newest = rows[-1] if rows else None
    same = newest is not None and newest.revision == now.revision
    status = {(w.task, w.content_token): w.status for w in works if w.track_id == now.track_id}
    done = {
        task.name
        for task in (QUALITY, TAGS)
        if read and status.get((task.name, read[-1].content_token)) in ("ok", "failed_permanent")
    }
    hopeless = {
        task.name
        for task in (QUALITY, TAGS)
        if same and newest and not newest.content_token and status.get((task.name, "")) == "failed_permanent"
    }
    asked = {"quality", "tags"} - hopeless
    if not asked or (same and newest and newest.content_token and newest.state == "present" and not asked - done):
        return None
    fresh = same and newest and newest.content_token and newest.state == "present"
    return asked - done, set() if fresh else asked & done


def test_any_history_is_judged_as_one_track_at_a_time_would_be(made):
    chance = random.Random(2)
    tracks, works, entries = [], [], []
    for n in range(600):
        name = f"t{n}"
        for day in range(chance.randrange(4)):
            token, revision = chance.choice(["t1", "t2", ""]), chance.choice(["r1", "r2"])
            state = chance.choice(["present", "present", "removed"])
            tracks.append(facts(name, token, revision, day, state=state))
        for task in (QUALITY, TAGS):
            for token in ("t1", "t2", ""):
                status = chance.choice(["ok", "failed_permanent", "failed_transient", None])
                works += [work(name, task, status, token, day=chance.randrange(4))] if status else []
        entries.append(entry(name, chance.choice(["r1", "r2"])))
    plan, dues = made(entries, tracks, works, tasks=(QUALITY, TAGS))
    found = {d.track.track_id: ({t.name for t in d.tasks}, {t.name for t in d.tasks_if_changed}) for d in dues}
    wanted = {e.track_id: judged for e in entries if (judged := expected(e, tracks, works)) is not None}
    assert found == wanted
    assert 20 < plan.up_to_date < 580


def test_neighbours_lie_in_different_shards(made, tmp_path):
    entries = [entry(f"{n:05d}") for n in range(5000)]
    plan, dues = made(entries)
    assert sorted(due.track.track_id for due in dues) == [e.track_id for e in entries]
    shards = [ledger.read_shard(plan.path, n) for n in range(plan.shards)]
    assert {len(shard) for shard in shards[:-1]} == {16}
    for shard in shards:
        numbers = sorted(int(due.track.track_id) for due in shard)
        assert all(b - a > 100 for a, b in pairwise(numbers))


def test_few_tracks_are_spread_thin(made):
    assert made([entry(name) for name in "abc"])[0].shards == 3
