"""True peak: EBU Tech 3341 cases 15 to 23, and against filtering everything."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from models.measures.truepeak import TAPS, TruePeakMeter, true_peak, true_peak_phases
from tests.models.measures.music import chamber, pop

RATE = 48_000


def brute_force(samples: np.ndarray, rate: int) -> float:
    """dBTP by convolving every channel with every phase."""
    peak = float(np.abs(samples).max())
    for channel in samples.T.astype(np.float64):
        for phase in true_peak_phases(rate):
            peak = max(peak, float(np.abs(np.convolve(channel, phase.astype(np.float64))).max()))
    return 20 * np.log10(peak)


@pytest.mark.parametrize(
    ("case", "divisor", "phase_degrees", "peak", "wanted_dbtp"),
    [(15, 4, 0, 0.5, -6), (16, 4, 45, 0.5, -6), (17, 6, 60, 0.5, -6), (18, 8, 67.5, 0.5, -6), (19, 4, 45, 1.41, 3)],
)
def test_3341_sines(case: int, divisor: int, phase_degrees: float, peak: float, wanted_dbtp: float) -> None:
    frames = np.arange(RATE)
    ramp = np.minimum(1, np.minimum(frames, frames[::-1]) / 2400)  # as in the standard's files: no click at the ends
    wave = peak * ramp * np.sin(2 * np.pi * frames / divisor + np.radians(phase_degrees))
    found = true_peak(np.repeat(wave[:, None], 2, axis=1).astype(np.float32), RATE)
    assert found is not None
    assert -0.4 <= found - wanted_dbtp <= 0.2


@pytest.mark.parametrize("offset", range(4))
def test_3341_cases_20_to_23_a_peak_between_samples(offset: int) -> None:
    """A burst that peaks at 0 dBTP at four times the rate, decimated from each of the four places."""
    fine = np.arange(4 * RATE // 10)
    burst = np.sin(2 * np.pi * fine / 24) * np.exp(-(((fine - fine.size / 2) / 600) ** 2))
    burst = resample_poly(resample_poly(burst, 1, 4), 4, 1)  # nothing above half the rate
    burst /= np.abs(resample_poly(burst, 16, 1)).max()
    found = true_peak(burst[offset::4].astype(np.float32), RATE)
    assert found is not None
    assert -0.4 <= found <= 0.2


@pytest.mark.parametrize("rate", [8_000, 44_100, 88_200, 96_000, 176_400, 192_000])
def test_leaving_out_changes_nothing(rate: int) -> None:
    random = np.random.default_rng(rate)
    quiet = random.standard_normal((int(2.3 * rate), 2)) * 0.05
    bumps = quiet.copy()
    bumps[rate + 17 : rate + 90, 1] += random.standard_normal(73) * 0.4
    loud = np.clip(quiet * 30, -1, 1)
    for wave in (quiet, bumps, loud):
        samples = wave.astype(np.float32)
        assert true_peak(samples, rate) == pytest.approx(brute_force(samples, rate), abs=1e-5)


@pytest.mark.parametrize("made", [pop, chamber])
def test_leaving_out_changes_nothing_in_music(made: object) -> None:
    samples = made(44_100, 9.0)  # type: ignore[operator]
    assert true_peak(samples, 44_100) == pytest.approx(brute_force(samples, 44_100), abs=1e-5)


@pytest.mark.parametrize("where", [0, 1, 11, 12, 31, 32, 99, 44_099, 44_100, 44_101, 60_000 - 1])
def test_a_peak_anywhere_counts_whole(where: int) -> None:
    samples = np.zeros((60_000, 1), np.float32)
    samples[where] = samples[max(0, where - 1)] = 1
    assert true_peak(samples, 44_100) == pytest.approx(brute_force(samples, 44_100), abs=1e-5)


def test_most_is_left_out() -> None:
    meter, rows = TruePeakMeter(44_100, 2), []
    kept = meter._interpolate
    meter._interpolate = lambda some: (rows.append(len(some)), kept(some))[1]  # type: ignore[method-assign, func-returns-value]
    meter.add(chamber(44_100, 24.0))
    meter.result()
    assert sum(rows) < 0.3 * 24 * 2 * 44_100 / 32


def test_the_filter_is_the_standards() -> None:
    phases = true_peak_phases(48_000)
    assert phases.shape == (4, TAPS)
    assert phases.sum(1) == pytest.approx([1.001, 0.975, 0.975, 1.001], abs=2e-3)
    assert np.array_equal(phases[0], phases[3][::-1])
    assert true_peak_phases(192_000).size == 0


def test_at_least_the_sample_peak() -> None:
    samples = np.zeros(100, np.float32)
    assert true_peak(samples, 48_000) is None
    samples[50] = -0.5
    assert true_peak(samples, 48_000) == pytest.approx(-6.02, abs=0.01)
