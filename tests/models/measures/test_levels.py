from __future__ import annotations

import numpy as np
import pytest

from models.measures.levels import sample_levels


def test_dc_is_the_mean_of_the_worst_channel_with_its_sign() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 100 * np.arange(48_000) / 48_000)
    found = sample_levels(np.column_stack([tone + 0.01, tone - 0.02, tone]).astype(np.float32), 48_000)
    assert found.dc_offset == pytest.approx(-0.02, abs=1e-6)


def test_peak_is_of_either_polarity_and_any_channel() -> None:
    samples = np.zeros((20_000, 2), np.float32)
    samples[12_345, 1] = -0.25
    found = sample_levels(samples, 8_000)
    assert found.sample_peak_dbfs == pytest.approx(-12.041, abs=1e-3)
    assert found.channel_peaks == (0.0, 0.25)


def test_small_offsets_survive_hours() -> None:
    samples = np.full(8_000 * 3_000, 1e-5, np.float32)
    assert sample_levels(samples, 8_000).dc_offset == pytest.approx(1e-5, rel=1e-6)
