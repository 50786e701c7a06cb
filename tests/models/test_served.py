"""Models on a server: the same results as in this process, and words for whatever a server and a network can do."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from models.apply import apply
from models.card import ModelError, Output, read_card
from models.endpoint import Endpoint
from models.masking import separate_array
from models.saved import LoadedModel
from models.served import ServedModel
from tests import signals
from tests.doubles import models as doubles
from tests.doubles.serving import Server

ROOT = Path(__file__).parents[2]
MUSIC = signals.music(20.3, doubles.RATE_HZ, 1, seed=5)  # 41 windows: five device batches of 8, and one window
FRAMES = {
    "name": "frames",
    "outputs": (Output(name="frames", role="frame_scores", layout="bfl"),),
    "labels": doubles.LABELS[:1],
    "frame_hop_samples": 100,
}


def frames(x):
    return {"frames": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 40, 100]), axis=2)[..., None]}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    doubles.fake(folder, device_batch=8)
    doubles.fake(folder, frames, **FRAMES)
    doubles.separator(folder)
    doubles.fake(folder, name="wide", window_samples=300_000, hop_samples=300_000)
    return folder


@pytest.fixture(scope="module")
def running(base, tmp_path_factory):
    made = Server(base, tmp_path_factory.mktemp("log") / "log").start()
    yield made
    made.stop()


@pytest.fixture
def server(running):
    return running.will()


def served(server, name="fake", **fields):
    card = read_card(server.base / name / "1")
    changes = fields.pop("card", {})
    return ServedModel(
        card.model_copy(update=changes), Endpoint(host="127.0.0.1", port=server.port, name=name, **fields)
    )


def scores(model, samples=MUSIC):
    return apply(model, np.array_split(samples, 7), len(samples)).windows["scores"]


# The same -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fake", "frames"])
def test_the_same_as_in_this_process(server, base, name):
    here = apply(LoadedModel(base / name / "1"), [MUSIC], len(MUSIC))
    there = apply(served(server, name), [MUSIC], len(MUSIC))
    for kind in ("windows", "frames"):
        for output, values in getattr(here, kind).items():
            np.testing.assert_allclose(getattr(there, kind)[output], values, atol=1e-6)
    assert set(there.windows) | set(there.frames) == {"fake": {"scores", "extremes"}, "frames": {"frames"}}[name]


def test_stems_of_a_served_separator(server, base):
    samples = signals.music(21.0, 22_050, 2, seed=2)
    here = separate_array(LoadedModel(base / "band" / "1"), samples, 22_050)
    np.testing.assert_allclose(separate_array(served(server, "band"), samples, 22_050), here, atol=1e-6)


# Requests -------------------------------------------------------------------------------------------------------


def test_calls_are_device_batches_of_few_sizes(server):
    model = served(server)
    server.will()
    scores(model)
    windows = [request["windows"] for request in server.asked()]  # in any order, for several are in flight
    assert sorted(windows, reverse=True) == [8, 8, 8, 8, 8, 1]


def test_calls_stay_below_the_limit_of_messages(server):
    model = served(server, "band", message_mib=3)  # a window takes 983,040 bytes in, and its mask as many out
    server.will()
    model.predict(np.zeros((4, model.card.window_samples, 2), np.float32))
    asked = server.asked()
    assert [request["windows"] for request in asked] == [2, 2]
    assert max(request["bytes"] for request in asked) < 3 << 20


def test_a_window_over_the_limit(server):
    with pytest.raises(ModelError, match=r"is too large: RESOURCE_EXHAUSTED .* message_mib=1: raise it") as caught:
        served(server, "wide", message_mib=1)
    assert caught.value.costs == "run"
    assert server.asked() == []


@pytest.mark.parametrize("in_flight", [1, 3])
def test_never_more_in_flight_than_told(server, in_flight):
    model = served(server, in_flight=in_flight)
    server.will(*["slow:0.5"] * 3)
    scores(model)
    assert max(request["in_flight"] for request in server.asked()) == in_flight


def test_what_is_asked_ahead_is_bounded(server):
    model = served(server, in_flight=2)
    taken = []

    def batches():
        for number in range(6):
            taken.append(number)
            yield np.full((1, doubles.WINDOW, 1), number / 10, np.float32)

    given = model.predict_each(batches())
    for number in range(6):
        assert next(given)["extremes"][0, 0] == pytest.approx(number / 10)
        assert len(taken) <= number + 2
    given.close()


# Faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"])
def test_what_passes_is_asked_again(server, base, code):
    model = served(server)
    server.will(code, "ok", code, code)
    np.testing.assert_allclose(scores(model), scores(LoadedModel(base / "fake" / "1")), atol=1e-6)
    assert len(server.asked()) == 6 + 3


def test_a_slow_answer_is_given_up_and_asked_for_again(server, base):
    model = served(server, deadline_s=3)
    server.will("ok", "slow:8")
    np.testing.assert_allclose(scores(model), scores(LoadedModel(base / "fake" / "1")), atol=1e-6)
    assert len(server.asked()) == 7


@pytest.mark.parametrize(
    ("code", "costs", "words"),
    [
        ("INVALID_ARGUMENT", "recording", "models check"),
        ("OUT_OF_RANGE", "recording", "models check"),
        ("INTERNAL", "attempt", "server's log"),
        ("NOT_FOUND", "run", "a model of this name and version"),
        ("UNIMPLEMENTED", "run", "8500, not 8501"),
        ("FAILED_PRECONDITION", "run", "server's log"),
        ("UNAUTHENTICATED", "run", "who asks"),
    ],
)
def test_what_does_not_pass_is_not_asked_again(server, code, costs, words):
    model = served(server)
    server.will(code)
    with pytest.raises(
        ModelError, match=rf"127.0.0.1:{server.port}/fake refused: {code} \(a fault for a test\)"
    ) as caught:
        model.predict(MUSIC[: doubles.WINDOW][None])
    assert (caught.value.costs, len(server.asked())) == (costs, 1)
    assert words in caught.value.advice
    assert model.predict(MUSIC[: doubles.WINDOW][None])["scores"].shape == (1, 2)


def test_a_server_that_stays_away_is_asked_once_for_each_further_recording_until_it_is_back(server):
    model = served(server, patience_s=2)
    server.will(*["UNAVAILABLE"] * 100)
    with pytest.raises(ModelError, match=r"gives no answer, asked \d+ times in \d s: UNAVAILABLE") as caught:
        model.predict(MUSIC[: doubles.WINDOW][None])
    assert caught.value.costs == "attempt"
    assert len(server.asked()) > 1
    server.will("UNAVAILABLE")
    with pytest.raises(ModelError, match="asked once, for it has stayed away"):
        model.predict(MUSIC[: doubles.WINDOW][None])
    assert len(server.asked()) == 1
    scores(model)
    server.will("UNAVAILABLE")
    scores(model)  # patient again
    assert len(server.asked()) == 7


def test_another_version_in_the_midst(server):
    model = served(server, card={"version": "2026-11"})  # no number to go by
    assert model.version == 1
    server.will("ok", "version:2")
    with pytest.raises(ModelError, match=r"answers with version 2, not 1.*fake/1 asks for that one alone") as caught:
        scores(model)
    assert caught.value.costs == "run"


def test_versions_that_are_not_those_of_the_card(server):
    with pytest.raises(ModelError, match="answers with version 1, not 3"):
        served(server, card={"version": "3"})
    assert served(server, card={"version": "3"}, version=1).version == 1  # named by hand
    with pytest.raises(ModelError, match=r"NOT_FOUND \(Servable not found for request: Specific\(fake, 2\)"):
        served(server, version=2)


def test_an_answer_without_outputs(server):
    model = served(server)
    server.will("empty")
    with pytest.raises(ModelError, match="without the outputs of its signature") as caught:
        scores(model)
    assert caught.value.costs == "run"


def test_a_signature_that_is_not_the_cards(server):
    with pytest.raises(ModelError, match="axis 't' is 4000, the card says 2000"):
        served(server, card={"window_samples": 2000, "hop_samples": 2000})
    with pytest.raises(ModelError, match="has the signatures serving_default, its card asks for 'predict'"):
        served(server, card={"signature": "predict"})


def test_a_smaller_limit_on_the_server_is_told(base, tmp_path):
    server = Server(base, tmp_path / "log", max_bytes=100_000).start()
    try:
        model = served(server)
        with pytest.raises(ModelError, match=r"is too large: RESOURCE_EXHAUSTED .*else lower it") as caught:
            scores(model)
        assert caught.value.costs == "run"
    finally:
        server.stop()


def test_a_server_that_dies_and_is_started_again(base, tmp_path):
    server = Server(base, tmp_path / "log").start()
    try:
        model = served(server)
        server.will("ok", "die")
        restart = threading.Timer(1.0, server.start)
        restart.start()
        np.testing.assert_allclose(scores(model), scores(LoadedModel(base / "fake" / "1")), atol=1e-6)
        restart.join()
        met = [request["fault"] for request in server.asked()]
        assert met.count("die") == 1
        assert met.count("ok") >= 6
    finally:
        server.stop()


ASKS = """
import sys
from models.card import ModelError
from models.connection import Connection
from models.endpoint import Endpoint

for secure in (True, False):
    at = Connection(Endpoint(host="localhost", port=int(sys.argv[1]), name="fake", secure=secure, patience_s=0))
    method = at.channel.unary_unary("/tensorflow.serving.PredictionService/GetModelMetadata")
    try:
        at.answer(method, b"")
    except ModelError as error:
        print(error.message)
"""


def test_by_tls_to_a_server_that_is_trusted_only(base, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = Server(base, tmp_path / "log", tls=(key.read_bytes(), certificate.read_bytes())).start()
    try:
        told = {}
        for roots in (certificate, ""):  # "": those that gRPC brings along
            its = {**os.environ, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots), "PYTHONPATH": str(ROOT)}
            asked = [sys.executable, "-c", ASKS, str(server.port)]
            done = subprocess.run(asked, env=its, cwd=ROOT, capture_output=True, text=True, check=True)
            told[roots] = done.stdout.splitlines()
    finally:
        server.stop()
    assert "NOT_FOUND (Servable not found" in told[certificate][0]  # it was understood: the request names no model
    assert "UNAVAILABLE" in told[certificate][1]  # not by TLS
    assert "UNAVAILABLE" in told[""][0]
