"""Where somebody sings: told from levels of vocals and mixture."""

import numpy as np
import pytest

from models.voice import VoiceActivity

RATE_HZ = 16_000


def noise(seconds, rms, seed=0):
    return np.random.default_rng(seed).normal(0, rms, (int(seconds * RATE_HZ), 2)).astype(np.float32)


def share(vocals, band, block=10**9):
    activity = VoiceActivity(RATE_HZ)
    for start in range(0, len(vocals), block):
        activity.add(vocals[start : start + block], (vocals + band)[start : start + block])
    return activity.share()


def test_half_of_the_time():
    vocals = np.concatenate([noise(3, 0.1), 0 * noise(3, 0.1)])
    assert share(vocals, noise(6, 0.1, 1)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("vocals_rms", "band_rms", "sung"),
    [(0.1, 0.0, 1), (0.1, 0.1, 1), (0.02, 0.1, 0), (0.001, 0.0, 0), (0.0, 0.1, 0), (0.0, 0.0, 0)],
)
def test_share_and_floor(vocals_rms, band_rms, sung):
    assert share(noise(2, vocals_rms), noise(2, band_rms, 1)) == pytest.approx(sung, abs=0.11)


def test_a_single_loud_stretch_is_no_voice():
    vocals = 0 * noise(3, 0.1)
    vocals[8000:8960] = 0.3  # 60 ms
    assert share(vocals, noise(3, 0.05, 1)) == 0


def test_a_short_pause_is_no_end():
    vocals = noise(3, 0.1)
    vocals[16_000:17_920] = 0  # 120 ms
    assert share(vocals, noise(3, 0.05, 1)) > 0.9


def test_blocks_change_nothing():
    vocals, band = noise(2, 0.05), noise(2, 0.1, 1)
    assert share(vocals, band, 777) == share(vocals, band)


def test_nothing_at_all():
    assert VoiceActivity(RATE_HZ).share() == 0.0
