"""The detector's network: shapes, pooling that localises, a loss of labels alone, one graph trained and exported."""

import keras
import numpy as np
import pytest

from models.card import Licences
from models.check import check
from models.defects import Heard
from models.detection import export as exporting
from models.detection.detector import NetworkDetector
from models.detection.features import features
from models.detection.network import (
    CELL,
    FEATURES,
    FRAMES,
    HOP,
    RATE_HZ,
    BothWays,
    NetworkConfig,
    loss,
    network,
    pooled,
)
from models.events import CLASSES, Fusion
from models.saved import LoadedModel
from tests.models.detection.test_features import music

SMALL = NetworkConfig(channels=(4, 4, 4, 4), wide=8, recurrent=4)
NOTHING = Licences(code="songscan's", weights="none", training_data="none", research_only=False)


@pytest.fixture(scope="module")
def untrained():
    """Its last layer drawn wider, so that probabilities differ."""
    keras.utils.set_random_seed(1)
    made = network(SMALL)
    kernel, bias = made.get_layer("probabilities").variables
    kernel.assign(3 * kernel)
    bias.assign(0 * bias)
    return made


@pytest.fixture(scope="module")
def exported(untrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "1"
    exporting.export(untrained, exporting.card("small", "1", NOTHING, []), folder)
    return LoadedModel(folder)


def test_a_probability_for_each_frame_and_class(untrained):
    told = untrained(np.zeros((2, FRAMES, FEATURES), np.float32), training=False)
    assert told.shape == (2, FRAMES, len(CLASSES))


def test_begun_with_nothing_is_defective():
    keras.utils.set_random_seed(1)
    heard = np.random.default_rng(0).normal(0, 1, (2, FRAMES, FEATURES)).astype(np.float32)
    assert np.asarray(network(SMALL)(heard, training=False)).mean() < 0.05


def test_both_ways_is_a_gru_forwards_and_one_backwards():
    keras.utils.set_random_seed(2)
    plain = keras.layers.Bidirectional(keras.layers.GRU(5, return_sequences=True))
    together = BothWays(5)
    heard = np.random.default_rng(0).normal(0, 1, (2, 30, 3)).astype(np.float32)
    shapes = [layer(heard).shape for layer in (plain, together)]
    weights = [np.random.default_rng(at).normal(0, 1, w.shape) for at, w in enumerate(plain.get_weights())]
    plain.set_weights(weights)
    together.set_weights(weights)
    assert shapes == [(2, 30, 10)] * 2
    np.testing.assert_allclose(together(heard), plain(heard), atol=1e-5)


def frames(*, low=0.001, first=100, count=1, high=0.99):
    made = np.full((1, FRAMES, 1), low, np.float32)
    made[0, first : first + count] = high
    return made


def test_one_frame_is_enough_for_a_clip_and_a_little_everywhere_is_not():
    assert float(pooled(frames())[0, 0]) > 0.85
    assert float(pooled(frames(count=FRAMES))[0, 0]) > 0.98
    assert float(pooled(frames(low=0.1, count=0))[0, 0]) == pytest.approx(0.1, abs=1e-3)


def test_pooling_teaches_frames_above_half_to_rise_and_those_below_to_fall():
    """The gradient of sum p^2 / sum p in p is (2 p - y) / sum p."""
    import tensorflow as tf

    p = tf.Variable(frames(low=0.2, count=300, high=0.8))
    with tf.GradientTape() as tape:
        told = pooled(p)[0, 0]
    slope = np.asarray(tape.gradient(told, p))[0, :, 0].reshape(-1, CELL).sum(axis=1)
    assert (slope[10:40] > 0).all()
    assert (slope[:10] < 0).all()
    assert (slope[40:] < 0).all()


def test_the_loss_asks_what_and_not_where():
    labels = np.zeros((1, 1), np.float32) + 1
    here, there, nowhere = (float(loss(made, labels)[0]) for made in (frames(), frames(first=700), frames(count=0)))
    assert here == pytest.approx(there, abs=1e-5)
    assert nowhere > here + 3
    assert float(loss(frames(), 0 * labels)[0]) > 1


def test_the_exported_graph_computes_what_was_trained(untrained, exported):
    clips = np.stack([music(1), music(2)])
    trained = np.asarray(untrained(features(clips), training=False))
    told = exported.predict(clips)["probabilities"]
    assert np.ptp(trained) > 0.1
    np.testing.assert_allclose(told, trained, atol=1e-5)
    np.testing.assert_array_equal(told, exported.predict(clips)["probabilities"])


def test_it_can_be_used(exported):
    assert [finding for finding in check(exported) if finding.status in ("fail", "warn")] == []


def test_gain_does_not_matter(exported):
    clip = music(3)
    loud, soft = exported.predict(np.stack([clip, 0.05 * clip]))["probabilities"]
    np.testing.assert_allclose(loud, soft, atol=0.02)


def test_windows_join_without_a_seam(exported):
    """A recording of several windows: no step at their seams beyond those elsewhere, and its own number of frames."""
    long = np.tile(music(4), (3, 1))[: 20 * RATE_HZ + 100]
    outputs = NetworkDetector(exported).outputs(Heard(long, RATE_HZ))
    told = outputs.frames["probabilities"]
    assert told.shape == (2001, len(CLASSES))
    steps = np.abs(np.diff(told, axis=0)).max(axis=1)
    seams = [700, 800, 1400, 1500]
    assert max(steps[seam - 2 : seam + 2].max() for seam in seams) <= np.delete(steps, seams).max()
    alone = exported.predict(long[None, : FRAMES * HOP])["probabilities"][0]
    np.testing.assert_allclose(told[:700], alone[:700], atol=1e-5)


def test_a_card_says_what_is_left_to_measures(exported):
    fusion = Fusion(high=0.7, low=0.2)
    ways = dict.fromkeys(CLASSES, (fusion, "network"))
    ways |= {"hum": (None, "measure:hum"), "click": (fusion, "network+measure:clicks")}
    its = exporting.settled(exported.card, ways, "by hand")
    labels = {label.name: label for label in its.labels}
    assert labels["hum"].by == "measure:hum"
    assert [labels[name].measure for name in ("hum", "click", "crackle")] == ["hum", "clicks", ""]
    assert labels["hum"].fusion is None
    assert labels["crackle"].fusion.high == 0.7
    assert type(its).model_validate_json(its.to_json()) == its
