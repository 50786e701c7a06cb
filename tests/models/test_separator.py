"""The separator: bands, its loss on masks that are known, and one network in NumPy, TensorFlow and TFLite alike."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import masker
from models.card import Licences
from models.check import check
from models.masking import separate_array
from models.saved import LoadedModel
from models.separation import spectrum, targets
from models.separator import BANDS, HOP, RATE_HZ, WINDOW, SeparatorConfig, band_starts, loss, network

SMALL = SeparatorConfig(channels=(4, 8, 12))
FRAMES = 16
RESEARCH = Licences(code="songscan's", weights="none", training_data="none", research_only=False)


def noise(frames, channels=2, seed=0, level=0.1):
    return np.random.default_rng(seed).normal(0, level, (frames, channels)).astype(np.float32)


@pytest.fixture(scope="module")
def untrained():
    """Its last layer drawn wider, so that masks are not all one half."""
    keras.utils.set_random_seed(1)
    made = network(SMALL)
    made.variables[-2].assign(3 * made.variables[-2])
    return made


@pytest.fixture(scope="module")
def exported(untrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "1"
    card = masker.card("small", "1", RESEARCH, [], window_frames=FRAMES, hop_frames=12)
    masker.export(untrained, card, folder)
    return LoadedModel(folder)


def test_bands_cover_the_spectrum_once():
    starts = band_starts()
    assert len(starts) == BANDS + 1
    assert starts[0] == 0
    assert starts[-1] == WINDOW // 2
    assert (np.diff(starts) >= 1).all()


def test_a_spectrum_is_centred_on_its_frames():
    """A click in the middle of frame 5 is strongest there, and alike on both sides."""
    samples = np.zeros((FRAMES * HOP, 1), np.float32)
    samples[5 * HOP + HOP // 2] = 1
    levels = np.abs(spectrum(samples)[0, :, 10])
    assert levels.argmax() == 5
    np.testing.assert_allclose(levels[4], levels[6], rtol=1e-5)


def test_targets_of_a_voice_alone():
    mixture, common, voice = np.moveaxis(targets(noise(FRAMES * HOP), np.zeros((FRAMES * HOP, 2), np.float32)), -1, 0)
    np.testing.assert_allclose(mixture, voice, rtol=1e-5)
    np.testing.assert_allclose(common, voice, rtol=1e-5)


def test_energy_of_bands_is_that_of_the_samples():
    """Parseval: with hops of a quarter of a Hann window, squares of windows add up to 1.5."""
    samples = np.concatenate([np.zeros((WINDOW, 1)), noise(64 * HOP, 1), np.zeros((WINDOW, 1))]).astype(np.float32)
    energy = 2 * targets(samples, 0 * samples)[..., 0].sum() / WINDOW / 1.5
    assert energy == pytest.approx(float(np.sum(samples**2)), rel=0.01)


def test_the_loss_is_least_at_the_best_mask():
    made = targets(noise(FRAMES * HOP, seed=1), noise(FRAMES * HOP, seed=2))[None]
    best = np.clip(made[..., 1] / made[..., 0], 0, 1)
    at_best = float(loss(best, made)[0])
    for other in (0 * best, 0 * best + 1, np.sqrt(best), best**2, np.clip(best + 0.1, 0, 1)):
        assert float(loss(other, made)[0]) > at_best + 1e-3


def test_the_loss_of_a_perfect_mask_and_of_silence_is_a_number():
    silence = np.zeros((FRAMES * HOP, 1), np.float32)
    for made in (targets(silence, silence), targets(noise(FRAMES * HOP, 1), silence)):
        assert np.isfinite(loss(np.ones((1, FRAMES, BANDS), np.float32), made[None])).all()


def test_the_loss_does_not_depend_on_the_level():
    voice, other = noise(FRAMES * HOP, seed=1), noise(FRAMES * HOP, seed=2)
    half = np.full((1, FRAMES, BANDS), 0.5, np.float32)
    loud, quiet = (float(loss(half, targets(gain * voice, gain * other)[None])[0]) for gain in (1, 0.01))
    assert loud == pytest.approx(quiet, abs=2e-2)


def test_masks_do_not_depend_on_the_level(untrained):
    samples = noise(FRAMES * HOP)
    loud, quiet = (untrained(targets(gain * samples, 0 * samples)[None, ..., 0], training=False) for gain in (1, 1e-3))
    np.testing.assert_allclose(loud, quiet, atol=1e-3)


def test_the_exported_graph_computes_what_was_trained(untrained, exported):
    windows = noise(FRAMES * HOP)[None]
    trained = np.asarray(untrained(targets(windows[0], 0 * windows[0])[None, ..., 0], training=False))[0]
    masks = exported.predict(windows)["vocals"][0]
    assert np.ptp(trained) > 0.1
    np.testing.assert_allclose(masks[:, band_starts()[:-1]], trained, atol=1e-5)
    np.testing.assert_array_equal(masks[:, 576:588], np.repeat(masks[:, 576:577], 12, axis=1))


def test_it_can_be_used(exported):
    assert [finding for finding in check(exported) if finding.status in ("fail", "warn")] == []


def test_silence_in_silence_out_and_the_length_stays(exported):
    assert not separate_array(exported, np.zeros((44_100, 2), np.float32), 44_100).any()
    assert separate_array(exported, noise(50_001), 44_100).shape == (50_001, 2)


def test_tflite_gives_the_same_masks(untrained, exported):
    windows = noise(FRAMES * HOP)[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter of TensorFlow's own is to move to another package
        interpreter = tf.lite.Interpreter(model_content=masker.to_tflite(untrained, FRAMES * HOP))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], windows)
    interpreter.invoke()
    given = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(given, exported.predict(windows)["vocals"], atol=1e-4)


def test_a_transform_by_matrices_is_one_by_fft():
    samples = noise(4 * WINDOW, 1)[None, :, 0]
    by_fft, by_matrices = masker.by_fft(samples).numpy(), masker.by_matrices(samples).numpy()
    np.testing.assert_allclose(by_matrices, by_fft, atol=1e-4 * by_fft.max())


def test_too_many_levels_are_refused():
    with pytest.raises(ValueError, match="10 levels do not halve 512 bands"):
        network(SeparatorConfig(channels=(2,) * 10))


def test_rates():
    assert (RATE_HZ, WINDOW / RATE_HZ, HOP / RATE_HZ) == (16_000, 0.12, 0.03)
