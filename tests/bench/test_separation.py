"""What separators cost: multiply-adds counted by hand, the published network's size, and one run of the bench."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf

from bench import separation, separators, spleeter
from models.card import Input, ModelError, Output
from models.saved import save
from tests.doubles.models import card, fake, module
from tests.signals import music, tone, write


def spec(*shape):
    return tf.TensorSpec(shape, tf.float32)


@pytest.mark.parametrize(
    ("function", "shape", "wanted"),
    [
        (lambda x: tf.nn.conv2d(x, tf.ones([3, 5, 2, 7]), [1, 2, 2, 1], "SAME"), (1, 8, 10, 2), 4 * 5 * 7 * 3 * 5 * 2),
        (
            lambda x: tf.nn.conv2d_transpose(x, tf.ones([3, 5, 7, 2]), [1, 16, 20, 7], [1, 2, 2, 1]),
            (1, 8, 10, 2),
            8 * 10 * 2 * 3 * 5 * 7,
        ),
        (lambda x: tf.matmul(x, tf.ones([6, 4])), (3, 6), 3 * 6 * 4),
        (lambda x: tf.matmul(x, tf.ones([6, 4]), transpose_a=True), (6, 3), 3 * 6 * 4),
        (lambda x: tf.matmul(x, tf.ones([2, 6, 4])), (2, 3, 6), 2 * 3 * 6 * 4),
        (lambda x: tf.function(lambda y: tf.matmul(y, tf.ones([6, 4])))(x) + 1.0, (3, 6), 3 * 6 * 4),
        (lambda x: tf.signal.stft(x, 16, 8), (1, 64), 0),
    ],
)
def test_multiply_adds(function, shape, wanted):
    assert separation.multiply_adds(function, spec(*shape)) == wanted


def test_of_a_saved_model_per_second(tmp_path):
    path = fake(tmp_path, lambda x: {"scores": tf.sigmoid(x @ tf.ones([4000, 2])), "extremes": x[:, :2]})
    assert separation.multiply_adds_per_s(str(path)) == 4000 * 2 / 0.5, "windows of half a second"


def test_the_published_network_has_its_size():
    assert 2 * spleeter.unet().count_params() == pytest.approx(19.6e6, rel=0.005)


def test_its_masks_are_laid_over_the_mixture():
    """Two estimates alike: half of everything up to bin 1024 (11,025 Hz), nothing above."""
    fade = np.hanning(spleeter.RATE_HZ).astype(np.float32)
    low, high = (np.stack([tone(hz, 1.0, spleeter.RATE_HZ) * fade] * 2, axis=1) for hz in (700, 15_000))
    found = spleeter.separate(lambda x: [x, x], low + high)
    assert found.shape == low.shape
    assert found == pytest.approx(low / 2, abs=1e-3)


def test_the_clock_adds_up():
    clock = separation.Clock()
    double = clock.around(lambda x: 2 * x)
    assert [double(1), double(2)] == [2, 4]
    assert clock.taken_s > 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A separator that gives half of what it hears."""
    its = card(
        task="stems",
        inputs=(Input(name="waveform", layout="btc"),),
        outputs=(Output(name="vocals", role="waveform", layout="btc"),),
        sample_rate_hz=44_100,
        channels=2,
        labels=(),
        thresholds_chosen="",
    )
    folder = tmp_path_factory.mktemp("models") / "halving"
    save(module(lambda x: {"vocals": x / 2}, (None, its.window_samples, 2)), its, folder)
    return folder


def test_a_model_by_its_uri_is_a_separator(model):
    ((name, separate),) = separators.systems(["model"], str(model)).items()
    mixture = music(1.0, 44_100, 2)
    assert name == str(model)
    assert separate(mixture, np.zeros_like(mixture), mixture, 44_100) == pytest.approx(mixture / 2, abs=1e-6)


def test_the_newest_separator_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setattr(
        separators, "pretrained", lambda: [tmp_path / "musicnn-msd" / "1", tmp_path / "separator" / "2"]
    )
    assert separators.default_model() == "pretrained:separator/2"
    monkeypatch.setattr(separators, "pretrained", list)
    with pytest.raises(ModelError, match=r"no model of the name `separator`.*--systems"):
        separators.systems(["model"])


def test_a_worker_waits_and_tells_what_it_took(model, tmp_path, monkeypatch, capsys):
    track = write(tmp_path, "flac", music(2.0, 44_100, 2), 44_100)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    separation.work(str(model), str(track), 0.2)
    ready, told = capsys.readouterr().out.splitlines()
    found = json.loads(told)
    assert ready == "ready"
    assert found["audio_s"] % 2.0 == 0
    assert found["audio_s"] > 0
    assert 0 < found["network_s"] < found["wall_s"]
    assert found["wall_s"] > 0.2
