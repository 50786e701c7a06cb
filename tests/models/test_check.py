"""What does not fit between a model and its card, or would harm a scan, is found; in a good model nothing is found."""

import re

import numpy as np
import pytest
import tensorflow as tf

from models.apply import grid_of
from models.card import Input, Label, ModelError, Output
from models.check import LONGEST, SILENCE, check, hear, recordings
from models.saved import LoadedModel
from tests.doubles import models as doubles

SCORES = (Output(name="scores", role="scores"),)


def model_of(folder, function, **changes):
    return LoadedModel(doubles.fake(folder, function, **changes))


def findings(folder, function, **changes):
    return list(check(model_of(folder, function, **{"outputs": SCORES, **changes})))


def told(found, *statuses):
    """The words of findings of these statuses."""
    return [finding.words for finding in found if finding.status in statuses]


def rms(x):
    """[batch], per window."""
    return tf.sqrt(tf.reduce_mean(x**2, axis=1))


def twice(column):
    """The same for both labels."""
    return {"scores": tf.stack([column, column], axis=1)}


# Good models ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return model_of(tmp_path_factory.mktemp("good"), doubles.loudness_and_sign)


def test_nothing_is_amiss_with_a_good_model(good):
    found = list(check(good))
    assert not told(found, "warn", "fail")
    words = "\n".join(told(found, "ok", "info"))
    assert "signature 'serving_default' fits" in words
    assert "1 of 2 labels have no threshold" in words
    assert "digital silence, 0.5 s: scores: 1 window, 0 to 0;" in words
    assert re.search(
        r"a tone at full scale, 0.5 s: scores: 1 window, 0.5\d* to 0.707; extremes: 1 window, -1 to 1", words
    )
    assert re.search(r"a few windows and a bit, .* s: scores: 5 windows,", words)
    assert "the same recording twice: equal to the bit" in words
    assert re.search(r"a window alone and in a device batch of 16: (equal to the bit|within \d\S*e-0[789])", words)
    assert re.search(r"a device batch of 16 windows, 8 s, takes .* times real time", words)


def test_recordings_are_what_their_names_say(good):
    made, window = recordings(good.card), doubles.WINDOW
    peaks = {name: float(np.abs(recording).max()) for name, recording in made.items()}
    assert peaks[SILENCE] == 0
    assert peaks["a tone at -60 dBFS"] == pytest.approx(1e-3)
    assert peaks["a tone at full scale"] == pytest.approx(1)
    assert 0.99 < peaks["noise at full scale"] <= 1
    assert (made["a click"] != 0).sum() == 1
    assert 0 < len(made["a third of a window"]) < window == len(made["exactly a window"])
    assert grid_of(good.card).count(len(made[LONGEST])) == 5


def test_recordings_have_the_channels_of_the_card_and_never_change():
    stereo = doubles.card(channels=2, inputs=(Input(name="waveform", layout="btc"),))
    made = recordings(stereo)
    assert {recording.shape[1] for recording in made.values()} == {2}
    for name, recording in recordings(stereo).items():
        np.testing.assert_array_equal(recording, made[name])


def test_waveforms_and_frames_are_counted(tmp_path):
    def function(x):
        return {"half": 0.5 * x, "levels": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 40, 100]), axis=2)[..., None]}

    outputs = (
        Output(name="half", role="waveform", layout="bt"),
        Output(name="levels", role="frame_scores", layout="bfl"),
    )
    found = findings(tmp_path, function, outputs=outputs, labels=doubles.LABELS[:1], hop_samples=2000,
        lead_in_samples=1050, frame_hop_samples=100)  # fmt: skip
    assert not told(found, "warn", "fail")
    words = "\n".join(told(found, "ok"))
    assert "a third of a window, 0.167 s: half: 1,334 samples" in words
    assert "levels: 13 frames" in words  # at 50, 150, ... 1,250: 1,050 of lead-in are ten frames and a half
    assert "a tone at full scale, 0.5 s: half: 4,000 samples, peak -6.0 dBFS; levels: 40 frames" in words
    assert "digital silence in, half -inf dBFS out" in words


