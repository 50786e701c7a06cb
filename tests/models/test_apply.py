"""A model over a whole recording: windows counted, frames on one time line, waveforms without seams."""

import numpy as np
import pytest
import tensorflow as tf

from models.apply import apply, grid_of
from models.card import Output
from models.saved import LoadedModel
from tests import signals
from tests.doubles import models as doubles

RATE = doubles.RATE_HZ


def in_blocks(sound, size=3000):
    return (sound[start : start + size] for start in range(0, len(sound), size))


def test_one_row_of_scores_for_each_window(tmp_path):
    model = LoadedModel(doubles.fake(tmp_path))
    sound = signals.noise(4.3, RATE)[:, None]
    given = apply(model, in_blocks(sound), len(sound))
    assert given.windows["scores"].shape == (grid_of(model.card).count(len(sound)), 2) == (9, 2)
    expected = [np.sqrt((sound[n * 4000 : (n + 1) * 4000] ** 2).mean()) for n in range(8)]
    np.testing.assert_allclose(given.windows["scores"][:8, 0], expected, rtol=1e-5)
    assert given.windows["extremes"].shape == (9, 2)


def frame_levels(x):
    """Mean absolute value of each 100 samples: [batch, 40, 1]."""
    return {"frames": tf.reduce_mean(tf.reshape(tf.abs(x), [-1, 40, 100]), axis=2)[..., None]}


@pytest.mark.parametrize(("hop", "lead_in"), [(4000, 0), (3000, 0), (2000, 1000), (3000, 250)])
def test_frames_are_on_one_time_line(tmp_path, hop, lead_in):
    model = LoadedModel(
        doubles.fake(
            tmp_path,
            frame_levels,
            outputs=(Output(name="frames", role="frame_scores", layout="bfl"),),
            labels=doubles.LABELS[:1],
            hop_samples=hop,
            lead_in_samples=lead_in,
            frame_hop_samples=100,
        )
    )
    sound = np.zeros((20_030, 1), np.float32)
    sound[12_345] = 1.0  # a click at a known place
    given = apply(model, in_blocks(sound), len(sound))
    frames = given.frames["frames"][:, 0]
    (at,) = np.flatnonzero(frames)
    start = round(given.first_frame_s * RATE) + 100 * at
    assert start <= 12_345 < start + 100
    assert frames[at] == pytest.approx(0.01, rel=1e-5)
    assert start + 100 * (len(frames) - at) >= len(sound) > start + 100 * (len(frames) - 1 - at)


@pytest.mark.parametrize(("hop", "lead_in"), [(4000, 0), (3000, 500), (2000, 1000)])
def test_waveforms_have_no_seams_and_the_exact_length(tmp_path, hop, lead_in):
    model = LoadedModel(
        doubles.fake(
            tmp_path,
            lambda x: {"half": 0.5 * x},
            outputs=(Output(name="half", role="waveform", layout="bt"),),
            labels=(),
            thresholds_chosen="",
            hop_samples=hop,
            lead_in_samples=lead_in,
        )
    )
    sound = signals.tone(440.0, 2.6, RATE)[:, None]
    parts = []
    apply(model, in_blocks(sound), len(sound), {"half": parts.append})
    np.testing.assert_allclose(np.concatenate(parts), 0.5 * sound, atol=1e-6)
