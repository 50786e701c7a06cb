"""Hiss: a floor that nothing falls below; found where it is, and not in music that never rests."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.hiss import find_hiss
from tests.models.measures.music import pop
from tests.models.measures.test_finders import RATE, only


def noise(frames: int, level_db: float, music: np.ndarray, seed: int = 1) -> np.ndarray:
    white = np.random.default_rng(seed).normal(0, 1, (frames, music.shape[1]))
    return (white * np.sqrt(np.mean(music**2)) * 10 ** (level_db / 20)).astype(np.float32)


@pytest.mark.parametrize("level_db", [-30, -20])
def test_white_noise_is_found_all_along_with_its_level(level_db: float) -> None:
    music = pop(RATE, 12)
    assert find_hiss(music, RATE) == ()
    hiss = only(find_hiss(music + noise(len(music), level_db, music), RATE))
    assert (hiss.start_s, hiss.end_s, hiss.channel) == (0.0, pytest.approx(len(music) / RATE), None)
    assert float(hiss.words.split()[-5]) == pytest.approx(-level_db, abs=1.5)


def test_it_begins_where_it_begins_and_ends_where_it_ends() -> None:
    music = pop(RATE, 20).copy()
    music[4 * RATE : 7 * RATE], music[13 * RATE : 16 * RATE] = 0, 0
    first, last = round(5.5 * RATE), round(14.3 * RATE)
    music[first:last, :1] += noise(last - first, -24, music)[:, :1]
    hiss = only(find_hiss(music, RATE))
    assert (hiss.start_s, hiss.end_s) == (pytest.approx(5.5, abs=0.1), pytest.approx(14.3, abs=0.1))
    assert hiss.channel == (0 if music.shape[1] > 1 else None)


def test_noise_that_swells_and_noise_of_one_band_are_none() -> None:
    music = 0.3 * pop(RATE, 12)
    t = np.arange(len(music)) / RATE
    swelling = noise(len(music), -10, music) * (0.55 + 0.45 * np.sin(2 * np.pi * 0.4 * t))[:, None]
    assert find_hiss(music + swelling.astype(np.float32), RATE) == ()
    spectrum = np.fft.rfft(noise(len(music), -10, music), axis=0)
    hz = np.fft.rfftfreq(len(music), 1 / RATE)
    spectrum[(hz < 1000) | (hz > 2200)] = 0
    band = np.fft.irfft(spectrum, len(music), axis=0).astype(np.float32)
    assert find_hiss(music + band, RATE) == ()


def test_the_noise_that_any_recording_has_is_none() -> None:
    music = pop(RATE, 12)
    assert find_hiss(music + noise(len(music), -55, music), RATE) == ()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 96_000])
def test_at_any_rate(rate: int) -> None:
    music = pop(rate, 8)
    assert find_hiss(music, rate) == ()
    assert only(find_hiss(music + noise(len(music), -20, music), rate)).start_s == 0.0


def test_short_and_silent_recordings_have_none() -> None:
    assert find_hiss(np.zeros((0, 1), np.float32), RATE) == ()
    assert find_hiss(np.zeros((10 * RATE, 2), np.float32), RATE) == ()
    assert find_hiss(np.random.default_rng(1).normal(0, 0.1, (RATE, 1)).astype(np.float32), RATE) == ()


def test_its_end_is_right_at_rates_that_no_hop_divides() -> None:
    rate, lasts_s = 8_050, 600
    noisy = np.random.default_rng(3).normal(0, 0.05, (lasts_s * rate, 1)).astype(np.float32)
    quiet = np.zeros((5 * rate, 1), np.float32)
    assert only(find_hiss(np.concatenate([noisy, quiet]), rate)).end_s == pytest.approx(lasts_s, abs=0.07)
