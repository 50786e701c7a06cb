"""Noise floor: steady noise reads its level, whatever else sounds now and then or as a tone."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.noise import noise_floor, signal_to_noise
from tests.models.measures.music import chamber

RATE = 44_100


def white(level_dbfs: float, seconds: float = 12.0, rate: int = RATE, channels: int = 2, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((int(seconds * rate), channels)) * 10 ** (level_dbfs / 20)).astype(np.float32)


@pytest.mark.parametrize("level_dbfs", [-90, -60, -30, 0])
@pytest.mark.parametrize("channels", [1, 2])
def test_white_noise_reads_its_level(level_dbfs: float, channels: int) -> None:
    noise = white(level_dbfs, channels=channels)
    assert noise_floor(noise, RATE) == pytest.approx(level_dbfs, abs=0.5)
    assert signal_to_noise(noise, RATE) == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("rate", [8_000, 16_000, 96_000, 192_000])
@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_at_any_rate_and_length(rate: int, seconds: float) -> None:
    assert noise_floor(white(-50, seconds, rate, 1), rate) == pytest.approx(-50, abs=1)


def test_one_signal_in_two_channels() -> None:
    assert noise_floor(np.repeat(white(-50, channels=1), 2, axis=1), RATE) == pytest.approx(-50, abs=0.5)


def test_digital_silence_does_not_fool_it() -> None:
    noise = white(-50)
    noise[2 * RATE : 5 * RATE] = 0
    noise[-RATE:] = 0
    assert noise_floor(noise, RATE) == pytest.approx(-50, abs=0.5)


def test_a_steady_tone_is_no_noise() -> None:
    t = np.arange(12 * RATE)[:, None] / RATE
    tone = sum(0.1 * np.sin(2 * np.pi * hz * t + hz) for hz in (220.5, 441.3, 1_000.7, 3_333.3))
    assert noise_floor(white(-60) + tone.astype(np.float32), RATE) == pytest.approx(-60, abs=1)
    assert signal_to_noise(white(-60) + tone.astype(np.float32), RATE) == pytest.approx(60 - 17, abs=1)


def test_dc_is_no_noise() -> None:
    assert noise_floor(white(-60) + np.float32(0.3), RATE) == pytest.approx(-60, abs=0.5)


@pytest.mark.parametrize("level_dbfs", [-75, -65, -55, -45])
def test_noise_under_music(level_dbfs: float) -> None:
    music = chamber(RATE, 24.0)
    found = noise_floor(music + white(level_dbfs, len(music) / RATE), RATE)
    assert found == pytest.approx(10 * np.log10(10 ** (level_dbfs / 10) + 10**-8.2), abs=1.5)


@pytest.mark.parametrize("exponent", [1.0, 1.3])
def test_coloured_noise(exponent: float) -> None:
    spectrum = np.fft.rfft(white(0, channels=1)[:, 0])
    spectrum /= np.maximum(1, np.arange(len(spectrum)) / 12 / 200) ** (exponent / 2)  # falls from 200 Hz on
    noise = np.fft.irfft(spectrum)
    noise *= 0.01 / np.sqrt(np.mean(noise**2))
    assert noise_floor(noise.astype(np.float32), RATE) == pytest.approx(-40, abs=1.5)


def test_too_short_or_silent() -> None:
    assert noise_floor(white(-20, 0.05), RATE) is None
    assert signal_to_noise(np.zeros((RATE, 2), np.float32), RATE) is None
