"""SavedModels of any exporter run if their card is right, and say what is wrong with it if it is not."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.card import CARD_PATH, Input, Label, ModelError, Output
from models.saved import LoadedModel, write_card
from tests.doubles import models as doubles

NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, (5, doubles.WINDOW, 1)).astype(np.float32)
RMS = np.sqrt((NOISE**2).mean(axis=(1, 2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return doubles.fake(tmp_path_factory.mktemp("models"))


def recarded(folder, tmp_path, **changes):
    """The model in `folder` with another card."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).symlink_to(path) if path.name != "assets.extra" else None
    (copy / "assets.extra").mkdir()
    fields = {**json.loads((folder / CARD_PATH).read_text()), **changes}
    (copy / CARD_PATH).write_text(json.dumps(fields))
    return copy


def test_outputs_by_name(folder):
    given = LoadedModel(folder).predict(NOISE)
    np.testing.assert_allclose(given["scores"][:, 0], RMS, rtol=1e-5)
    np.testing.assert_allclose(given["extremes"], np.stack([NOISE.min(axis=(1, 2)), NOISE.max(axis=(1, 2))], 1))


def test_neighbours_and_filling_up_change_nothing(folder):
    model = LoadedModel(folder)
    alone = np.concatenate([model.predict(window[None])["scores"] for window in NOISE])
    np.testing.assert_allclose(model.predict(NOISE)["scores"], alone, atol=1e-6)


def test_device_batches_have_few_sizes(tmp_path):
    seen = []

    def watched(x):
        tf.py_function(lambda n: seen.append(int(n)), [tf.shape(x)[0]], [])
        return doubles.loudness_and_sign(x)

    model = LoadedModel(doubles.fake(tmp_path, watched, device_batch=12))
    for count in (1, 2, 3, 5, 9, 12):
        model.predict(np.resize(NOISE, (count, doubles.WINDOW, 1)))
    assert set(seen) <= {1, 2, 4, 8, 12}


def test_keras_export_with_another_rate_and_channels_first(tmp_path):
    """As an ML engineer elsewhere would: model.export, [batch, channels, time], logits."""
    sound = keras.Input((2, 480), name="audio_cf")
    pooled = keras.layers.GlobalAveragePooling1D(data_format="channels_first")(keras.ops.abs(sound))
    logits = keras.layers.Dense(3, kernel_initializer="ones")(pooled)
    model = keras.Model(sound, logits)
    model.export(tmp_path / "theirs", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "theirs")).signatures["serving_default"]
    (in_name,), (out_name,) = loaded.structured_input_signature[1], loaded.structured_outputs
    card = doubles.card(
        inputs=(Input(name=in_name, layout="bct"),),
        outputs=(Output(name=out_name, role="scores", activation="sigmoid"),),
        labels=tuple(Label(name=name) for name in "abc"),
        sample_rate_hz=48_000,
        channels=2,
        window_samples=480,
        hop_samples=240,
        thresholds_chosen="",
    )
    write_card(card, tmp_path / "theirs")
    windows = np.random.default_rng(0).normal(size=(7, 480, 2)).astype(np.float32)
    means = np.abs(windows).mean(axis=1).sum(axis=1)
    given = LoadedModel(tmp_path / "theirs").predict(windows)[out_name]
    np.testing.assert_allclose(given, np.repeat(1 / (1 + np.exp(-means)), 3).reshape(7, 3), rtol=1e-5)