def test_embeddings_may_have_any_scale(tmp_path):
    """At ten million, float32 has no 1e-4, and a difference of some units is rounding."""
    found = findings(
        tmp_path,
        lambda x: {"big": 1e7 + x[:, :3] + 10 * tf.reduce_mean(x)},
        outputs=(Output(name="big", role="embedding", layout="be"),),
        labels=(),
        thresholds_chosen="",
    )
    assert not told(found, "warn", "fail")
    assert any(re.search(r"a device batch of 16: within \d\S*e-07", words) for words in told(found, "ok"))


# Models that would harm a scan ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "across",
    [
        lambda x: x - tf.reduce_mean(x),
        lambda x: x / tf.maximum(tf.reduce_max(tf.abs(x)), 1e-9),
        lambda x: x + x[:1],
    ],
    ids=["mean of the batch", "maximum of the batch", "first of the batch"],
)
def test_dependence_on_neighbours_fails(tmp_path, across):
    found = findings(tmp_path, lambda x: twice(tf.sigmoid(rms(across(x)))))
    (words,) = told(found, "fail")
    figure = re.fullmatch(
        r"a window alone and in a device batch of 16: output 'scores' differs by (\S+), at most 0.0001 is rounding",
        words,
    )
    assert figure
    assert 1e-3 < float(figure[1]) < 1


def test_a_device_batch_of_one_has_no_neighbours(tmp_path):
    found = findings(tmp_path, lambda x: twice(tf.sigmoid(rms(x - tf.reduce_mean(x)))), device_batch=1)
    assert not told(found, "fail")
    assert any("one by one" in words for words in told(found, "info"))


@pytest.mark.parametrize(("axis", "failures"), [(None, 1), (1, 0)], ids=["of the batch", "of the window"])
def test_decibels_below_the_loudest_of_the_batch_fail(tmp_path, axis, failures):
    """As Keras's MelSpectrogram has it unless told otherwise; only a great difference of level shows it."""

    def function(x):
        decibels = 10 * tf.math.log(tf.maximum(tf.reshape(x**2, [-1, 40, 100]), 1e-12)) / np.log(10)
        loudest = tf.reduce_max(decibels, axis=axis and (1, 2), keepdims=True)
        floored = tf.maximum(decibels, loudest - 80)
        return twice(tf.sigmoid(0.01 * tf.reduce_mean(floored, axis=(1, 2))))

    assert len(told(findings(tmp_path, function), "fail")) == failures


def test_nan_on_silence_fails(tmp_path):
    found = findings(tmp_path, lambda x: twice(rms(x / tf.reduce_max(tf.abs(x), axis=1, keepdims=True))))
    (finding,) = (f for f in found if f.words.startswith("digital silence"))
    assert finding.status == "fail"
    assert "100 % of output 'scores' are NaN" in finding.words
    assert "digital silence" in finding.remedy
    assert any(words.startswith("a tone at -60 dBFS") for words in told(found, "ok"))


def test_logits_fail_where_they_leave_the_range(tmp_path):
    """The faint noise of loading keeps them small."""
    found = findings(tmp_path, lambda x: twice(3 * rms(x)))
    assert {words.split(":")[0] for words in told(found, "fail")} >= {"a tone at full scale", "noise at full scale"}
    assert any("reaches from 2.12 to 2.12" in words for words in told(found, "fail"))  # 3 / sqrt(2)
    assert any("Are these logits?" in finding.remedy for finding in found)
    assert any(words.startswith("digital silence") for words in told(found, "ok"))


def test_a_layout_without_its_axis_of_windows_fails_once_there_are_several(tmp_path):
    found = findings(
        tmp_path,
        lambda x: {"scores": tf.reduce_mean(twice(rms(x))["scores"], axis=0)},
        outputs=(Output(name="scores", role="scores", layout="l"),),
    )
    failures = told(found, "fail")
    assert failures[0].startswith("a few windows and a bit: ")
    assert "has length 1 on axis 'b', not" in failures[0]


