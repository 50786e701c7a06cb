"""What a studio does to a voice."""

import numpy as np
import pytest

from models.synthesis import effects

RATE = effects.RATE_HZ
NOISE = np.random.default_rng(0).normal(0, 0.1, (RATE, 2))


@pytest.mark.parametrize("pan", [-1.0, -0.3, 0.0, 0.8])
def test_panning_keeps_power(pan):
    placed = effects.placed(NOISE[:, 0], pan)
    assert np.sum(placed**2) == pytest.approx(np.sum(NOISE[:, 0] ** 2))
    assert np.sign(np.round(np.std(placed[:, 1]) - np.std(placed[:, 0]), 9)) == np.sign(pan)


def test_a_room_decays_as_asked_and_is_stereo():
    response = effects.room(1.0, 0.7, np.random.default_rng(1))
    early, late = (np.sum(response[round(at * RATE) :][: RATE // 10] ** 2) for at in (0.2, 0.7))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=2)  # 60 dB a second
    assert abs(np.corrcoef(response.T)[0, 1]) < 0.5
    assert np.sum(response**2, axis=0) == pytest.approx([1, 1])


def test_reverberation_comes_after_the_sound_and_keeps_its_length():
    click = np.zeros((RATE, 2))
    click[1000] = 1
    heard = effects.reverberated(click, effects.room(0.3, 0.5, np.random.default_rng(2)), -12.0)
    assert heard.shape == click.shape
    assert np.abs(heard[:1000]).max() < 1e-12
    assert 10 * np.log10(np.sum(heard[1001:] ** 2) / 2) == pytest.approx(-12, abs=0.5)


def test_compression_halves_what_lies_above():
    time_s = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time_s) * np.where(time_s < 1, 1.0, 0.25)  # 12 dB apart
    for shaped in (tone, np.stack([tone, tone], axis=1)):
        loud, soft = (np.std(effects.compressed(shaped, -12.0, 2.0)[round(at * RATE) :][:8820]) for at in (0.5, 1.5))
        assert 20 * np.log10(loud / soft) == pytest.approx(6, abs=0.3)


@pytest.mark.parametrize("slope", [-2.0, 1.5])
def test_tilt_is_about_one_kilohertz(slope):
    time_s = np.arange(RATE) / RATE
    for hz, octaves in ((250, -2), (1000, 0), (4000, 2)):
        tone = np.sin(2 * np.pi * hz * time_s)
        gain_db = 20 * np.log10(np.std(effects.tilted(tone, slope)) / np.std(tone))
        assert gain_db == pytest.approx(slope * octaves, abs=0.05)
