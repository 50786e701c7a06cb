"""Clean songs to put defects into: no song in two splits, nothing cut off or clipped."""

import numpy as np

from bench.defect_material import RATE_HZ, mastered, split_of
from tests import signals


def test_splits_are_by_song():
    splits = [split_of(index, 60) for index in range(60)]
    assert splits == ["train"] * 40 + ["validation"] * 10 + ["test"] * 10


def test_songs_end_in_silence_and_below_full_scale():
    for seed in range(3):
        sound = mastered(signals.music(4.0, RATE_HZ).astype(np.float64), np.random.default_rng(seed))
        assert sound.shape == (4 * RATE_HZ, 2)
        assert np.abs(sound).max() < 0.96
        assert np.abs(sound[-10:]).max() < 1e-4
        assert np.sqrt(np.mean(sound**2)) > 0.05