def test_chance_fails(tmp_path):
    found = findings(tmp_path, lambda x: twice(0.5 * rms(x) + 0.01 * tf.random.uniform([tf.shape(x)[0]])))
    failures = told(found, "fail")
    assert any(re.match(r"the same recording twice: output 'scores' differs by 0.0", words) for words in failures)
    assert any("dropout" in finding.remedy for finding in found)


def test_frames_beyond_their_window_fail(tmp_path):
    """The model gives one each 50 samples, the card says 100."""
    found = findings(
        tmp_path,
        lambda x: {"levels": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 80, 50]), axis=2)[..., None]},
        outputs=(Output(name="levels", role="frame_scores", layout="bfl"),),
        labels=doubles.LABELS[:1],
        frame_hop_samples=100,
    )
    (finding,) = (f for f in found if f.status == "fail")
    assert finding.words == "80 frames every 100 samples begin after the end of their window of 4000 samples"
    assert finding.remedy == "Correct frame_hop_samples: 50 samples a frame would fit"


def test_a_failing_model_is_told_once_for_each_recording(tmp_path):
    def loud_fails(x):
        with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(tf.abs(x)), 0.5)]):
            return twice(tf.identity(rms(x)))

    found = findings(tmp_path, loud_fails)
    assert {words.split(":")[0] for words in told(found, "fail")} == {
        "a tone at full scale",
        "noise at full scale",
        "a click",
        "a device batch of noise",
    }


def test_wrong_counts_fail(good, monkeypatch):
    """What models/apply.py gives is counted, not trusted."""
    monkeypatch.setattr("models.check.hear", lambda *of: {name: values[:-1] for name, values in hear(*of).items()})
    failures = told(check(good), "fail")
    assert "exactly a window, 0.5 s: scores has 0 windows, by the card there are 1; extremes has 0 windows, " in (
        failures[-1] + "".join(failures)
    )


# Models that are amiss ------------------------------------------------------------------------------------------


def test_silence_that_does_not_stay_silent_is_a_warning(tmp_path):
    outputs = (Output(name="clean", role="waveform", layout="bt"),)
    found = findings(tmp_path, lambda x: {"clean": x + 0.01}, outputs=outputs, labels=(), thresholds_chosen="")
    assert told(found, "warn") == ["digital silence in, clean -40.0 dBFS out"]
    assert not told(found, "fail")


def test_scores_that_never_change_are_a_warning(tmp_path):
    """A network for 16-bit samples that gets +-1."""
    found = findings(tmp_path, lambda x: twice(tf.sigmoid(rms(x) / 32768)))
    (finding,) = (f for f in found if f.status == "warn")
    assert finding.words == "scores hardly changes between silence, tones and noise: 0.5 to 0.50001"
    assert "32768" in finding.remedy


def test_a_sigmoid_of_a_sigmoid_is_a_warning(tmp_path):
    def loudness(x):
        return twice(tf.sigmoid(20 * rms(x) - 5))

    twofold = (Output(name="scores", role="scores", activation="sigmoid"),)
    found = findings(tmp_path, loudness, outputs=twofold)
    assert any("as the sigmoid of a sigmoid does" in words for words in told(found, "warn"))
    assert not told(findings(tmp_path, loudness), "warn")


def test_labels_without_thresholds_are_told(tmp_path):
    labels = tuple(Label(name=name) for name in "ab")
    found = findings(tmp_path, doubles.loudness_and_sign, labels=labels, thresholds_chosen="")
    assert any(words.startswith("2 of 2 labels have no threshold") for words in told(found, "info"))


def test_other_errors_than_ours_are_defects(good, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("models.check.hear", broken)
    with pytest.raises(ZeroDivisionError):
        list(check(good))


def test_hearing_raises_what_applying_does(tmp_path):
    model = model_of(tmp_path, lambda x: twice(3 * rms(x)), outputs=SCORES)
    with pytest.raises(ModelError, match="Are these logits"):
        hear(model, recordings(model.card)["noise at full scale"])
