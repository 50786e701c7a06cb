"""Scans by a model on a server, which restarts in the midst or stays away; and what is exported to one."""

import io
import pickle
import threading

import numpy as np
import pytest
from rich.console import Console

from models.card import CARD_PATH, ModelError
from models.export import export
from models.saved import LoadedModel
from models.warmup import WARMUP_PATH
from pipelines.models_page import check_model, export_model
from tests.doubles import models as doubles
from tests.doubles.serving import Server
from tests.pipelines.scans import catalogue, last_run, rows, scan
from transforms.errors import RunError
from transforms.infer import SavedModelHandler
from transforms.journal import Journal, Listener
from transforms.records import Task
from transforms.tag import tag_by

ONE = "--direct_num_workers=1"  # TensorFlow starts once only
TAGS = "SELECT * EXCLUDE (run_id, time) FROM tags ORDER BY ALL"
LOADING = ["ok"] * 2  # what loading asks for


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    doubles.fake(folder)
    return folder


@pytest.fixture(scope="module")
def running(base, tmp_path_factory):
    made = Server(base, tmp_path_factory.mktemp("log") / "log").start()
    yield made
    made.stop()


@pytest.fixture
def server(running):
    return running.will()


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80)


def said(console):
    return " ".join(console.file.getvalue().split())


# Scan -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return catalogue(tmp_path_factory.mktemp("music") / "music", 6)


@pytest.fixture(scope="module")
def served(running, base, music, tmp_path_factory):
    """An output of a server that answered late, died and was started again in the midst; not to be changed."""
    output = tmp_path_factory.mktemp("served") / "out"
    running.will(*LOADING, "ok", "UNAVAILABLE", "ok", "die")
    died = running.process

    def restart():
        died.join()
        running.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    scan(music, output, "--tasks=tags", f"--models={running.uri('fake', base / 'fake' / '1')}", ONE)
    restarting.join()
    return output


def test_a_restart_in_the_midst_loses_nothing(served):
    assert len(rows(served, "SELECT DISTINCT track_id FROM tags")) == 6
    assert rows(served, "FROM dead_letters") == []


def test_what_a_server_that_stays_away_leaves_undone_is_due_again(served, server, base, music, tmp_path):
    server.will(*LOADING, "ok", "ok", *["UNAVAILABLE"] * 100)
    uri = server.uri("fake", base / "fake" / "1" / CARD_PATH, "patience_s=0.5")
    scan(music, tmp_path / "out", "--tasks=tags", f"--models={uri}", ONE, "--max_failed_fraction=1")
    assert rows(tmp_path / "out", "SELECT status, count(*) AS n FROM work GROUP BY ALL ORDER BY ALL") == [
        {"status": "failed_transient", "n": 4},
        {"status": "ok", "n": 2},
    ]
    letter = rows(tmp_path / "out", "FROM dead_letters")[0]
    assert letter["reason"] == "serving_unavailable"
    assert f"grpc://127.0.0.1:{server.port}/fake gives no answer" in letter["error"]
    assert "Is the server up" in letter["advice"]
    # The same model in a folder goes on with what is left, and finds what the server does.
    scan(music, tmp_path / "out", "--tasks=tags", f"--models={base / 'fake' / '1'}", ONE)
    assert last_run(tmp_path / "out")["up_to_date"] == 2
    assert rows(tmp_path / "out", TAGS) == rows(served, TAGS)


def test_no_server_at_all_ends_the_run_in_words(base):
    listener = Listener()
    journal = Journal(listener.address)
    uri = f"grpc://127.0.0.1:1/fake?card={base / 'fake' / '1'}&patience_s=0"
    task = Task(name="tags", model_name="fake", model_version="1", model_uri=uri)
    pickle.loads(pickle.dumps(SavedModelHandler(task, tag_by, journal)))  # as runners do
    with pytest.raises(RunError, match=r"grpc://127.0.0.1:1/fake gives no answer"):
        SavedModelHandler(task, tag_by, journal).load_model()
    journal.close()
    (event,) = listener.events(1.0)
    listener.close()
    assert event["event"] == "fatal"
    assert "Is the server up, and can this machine reach it?" in event["advice"]


# Check and export -----------------------------------------------------------------------------------------------


def test_a_served_model_is_checked(console, server, base):
    uri = server.uri("fake", base / "fake" / "1")
    assert check_model(console, uri) == 0
    assert "its signature 'serving_default' fits the card" in said(console)
    assert f"--models='{uri}'".replace(" ", "") in said(console).replace(" ", "")


def test_a_served_model_that_is_not_there_fails(console, server, base):
    assert check_model(console, server.uri("other", base / "fake" / "1")) == 1
    assert "NOT_FOUND" in said(console)
    assert "--model_name is the name in the URI" in said(console)


def test_what_is_exported_is_served_after_its_warm_up(console, tmp_path, base):
    (base / "fake" / "1" / WARMUP_PATH).rename(tmp_path / "older")
    try:
        export_model(console, str(base / "fake" / "1"), str(tmp_path / "models"))
    finally:
        (tmp_path / "older").rename(base / "fake" / "1" / WARMUP_PATH)
    assert "--model_name=fake" in said(console)
    server = Server(tmp_path / "models", tmp_path / "log").start()
    try:
        assert [request["windows"] for request in server.asked("WarmUp")] == [1, 2, 4, 8, 16]
    finally:
        server.stop()
    made = tmp_path / "models" / "fake" / "1"
    assert (made / WARMUP_PATH).stat().st_size < 1000
    assert check_model(console, str(made)) == 0
    assert "warm-up requests for TensorFlow Serving: 5 run" in said(console)


def test_warm_up_requests_that_do_not_run_fail(console, tmp_path):
    folder = doubles.fake(tmp_path)
    other = doubles.fake(tmp_path, name="other", window_samples=2000, hop_samples=2000)
    (folder / WARMUP_PATH).write_bytes((other / WARMUP_PATH).read_bytes())
    assert check_model(console, str(folder)) == 1
    assert "Write them anew: songscan models export" in said(console)
    (folder / WARMUP_PATH).write_bytes(bytes(range(100)))
    assert check_model(console, str(folder)) == 1
    assert "is no TFRecord file" in said(console)


def test_exports_have_numbers_and_replace_nothing(console, tmp_path):
    dated = doubles.fake(tmp_path, version="2026-11")
    with pytest.raises(RunError, match="'2026-11' is no whole number"):
        export_model(console, str(dated), str(tmp_path / "models"))
    made = export(dated, tmp_path / "models", 12)
    assert made == tmp_path / "models" / "fake" / "12"
    np.testing.assert_array_equal(LoadedModel(made).predict(np.ones((1, 4000, 1), np.float32))["scores"], [[1.0, 1.0]])
    with pytest.raises(ModelError, match="is there already"):
        export(dated, tmp_path / "models", 12)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["fake"]