class Odd(tf.Module):
    """No batch axis, 16-bit samples, a constant beside them, scores as [1, labels], frames as [labels, frames]."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([480], tf.int16, name="Pcm:in".replace(":", "_")),
            tf.TensorSpec([], tf.bool, name="training"),
        ]
    )
    def infer_me(self, pcm, training):
        x = tf.cast(pcm, tf.float32) / 32768 + tf.cast(training, tf.float32)
        frames = tf.reduce_mean(tf.reshape(tf.abs(x), [4, 120]), axis=1)
        return {"OUT 1": tf.reduce_mean(x)[None, None], "frames": frames[None, :], "junk": tf.constant("text")}


def odd(tmp_path, **changes):
    module = Odd()
    tf.saved_model.save(module, str(tmp_path / "odd"), signatures={"odd name": module.infer_me})
    fields = {
        "signature": "odd name",
        "inputs": (
            Input(name="Pcm_in", layout="t", scale=32768.0),
            Input(name="training", role="constant", layout="", value=False),
        ),
        "outputs": (
            Output(name="OUT 1", role="scores", layout="1l"),
            Output(name="frames", role="frame_scores", layout="lf"),
        ),
        "labels": (Label(name="level"),),
        "window_samples": 480,
        "hop_samples": 480,
        "frame_hop_samples": 120,
        "thresholds_chosen": "",
    }
    write_card(doubles.card(**{**fields, **changes}), tmp_path / "odd")
    return tmp_path / "odd"


def test_odd_names_no_batch_axis_and_integers(tmp_path):
    model = LoadedModel(odd(tmp_path))
    windows = np.repeat(np.array([0.25, 0.5], np.float32), 480).reshape(2, 480, 1)
    given = model.predict(windows)
    np.testing.assert_allclose(given["OUT 1"], [[0.25], [0.5]], atol=1e-4)
    np.testing.assert_allclose(given["frames"], np.repeat([0.25, 0.5], 4).reshape(2, 4, 1), atol=1e-4)
    assert model.frames == 4
    assert "junk" not in given


def test_a_fixed_batch_is_filled_up(tmp_path):
    module = doubles.module(doubles.loudness_and_sign, (4, doubles.WINDOW))
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__)
    write_card(doubles.card(device_batch=16), tmp_path / "m")
    np.testing.assert_allclose(LoadedModel(tmp_path / "m").predict(NOISE)["scores"][:, 0], RMS, rtol=1e-5)


def test_no_silence_of_our_making_comes_to_a_model(tmp_path):
    """A batch that is not full is filled up with what is there: some models give NaN on silence."""

    def cannot_stand_silence(x):
        level = tf.reduce_mean(x**2, axis=1, keepdims=True)
        return {"scores": tf.concat([level / level, level], axis=1)}

    model = LoadedModel(doubles.fake(tmp_path, cannot_stand_silence, outputs=(Output(name="scores", role="scores"),)))
    assert model.predict(NOISE[:3])["scores"].shape == (3, 2)
    with pytest.raises(ModelError, match="NaN"):
        model.predict(0 * NOISE[:3])


def test_inputs_that_are_no_numbers(tmp_path):
    module = doubles.module(lambda files: {"scores": tf.zeros([1, 2])}, (None, doubles.WINDOW), tf.string)
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__)
    write_card(doubles.card(outputs=(Output(name="scores", role="scores"),)), tmp_path / "m")
    with pytest.raises(ModelError, match="input 'waveform' of fake holds string"):
        LoadedModel(tmp_path / "m")


def test_full_scale_of_integers_is_clipped_and_not_turned_over(tmp_path):
    loud = np.full((1, 480, 1), 1.5, np.float32)
    np.testing.assert_allclose(LoadedModel(odd(tmp_path)).predict(loud)["OUT 1"], 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"signature": "predict"}, "no_signature", "Set signature to 'serving_default'"),
        ({"inputs": [{"name": "x"}]}, "wrong_names", "has the inputs waveform, its card x"),
        ({"outputs": [{"name": "y", "role": "scores"}]}, "wrong_names", "outputs extremes, scores, its card y"),
        ({"inputs": [{"name": "waveform", "layout": "bt1"}]}, "wrong_rank", "its layout 'bt1' has 3 axes"),
        ({"window_samples": 5000}, "wrong_shape", "axis 't' is 4000, the card says 5000"),
        ({"labels": [{"name": "one"}]}, "wrong_shape", "axis 'l' is 2, the card says 1"),
    ],
)
def test_a_card_that_does_not_fit_says_where(folder, tmp_path, changes, reason, words):
    with pytest.raises(ModelError) as error:
        LoadedModel(recarded(folder, tmp_path, **changes))
    assert error.value.reason == reason
    assert words in str(error.value)


def test_nothing_to_load(tmp_path):
    write_card(doubles.card(), tmp_path)
    with pytest.raises(ModelError, match="export it again"):
        LoadedModel(tmp_path)


def test_an_optimiser_whose_class_is_gone_is_left_out(tmp_path):
    """As Keras 2 stored them: its SavedModels do not load as objects any more, their graphs do."""
    module = doubles.module(doubles.loudness_and_sign, (None, doubles.WINDOW))
    module.variable = tf.Variable(1.0)
    module.optimizer = tf.compat.v1.train.AdamOptimizer()
    with tf.GradientTape() as tape:
        loss = module.variable**2
    module.optimizer.apply_gradients([(tape.gradient(loss, module.variable), module.variable)])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__)
    write_card(doubles.card(), tmp_path / "m")
    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(LoadedModel(tmp_path / "m").predict(NOISE)["scores"][:, 0], RMS, rtol=1e-5)


def test_no_signatures_at_all(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    write_card(doubles.card(), tmp_path / "m")
    with pytest.raises(ModelError, match="has no signatures"):
        LoadedModel(tmp_path / "m")


@pytest.mark.parametrize(
    ("scores", "reason", "words"),
    [
        (lambda rms: tf.math.log(rms) / 0.0, "nan_output", "50 % of output 'scores' are NaN or infinite"),
        (lambda rms: 20 * rms, "no_scores", "Are these logits"),
    ],
)
def test_values_that_cannot_be(tmp_path, scores, reason, words):
    def spoiled(x):
        given = doubles.loudness_and_sign(x)
        loud = tf.reduce_max(x, axis=1) > 0.2
        first = tf.where(loud, scores(given["scores"][:, 0]), 0.0)
        return {**given, "scores": tf.stack([first, given["scores"][:, 1]], axis=1)}

    model = LoadedModel(doubles.fake(tmp_path, spoiled))
    with pytest.raises(ModelError) as error:
        model.predict(NOISE[:1])
    assert error.value.reason == reason
    assert words in str(error.value)
    model.predict(0.1 * NOISE)


def test_an_error_within_the_model_is_ours(tmp_path):
    def strict(x):
        tf.debugging.assert_less(tf.reduce_max(x), 0.2, "too loud for me")
        return doubles.loudness_and_sign(x)

    with pytest.raises(ModelError, match="too loud for me"):
        LoadedModel(doubles.fake(tmp_path, strict)).predict(NOISE)


def test_frames_that_do_not_reach_the_next_window(tmp_path):
    with pytest.raises(ModelError, match="4 frames every 60 samples do not reach"):
        LoadedModel(odd(tmp_path, frame_hop_samples=60))


def test_saving_is_whole_or_not_at_all(tmp_path):
    with pytest.raises(ModelError):
        doubles.fake(tmp_path, lambda x: {"scores": x})
    assert list((tmp_path / "fake").iterdir()) == []
