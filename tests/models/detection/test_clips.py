"""Clips: the same for the same number, as files hold them, and labelled with what is in them."""

import numpy as np
import pytest

from models.detection.clips import CLIP, Clips, ClipsConfig
from models.encode import encode
from models.events import CLASSES
from models.layouts import DataError, songs_in
from models.mixing import Library
from tests.models.detection.test_features import music

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for seed in (1, 2):
        encode(folder / f"{seed}.wav", 0.5 * np.concatenate([music(seed), music(seed + 2)]), RATE_HZ, codec="wav")
    return Library(songs_in("music", folder), folder / "cache", RATE_HZ)


def test_a_clip_follows_from_seed_and_number(library):
    first, again = (Clips(library, ClipsConfig(), 1).clip(3) for _ in range(2))
    other = Clips(library, ClipsConfig(), 2).clip(3)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_clean_clips_have_no_label_and_are_16_bits(library):
    clips = Clips(library, ClipsConfig(clean=1.0, negative=0.0, second=0.0, ends=0.0, narrow=0.0), 1)
    for number in range(4):
        samples, labels = clips.clip(number)
        assert samples.shape == (CLIP, 2)
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples * 32768, np.round(samples * 32768))
        assert np.abs(samples).max() <= 1
        assert not labels.any()


def test_recordings_at_lower_rates_have_defects_of_their_band(library):
    clips = Clips(library, ClipsConfig(clean=0.0, negative=0.0, second=0.0, ends=0.0, narrow=1.0), 1)
    for number in range(6):
        samples, labels = clips.clip(number)
        assert samples.shape == (CLIP, 2)
        assert labels.sum() == 1
        power = np.abs(np.fft.rfft(samples * np.hanning(CLIP)[:, None], axis=0)) ** 2
        assert power[round(16_500 * CLIP / RATE_HZ) :].sum() < 1e-6 * power.sum()


def test_defective_clips_say_so_and_edges_are_not_among_them(library):
    clips = Clips(library, ClipsConfig(clean=0.0, negative=0.0, second=0.0, ends=0.0), 1)
    labels = np.stack([clips.clip(number)[1] for number in range(12)])
    assert (labels.sum(axis=1) == 1).all()
    assert (labels.sum(axis=0) > 0).sum() > 4
    assert not labels[:, CLASSES.index("abrupt_edge")].any()


def test_what_lies_behind_the_end_is_no_label(library):
    ended = ClipsConfig(clean=0.0, negative=0.0, second=0.0, ends=1.0)
    whole = ClipsConfig(clean=0.0, negative=0.0, second=0.0, ends=0.0)
    both = [[Clips(library, settings, 5).clip(number) for number in range(12)] for settings in (ended, whole)]
    assert all(not samples[-10:].any() for samples, _ in both[0])
    assert sum(labels.sum() for _, labels in both[0]) < sum(labels.sum() for _, labels in both[1])


def test_silence_alone_is_no_music(tmp_path):
    encode(tmp_path / "silence.wav", np.zeros((20 * RATE_HZ, 2), np.float32), RATE_HZ, codec="wav")
    silent = Library(songs_in("music", tmp_path), tmp_path / "cache", RATE_HZ)
    with pytest.raises(DataError, match="were silent"):
        Clips(silent, ClipsConfig(), 1).clip(0)
