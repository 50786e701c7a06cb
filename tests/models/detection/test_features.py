"""Features of defects: gain, channels and time; clicks and gaps where they are."""

import numpy as np
import pytest
import tensorflow as tf

from models.detection.features import features
from models.detection.network import BANDS, CHANNELS, FEATURES, FRAMES, HOP, RATE_HZ

CLIP = FRAMES * HOP
hear = tf.function(features, autograph=False, input_signature=[tf.TensorSpec([None, CLIP, CHANNELS], tf.float32)])
RESIDUAL = BANDS  #: peak against what is near, of the channel that has more
LOUDEST_PART, LEAST_PART = BANDS + 12 + 1, BANDS + 12 + 7
ZEROS = BANDS + 12 + 4


def music(seed=0, channels=CHANNELS):
    """Noise that falls by 6 dB an octave, and tones: nothing steps."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.normal(0, 1, (CLIP, channels)), axis=0)
    hz = np.fft.rfftfreq(CLIP, 1 / RATE_HZ)[:, None]
    noise = np.fft.irfft(spectrum * 100 / np.maximum(hz, 100), CLIP, axis=0)
    tones = sum(np.sin(2 * np.pi * f * np.arange(CLIP) / RATE_HZ) for f in (331, 547, 1230))
    return (0.1 * noise / noise.std() + 0.05 * tones[:, None]).astype(np.float32)


def heard(*clips):
    return np.asarray(hear(np.stack(clips).astype(np.float32)))


@pytest.fixture(scope="module")
def plain():
    return music()


def test_shapes_and_numbers(plain):
    told = heard(plain, 0 * plain)
    assert told.shape == (2, FRAMES, FEATURES)
    assert np.isfinite(told).all()
    assert np.abs(told).max() < 20


def test_gain_does_not_matter_nor_do_left_and_right(plain):
    loud, soft, turned = heard(plain, 0.01 * plain, plain[:, ::-1])
    np.testing.assert_allclose(loud, soft, atol=0.05)
    np.testing.assert_allclose(loud, turned, atol=0.05)


def test_neighbours_in_a_batch_do_not_matter(plain):
    np.testing.assert_allclose(heard(plain, music(1))[0], heard(plain)[0], atol=1e-4)


@pytest.mark.parametrize("frame", [3, 250, 796])
@pytest.mark.parametrize("channel", [slice(0, 1), slice(None)])
def test_a_click_of_one_sample_stands_out_in_its_frame(plain, frame, channel):
    clicked = plain.copy()
    clicked[frame * HOP + 200, channel] += 0.2
    peaks = heard(clicked)[0, :, RESIDUAL]
    assert peaks.argmax() == frame
    assert peaks[frame] > np.delete(peaks, frame).max() + 0.3


@pytest.mark.parametrize("frame", [0, 49, 50, 399, 799])
def test_a_tone_of_one_frame_is_in_its_frame(plain, frame):
    """Wherever the pieces end that features are computed by."""
    burst = 1e-3 * plain
    burst[frame * HOP : (frame + 1) * HOP] += 0.2 * np.sin(0.9 * np.arange(HOP))[:, None]
    told = heard(burst)[0]
    assert told[:, :BANDS].max(axis=1).argmax() == frame
    assert told[:, LOUDEST_PART].argmax() == frame


def test_a_gap_of_three_milliseconds_is_in_its_frame(plain):
    gapped = plain.copy()
    gapped[400 * HOP + 150 : 400 * HOP + 300] = 0
    told = heard(gapped)[0]
    assert told[:, LEAST_PART].argmin() == 400
    assert told[400, ZEROS] == pytest.approx(150 / HOP, abs=0.01)
