"""From a due track to a recording, through decoders that crash, hang and bloat."""

import dataclasses
import functools
import sys
from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam
import pytest

from tests import signals
from tests.pipelines.scans import rows
from tests.transforms.tracks import SOUND, due, written
from transforms import decode as module
from transforms.assess import Assess
from transforms.child import DecoderProcess
from transforms.decode import Decode, Limits, decode
from transforms.errors import RunError, TrackError
from transforms.journal import Journal
from transforms.perform import perform
from transforms.records import DeadLetter, Due, Quality, Task, Track, TrackFacts, Work
from transforms.tasks import QUALITY
from transforms.write import Write

DOUBLE = (sys.executable, str(Path(__file__).parents[1] / "doubles" / "decoder.py"))
OTHER = Task(name="other", model_name="other", model_version="1")


@pytest.fixture
def decoder():
    with Limits().start() as process:
        yield process


def test_misbehaving_decoders_cost_their_track_only(tmp_path, monkeypatch):
    stems = ["a", "crash", "b", "hang", "c", "bloat", "d", "killed", "e"]
    dues = [due(written(tmp_path, stem)) for stem in stems]
    monkeypatch.setattr(module, "DecoderProcess", functools.partial(DecoderProcess, command=DOUBLE))
    with beam.Pipeline("FnApiRunner") as pipeline:
        recordings = pipeline | beam.Create([dues]) | beam.FlatMap(lambda d: d).with_output_types(Due)
        recordings = recordings | Decode("run", Limits(timeout_s=2.0, memory_mib=256), Journal()) | Assess()
        _ = recordings | Write(str(tmp_path / "out"), "run", Journal())
    letters = {row["track_id"]: row["reason"] for row in rows(tmp_path / "out", "FROM dead_letters")}
    assert letters == {
        "crash": "decoder_crashed",
        "hang": "decoder_hung",
        "bloat": "decoder_out_of_memory",
        "killed": letters["killed"],
    }
    good = rows(tmp_path / "out", "SELECT * EXCLUDE (track_id, run_id, time) FROM quality")
    assert len(good) == 5
    assert all(row == good[0] for row in good)  # the same sound: nothing of a neighbour's misfortune in it


def test_an_unchanged_file_spares_the_work(tmp_path, decoder):
    path = written(tmp_path, "a")
    first = decode(due(path), "run1", decoder, Limits())
    (known,) = [row for row in first.report.rows if isinstance(row, TrackFacts)]
    path.touch()
    again = decode(due(path, (), tasks_if_changed=(QUALITY,), known=known), "run2", decoder, Limits())
    assert again.tasks == ()
    (facts,) = again.report.rows
    assert (facts.run_id, facts.duration_s, facts.codec) == ("run2", 1.5, "flac")
    assert facts.revision != known.revision
    written(tmp_path, "b").rename(path)
    signals.write(tmp_path, "flac", SOUND[:-1], 16_000, stem="a")
    changed = decode(due(path, (), tasks_if_changed=(QUALITY,), known=known), "run3", decoder, Limits())
    assert changed.tasks == (QUALITY,)


def test_a_task_that_fails_leaves_the_others_rows(tmp_path, decoder):
    def fail(recording):
        raise module.TrackError("other", "odd", "this cannot be", "so leave it")

    recording = decode(due(written(tmp_path, "a"), (QUALITY, OTHER)), "run", decoder, Limits())
    recording = perform(recording, OTHER, fail)
    stamp = recording.report.stamp(QUALITY)
    hints = dict.fromkeys((field.name for field in dataclasses.fields(Quality)), 0.0)
    recording = perform(recording, QUALITY, lambda _: [Quality(**{**hints, **stamp})])
    work = {row.task: row.status for row in recording.report.rows if isinstance(row, Work)}
    assert work == {"other": "failed_permanent", "quality": "ok"}


def test_a_task_that_is_not_due_is_not_done(tmp_path, decoder):
    recording = decode(due(written(tmp_path, "a"), (OTHER,)), "run", decoder, Limits())
    assert perform(recording, QUALITY, lambda _: pytest.fail("done")) is recording


def test_other_exceptions_are_defects_and_pass(tmp_path, decoder):
    recording = decode(due(written(tmp_path, "a")), "run", decoder, Limits())
    with pytest.raises(ZeroDivisionError):
        perform(recording, QUALITY, lambda _: [1 / 0])


def test_a_poison_track_is_not_touched(tmp_path, decoder):
    recording = decode(due(tmp_path, deaths=2), "run", decoder, Limits())
    assert recording.tasks == ()
    assert [row.reason for row in recording.report.rows if hasattr(row, "reason")] == ["killed_worker"]


def test_attempts_count_up(tmp_path, decoder):
    late = Track(track_id="late", uri=str(tmp_path / "late.wav"), size_bytes=1, modified=None, revision="")
    recording = decode(Due(track=late, tasks=(QUALITY,), attempts=2), "run", decoder, Limits())
    (work,) = [row for row in recording.report.rows if isinstance(row, Work)]
    assert (work.status, work.attempts) == ("failed_transient", 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "big5", "utf-16"])
def test_lyrics_beside_the_file(tmp_path, decoder, encoding):
    text = "[00:01.00]月亮代表我的心\n[00:05.00]你問我愛你有多深，我愛你有幾分\n[00:09.00]我的情也真，我的愛也真\n"
    sidecar = tmp_path / "a.lrc"
    sidecar.write_text(text, encoding=encoding)
    base = due(written(tmp_path, "a"))
    track = Track(**{**vars(base.track), "lyrics_uri": str(sidecar)})
    recording = decode(Due(track=track, tasks=(QUALITY,)), "run", decoder, Limits())
    (facts,) = [row for row in recording.report.rows if isinstance(row, TrackFacts)]
    assert facts.lyrics == text
    assert recording.report.time < datetime.now(UTC)


def test_a_storage_that_is_gone_ends_the_run(tmp_path, monkeypatch):
    def gone(track, scratch_dir):
        raise TrackError("open", "network", "nobody answers", transient=True)

    monkeypatch.setattr(module, "fetched", gone)
    monkeypatch.setattr(module, "UNREACHABLE", 3)
    worker = module.DecodeFn("run", Limits(), Journal())
    worker.setup()
    try:
        for stem in "ab":
            (recording,) = worker.process(due(written(tmp_path, stem)))
            assert any(isinstance(row, DeadLetter) for row in recording.report.rows)
        with pytest.raises(RunError, match="3 tracks in a row could not be fetched"):
            list(worker.process(due(written(tmp_path, "c"))))
    finally:
        worker.teardown()
