"""Samples that were added to a sound, and pulses that excite it: a filter and an excitation that we know."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from models.measures.clicks import find_clicks
from models.measures.outliers import added
from tests import signals

WEIGHTS = np.array([1.0, -1.6, 0.9, -0.2])
RATE = 16_000


def _residual(wave: np.ndarray) -> np.ndarray:
    return np.convolve(wave, WEIGHTS)[: len(wave)]


def _sound(frames: int = 400, seed: int = 1) -> np.ndarray:
    return lfilter([1.0], WEIGHTS, np.random.default_rng(seed).normal(0, 0.01, frames))


@pytest.mark.parametrize("heights", [[0.5], [0.5, -0.4], [0.3, 0.5, 0.2]])
def test_what_was_added_is_explained(heights: list[float]) -> None:
    wave = _sound()
    wave[200 : 200 + len(heights)] += heights
    share, width, height = added(_residual(wave), WEIGHTS, 200)
    assert share > 0.98
    assert width == len(heights)
    assert height == pytest.approx(0.5, abs=0.03)


def test_what_excites_the_sound_is_not() -> None:
    excitation = np.random.default_rng(1).normal(0, 0.01, 400)
    excitation[200] += 0.5
    share, _, _ = added(_residual(lfilter([1.0], WEIGHTS, excitation)), WEIGHTS, 200)
    assert share < 0.8


def test_an_impulse_in_a_voice_of_16_khz_is_a_click_and_its_glottal_pulses_are_none() -> None:
    poles = np.concatenate([r * np.exp([2j * np.pi * hz / RATE, -2j * np.pi * hz / RATE]) for hz, r in
                            ((700, 0.97), (1200, 0.96), (2600, 0.95))])  # fmt: skip
    excitation = np.random.default_rng(2).normal(0, 0.002, 4 * RATE)
    excitation[:: RATE // 200] += 1.0
    voice = lfilter([1.0], np.real(np.poly(poles)), excitation)
    voice = (0.4 * voice / np.abs(voice).max()).astype(np.float32)
    assert find_clicks(voice, RATE) == ()
    voice[32_150] += 0.4
    (click,) = find_clicks(voice, RATE)
    assert click.start_s == pytest.approx(32_150 / RATE, abs=0.0002)


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
@pytest.mark.parametrize("from_end", [2, 20, 60, 200])
def test_a_click_at_an_end_of_the_recording_is_no_trouble(rate: int, from_end: int) -> None:
    wave = 0.05 * np.sin(2 * np.pi * 220 * np.arange(2 * rate) / rate) + signals.noise(2.0, rate, 1e-3)
    wave[from_end - 1] += 0.8
    wave[-from_end] += 0.8
    told = find_clicks(wave.astype(np.float32), rate)
    assert all(
        min(abs(event.start_s - at_s) for at_s in (from_end / rate, 2 - from_end / rate)) < 0.001 for event in told
    )
