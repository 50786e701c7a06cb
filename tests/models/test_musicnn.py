"""The musicnn networks here give what the published ones give when librosa feeds them."""

from pathlib import Path

import librosa
import numpy as np
import pytest

from models.apply import apply
from models.audio import converted, converted_frames
from models.card import PRETRAINED, ModelError
from models.musicnn import FRAMES, NETWORKS, build, musicnn_card
from models.saved import LoadedModel
from tests import signals
from tests.doubles import musicnn_original

MUSIC = Path(__file__).parents[3] / "shared" / "data" / "music"
TOLERANCE = 1e-4

pytestmark = pytest.mark.skipif(not musicnn_original.PACKAGE.is_dir(), reason="make setup fetches the checkpoints")


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request):
    """Our model and the original of one network."""
    card = musicnn_card(request.param)
    return LoadedModel(PRETRAINED / card.name / card.version), musicnn_original.Original(request.param)


def ours(model, sound, rate_hz):
    """[windows, 50] of a recording [frames, channels] at its own rate."""
    blocks = (sound[start : start + rate_hz] for start in range(0, len(sound), rate_hz))
    frames = converted_frames(len(sound), rate_hz, 16_000)
    return apply(model, converted(blocks, rate_hz, 16_000, 1), frames).windows["probabilities"]


def theirs(original, sound, rate_hz):
    mono = librosa.resample(librosa.to_mono(sound.T), orig_sr=rate_hz, target_sr=16_000)
    return original(musicnn_original.patches(mono))


SOUNDS = {
    "music": lambda: (signals.music(9.0, 44_100, 2), 44_100),
    "loud music": lambda: (5 * signals.music(6.5, 48_000, 2), 48_000),
    "noise": lambda: (signals.noise(6.1, 16_000)[:, None], 16_000),
    "silence": lambda: (signals.silence(4.0, 22_050)[:, None], 22_050),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_probabilities_are_the_published_ones(pair, name):
    model, original = pair
    sound, rate_hz = SOUNDS[name]()
    expected = theirs(original, sound, rate_hz)
    found = ours(model, sound, rate_hz)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < TOLERANCE


@pytest.mark.skipif(not MUSIC.is_dir(), reason="needs the recordings for development")
@pytest.mark.parametrize("name", ["vibe_ace", "brahms_hungarian_dance", "solo_trumpet"])
def test_real_music_too(pair, name):
    from models.audio import read

    model, original = pair
    sound, decoded = read(MUSIC / f"{name}.ogg")
    rate_hz = decoded.info.sample_rate_hz
    expected = theirs(original, sound, rate_hz)
    assert np.abs(ours(model, sound, rate_hz) - expected).max() < TOLERANCE
    assert expected.max() > 0.3  # and they do say something


def test_a_second_of_delay_is_a_second_of_delay(pair):
    """Windows are where librosa's frames are, to the sample: shifted by a frame, scores differ; by a window, not."""
    model, _ = pair
    sound = signals.music(9.0, 16_000, 1)
    window = np.zeros((FRAMES * 256, 1), np.float32)
    later = ours(model, np.concatenate([window, sound]), 16_000)
    np.testing.assert_allclose(later[2:], ours(model, sound, 16_000)[1:], atol=1e-6)


def test_short_recordings_have_one_window(pair):
    model, _ = pair
    assert ours(model, signals.music(0.5, 44_100, 2), 44_100).shape == (1, 50)


def test_the_cards_tell_groups_thresholds_and_licences():
    for card in map(musicnn_card, NETWORKS):
        assert len(card.labels) == 50
        assert {label.group for label in card.labels} <= {"genre", "mood", "voice", "instrument", "era", "sound"}
        assert card.thresholds_chosen
        assert card.licences.weights == "ISC"
        assert all(metric.data and metric.source for metric in card.metrics)


def test_no_package_is_told_how_to_get_it(tmp_path):
    with pytest.raises(ModelError, match="pip install --no-deps"):
        build(tmp_path, tmp_path / "built")
