"""Mains hum: found with its level under music, and not where music has steady low tones of its own."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.blocks import measured
from models.measures.hum import HumMeter, find_hum
from tests.models.measures.music import chamber, note_hz, pop

RATE = 16_000


def mains(
    hz: float, level_dbfs: float, frames: int, rate: int = RATE, harmonics: tuple[float, ...] = (1, 0.5, 0.7, 0, 0.3)
) -> np.ndarray:
    t = np.arange(frames)[:, None] / rate
    wave = sum(a * np.sin(2 * np.pi * hz * n * t + n) for n, a in enumerate(harmonics, 1))
    return (wave * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(wave**2))).astype(np.float32)


@pytest.mark.parametrize("hz", [49.9, 50, 60, 60.1])
@pytest.mark.parametrize("level_dbfs", [-40, -60])
def test_hum_under_music(hz: float, level_dbfs: float) -> None:
    music = chamber(RATE, 24.0)
    found = find_hum(music + mains(hz, level_dbfs, len(music)), RATE)
    assert found is not None
    assert found.mains_hz == round(hz / 10) * 10
    assert found.level_dbfs == pytest.approx(level_dbfs, abs=2)
    assert found.frequency_hz == pytest.approx(hz, abs=0.03)


@pytest.mark.parametrize("hz", [50, 60])
def test_strong_hum_under_dense_music(hz: float) -> None:
    music = pop(RATE, 24.0)
    found = find_hum(music + mains(hz, -30, len(music)), RATE)
    assert found is not None
    assert (found.mains_hz, found.level_dbfs) == (hz, pytest.approx(-30, abs=2))


@pytest.mark.parametrize("harmonics", [(0, 1, 0, 0.5, 0, 0.3), (1, 0, 0.3), (1, 1)])
@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_any_series_at_any_rate(harmonics: tuple[float, ...], rate: int) -> None:
    noise = np.random.default_rng(7).standard_normal((11 * rate, 1)).astype(np.float32) * np.float32(1e-3)
    found = find_hum(noise + mains(50, -45, len(noise), rate, harmonics), rate)
    assert found is not None
    assert found.level_dbfs == pytest.approx(-45, abs=1)


@pytest.mark.parametrize("made", [pop, chamber])
def test_music_has_none(made: object) -> None:
    assert find_hum(made(RATE, 24.0), RATE) is None  # type: ignore[operator]


@pytest.mark.parametrize("notes", [(43, 35), (31, 33), (35, 43, 47), (34, 36), (46, 59)])
def test_a_bass_line_has_none(notes: tuple[int, ...]) -> None:
    """Of G2 (98 Hz), B1 (61.7 Hz), G1 (49 Hz), Bb1 (58.3 Hz) and others, half a second each."""
    t = np.arange(RATE // 2) / RATE
    line = [sum(np.sin(2 * np.pi * note_hz(n) * k * t) / k for k in range(1, 8)) * np.exp(-2 * t) for n in notes]
    assert find_hum((np.tile(np.concatenate(line), 40 // len(notes)) * 0.2).astype(np.float32), RATE) is None


@pytest.mark.parametrize("root", [31, 33, 34, 35, 36, 43, 45, 46, 47])
def test_a_drone_or_an_organ_has_none(root: int) -> None:
    t = np.arange(20 * RATE) / RATE
    pitches = [note_hz(root + step) for step in (0, 7, 12, 16)]
    organ = sum(np.sin(2 * np.pi * hz * k * t) / k for hz in pitches for k in range(1, 8))
    noise = np.random.default_rng(root).standard_normal(len(t)) * 1e-4
    assert find_hum((0.05 * organ + noise).astype(np.float32), RATE) is None


@pytest.mark.parametrize("seed", range(8))
def test_noise_has_none(seed: int) -> None:
    noise = np.random.default_rng(seed).standard_normal(11 * 8_000)
    assert find_hum(noise.astype(np.float32), 8_000) is None
    assert find_hum(np.cumsum(noise).astype(np.float32) * np.float32(1e-3), 8_000) is None


@pytest.mark.parametrize("hz", [48.5, 51.5, 55, 58.3, 61.7, 65])
def test_a_series_of_another_pitch_is_none(hz: float) -> None:
    assert find_hum(mains(hz, -30, 20 * RATE), RATE) is None


def test_a_single_line_is_none() -> None:
    assert find_hum(mains(50, -30, 20 * RATE, harmonics=(1,)), RATE) is None


def test_edited_silence_does_not_hide_it() -> None:
    wave = mains(50, -40, 40 * RATE)
    wave[8 * RATE : 22 * RATE] = 0
    found = find_hum(wave, RATE)
    assert found is not None
    assert found.level_dbfs == pytest.approx(-40, abs=1)


def test_short_recordings_have_none() -> None:
    assert find_hum(mains(50, -30, 9 * RATE), RATE) is None
    assert measured(HumMeter, mains(50, -30, 11 * RATE), RATE) is not None
