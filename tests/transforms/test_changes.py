"""What changed since the last night: removed, moved and duplicate tracks, and how long the work will take."""

from __future__ import annotations

import pytest

from tests.transforms.ledgers import QUALITY, connect, entry, facts, planner, work
from transforms import changes


@pytest.fixture
def made(tmp_path):
    return planner(tmp_path)


def test_removed_returned_and_moved(made):
    tracks = [facts("old/x"), facts("y", "t2"), facts("elsewhere", uri="/other/z"), facts("left", state="removed")]
    plan, _dues = made([entry("new/x"), entry("other", size_bytes=7)], tracks)
    assert plan.removed == {"old/x": "t1", "y": "t2"}
    assert plan.perhaps_moved == ("new/x",)
    found = changes.tokens(connect([*tracks, facts("new/x")], []), plan.perhaps_moved)
    assert changes.moved(plan.removed, found) == [("old/x", "new/x")]
    assert made([entry("new/x")], tracks, complete=False)[0].removed == {}
    plan, (due,) = made([entry("left")], tracks, [work("left", QUALITY)])  # back again: looked at, its row renewed
    assert (due.tasks, due.tasks_if_changed) == ((), (QUALITY,))


def test_duplicates_are_present_tracks_of_one_token():
    tracks = [facts(n) for n in "ab"] + [facts("c", state="removed"), facts("d", "t2"), facts("e", ""), facts("f", "")]
    assert changes.duplicates(connect(tracks, [])) == [["a", "b"]]


def test_hours_are_exact_for_few_and_an_estimate_by_bytes_for_many(made):
    plan, _ = made([entry("a.mp3"), entry("b.mp3"), entry("c")], [facts("a.mp3", duration_s=1800.0)])
    told = changes.hours(plan, {"/music/b.mp3": 5400.0}.get)
    assert (told.hours, told.estimated, told.unknown_tracks) == (2.0, 0.0, 1)

    many = [entry(f"{n}.{ext}", size_bytes=size) for n in range(300) for ext, size in (("mp3", 10), ("WAV", 100))]
    plan, _ = made(many)
    probed = []

    def probe(uri: str) -> float:
        probed.append(uri)
        return 36.0 if uri.endswith("mp3") else 72.0

    told = changes.hours(plan, probe)
    assert told.hours == told.estimated == pytest.approx(300 * (36 + 72) / 3600)
    assert len(probed) == 200
