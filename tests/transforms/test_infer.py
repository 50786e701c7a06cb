"""The adapter: RunInference over recordings, with models whose arithmetic is plain."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import Pipeline
from apache_beam.transforms import Create, FlatMap

from models.card import ModelError, Output
from models.saved import LoadedModel
from tests import signals
from tests.doubles import models as doubles
from tests.pipelines.scans import rows
from tests.transforms.tracks import due, written
from transforms.assess import Assess
from transforms.decode import Decode, Limits, decode
from transforms.errors import RunError
from transforms.infer import SavedModelHandler, infer
from transforms.journal import Journal, Listener
from transforms.records import DeadLetter, Due, Task
from transforms.tag import AddTags, tag, tag_by
from transforms.tasks import QUALITY
from transforms.write import Write


def task_of(folder, name="fake"):
    return Task(name="tags", model_name=name, model_version="1", model_uri=str(folder))


def run(dues, output, *tags):
    """Decodes, assesses, tags, writes; its metrics."""
    with Pipeline(options=PipelineOptions(runner="FnApiRunner")) as pipeline:
        recordings = pipeline | Create([dues]) | FlatMap(lambda d: d).with_output_types(Due)
        recordings = recordings | Decode("run", Limits(), Journal()) | Assess()
        for task in tags:
            recordings = recordings | task.model_name >> AddTags(task, Journal())
        _ = recordings | Write(str(output), "run", Journal())
    return {c.key.metric.name: c.committed for c in pipeline.result.metrics().query()["counters"]}


def loud_only_fails(x):
    given = doubles.loudness_and_sign(x)
    loud = tf.reduce_max(tf.abs(x)) > 0.7
    return {**given, "scores": tf.where(loud, np.nan, given["scores"])}


def test_a_recording_that_a_model_fails_at_harms_no_neighbour(tmp_path):
    tasks = task_of(doubles.fake(tmp_path, loud_only_fails)), task_of(doubles.fake(tmp_path, name="sound"), "sound")
    stems = [*"abcd", "loud", *"efgh"]
    dues = [
        due(written(tmp_path, stem, signals.tone(440, 2.0, 16_000, 0.9 if stem == "loud" else 0.5)), (QUALITY, *tasks))
        for stem in stems
    ]
    counted = run(dues, tmp_path / "out", *tasks)
    tagged = rows(tmp_path / "out", "SELECT DISTINCT track_id, model_name FROM tags")
    assert len(tagged) == 17
    assert {"track_id": "loud", "model_name": "sound"} in tagged
    (letter,) = rows(tmp_path / "out", "FROM dead_letters")
    assert (letter["track_id"], letter["task"], letter["reason"]) == ("loud", "tags", "nan_output")
    assert len(rows(tmp_path / "out", "FROM quality")) == 9
    assert counted["tracks_written"] == 9
    assert counted["num_inferences"] == 9  # of each model; the batch size is 1


def test_scores_are_the_mean_of_the_windows_and_kept_over_time(tmp_path):
    task = task_of(doubles.fake(tmp_path))
    sound = np.concatenate([signals.tone(440, 1.0, 16_000, 0.2), signals.tone(440, 1.0, 16_000, 0.8)])
    run([due(written(tmp_path, "a", sound), (task,))], tmp_path / "out", task)
    loud, positive = rows(tmp_path / "out", "FROM tags ORDER BY label")
    np.testing.assert_allclose(loud["over_time"], np.array([0.2, 0.2, 0.8, 0.8]) / np.sqrt(2), atol=2e-3)
    assert loud["score"] == pytest.approx(0.5 / np.sqrt(2), abs=2e-3)
    assert (loud["threshold"], loud["present"], loud["label_group"]) == (0.3, True, "sound")
    assert (positive["threshold"], positive["present"]) == (None, False)
    assert positive["score"] == pytest.approx(0.5, abs=0.01)
    assert (loud["over_time_start_s"], loud["over_time_step_s"], loud["over_time_window_s"]) == (0.0, 0.5, 0.5)
    (work,) = rows(tmp_path / "out", "FROM work")
    assert (work["task"], work["model_name"], work["model_version"], work["status"]) == ("tags", "fake", "1", "ok")


def test_framewise_scores_are_told_by_the_second(tmp_path):
    def frames(x):
        return {"frames": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 40, 100]), axis=2)[..., None]}

    its = {
        "outputs": (Output(name="frames", role="frame_scores", layout="bfl"),),
        "labels": doubles.LABELS[:1],
        "frame_hop_samples": 100,
    }
    task = task_of(doubles.fake(tmp_path, frames, **its))
    sound = np.concatenate([np.full(16_000, 0.25), np.full(16_000, 0.75), np.full(4_000, 0.75)]).astype(np.float32)
    run([due(written(tmp_path, "a", sound), (task,))], tmp_path / "out", task)
    (row,) = rows(tmp_path / "out", "FROM tags")
    np.testing.assert_allclose(row["over_time"], [0.25, 0.75], atol=5e-3)
    assert row["over_time_step_s"] == 1.0
    assert row["score"] == pytest.approx((0.25 + 1.25 * 0.75) / 2.25, abs=2e-3)


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2), (96_000, 6), (8_000, 2)])
def test_any_rate_and_channels(tmp_path, rate_hz, channels):
    model = LoadedModel(doubles.fake(tmp_path))
    sound = np.repeat(signals.tone(440, 1.2, rate_hz, 0.5)[:, None], channels, axis=1)
    if channels > 2:
        sound[:, 2:] = 0
    path = signals.write(tmp_path, "wavfloat", sound, rate_hz)
    with Limits().start() as decoder:
        recording = decode(due(path, (task_of("x"),)), "run", decoder, Limits())
        outputs = infer(recording, task_of("x"), model)
        recording.close()
    assert outputs.windows["scores"].shape == (3, 2)
    assert outputs.windows["scores"][1, 0] == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("frames", [1, 3, 30, 2000])
def test_next_to_nothing_is_a_dead_letter_or_scores_and_ends_no_run(tmp_path, frames):
    framewise = doubles.fake(
        tmp_path,
        lambda x: {"frames": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 40, 100]), axis=2)[..., None]},
        name="frames",
        outputs=(Output(name="frames", role="frame_scores", layout="bfl"),),
        labels=doubles.LABELS[:1],
        lead_in_samples=50,
        frame_hop_samples=100,
    )
    tasks = task_of(doubles.fake(tmp_path)), task_of(framewise, "frames")
    path = signals.write(tmp_path, "wavfloat", np.full((frames, 1), 0.1, np.float32), 192_000, stem="click")
    run([due(path, tasks)], tmp_path / "out", *tasks)
    letters = rows(tmp_path / "out", "FROM dead_letters ORDER BY ALL")
    tagged = {row["model_name"] for row in rows(tmp_path / "out", "FROM tags")}
    assert {letter["reason"] for letter in letters} <= {"too_short"}
    assert tagged | {letter["model_name"] for letter in letters} == {"fake", "frames"}
    assert ("fake" in tagged) == (frames > 12)


def test_a_task_that_is_not_due_is_not_done(tmp_path):
    task = task_of(doubles.fake(tmp_path))
    run([due(written(tmp_path, "a"), (QUALITY,)), due(written(tmp_path, "b"), (task,))], tmp_path / "out", task)
    assert {row["track_id"] for row in rows(tmp_path / "out", "FROM tags")} == {"b"}


@pytest.mark.parametrize(("costs", "transient"), [("recording", False), ("attempt", True)])
def test_a_failure_that_may_pass_is_due_again(tmp_path, monkeypatch, costs, transient):
    task = task_of(doubles.fake(tmp_path))
    with failing(monkeypatch, task, costs) as (handler, model, recording):
        (done,) = handler.run_inference([recording], model)
    (letter,) = [row for row in done.report.rows if isinstance(row, DeadLetter)]
    assert (letter.reason, letter.error, letter.advice, letter.transient) == ("away", "gone", "wait", transient)


def test_a_model_that_is_gone_ends_the_run_with_a_word_to_the_launcher(tmp_path, monkeypatch):
    listener = Listener()
    failed = failing(monkeypatch, task_of(doubles.fake(tmp_path)), "run", listener.address)
    with failed as (handler, model, recording), pytest.raises(RunError, match="gone"):
        handler.run_inference([recording], model)
    (event,) = listener.events(1.0)
    listener.close()
    assert (event["event"], event["message"], event["advice"]) == ("fatal", "gone", "wait")


@contextlib.contextmanager
def failing(monkeypatch, task, costs, address=None):
    """A handler, its model, which fails at every recording, and a recording."""
    journal = Journal(address)
    handler = SavedModelHandler(task, tag_by, journal)
    model = handler.load_model()

    def answers(self, calls):
        raise ModelError("away", "gone", "wait", costs=costs)
        yield

    monkeypatch.setattr(LoadedModel, "answers", answers)
    path = signals.write(Path(task.model_uri), "wav16", signals.tone(440, 1.0, 8_000), 8_000)
    with Limits().start() as decoder:
        recording = decode(due(path, (task,)), "run", decoder, Limits())
        yield handler, model, recording
        recording.close()
    journal.close()


def test_a_model_that_does_not_fit_ends_the_run_with_a_word_to_the_launcher(tmp_path):
    folder = doubles.fake(tmp_path)
    (folder / "saved_model.pb").write_bytes(b"")
    listener = Listener()
    journal = Journal(listener.address)
    with pytest.raises(RunError, match="cannot be loaded"):
        SavedModelHandler(task_of(folder), tag, journal).load_model()
    journal.close()
    (event,) = listener.events(1.0)
    listener.close()
    assert event["event"] == "fatal"
    assert "export it again" in event["advice"]
