"""Compiled functions against what NumPy makes of the same, and without a place to keep them."""

import numpy as np

from models.measures.again import pairs_in
from models.measures.compiled import compiled
from models.measures.leaps import hop_of, leaping, leaps
from models.measures.prediction import errors_of, filtered, lags_of, padded_for, predictors

RATE = 44_100


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.1, shape).astype(np.float32)


def test_a_function_that_has_no_file_is_compiled_all_the_same() -> None:
    names: dict[str, object] = {}
    exec(
        "def total(values):\n    found = 0.0\n    for value in values:\n        found += value\n    return found", names
    )
    assert compiled(names["total"])(np.arange(5.0)) == 10.0  # type: ignore[arg-type]


def test_lags_are_the_autocorrelation() -> None:
    windows = noise(3, 50).astype(np.float64)
    wanted = [np.correlate(np.append(window, np.zeros(8)), window) for window in windows]
    np.testing.assert_allclose(lags_of(windows, 8), wanted, atol=1e-12)


def test_a_filter_of_a_prediction_solves_the_normal_equations() -> None:
    lags = lags_of(noise(4, 300).astype(np.float64), 12)
    apart = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    wanted = np.linalg.solve(lags[:, apart] + 1e-9 * np.eye(12), -lags[:, 1:, None])[..., 0]
    found = predictors(lags, 0.0)
    np.testing.assert_allclose(found[:, 1:], wanted, atol=1e-9)
    assert np.all(found[:, 0] == 1)


def test_a_resonance_is_learnt_from_its_own_sound() -> None:
    wave = np.zeros(40_000)
    for at, excited in enumerate(np.random.default_rng(1).normal(0, 1, 40_000)):
        wave[at] = 1.6 * wave[at - 1] - 0.8 * wave[at - 2] + excited
    found = predictors(lags_of(wave[None], 4), 0.0)[0]
    np.testing.assert_allclose(found, [1, -1.6, 0.8, 0, 0], atol=0.02)


def test_a_filter_is_a_convolution() -> None:
    wave, filter_, output = noise(100).astype(np.float64), noise(9).astype(np.float64), np.empty(92)
    filtered(wave, filter_, output)
    np.testing.assert_allclose(output, np.convolve(wave, filter_, "valid"), atol=1e-12)


def test_nothing_foresees_what_was_added_to_a_tone() -> None:
    tone = np.sin(2 * np.pi * 441 * np.arange(16_384) / RATE).astype(np.float32)
    tone[5000] += 0.5
    errors = errors_of(padded_for(tone[None], 2048)[0], 2048, np.arange(8)).ravel()
    assert errors[5000] > 0.3
    assert np.delete(errors, slice(4990, 5040))[64:-64].max() < 0.05


def test_leaps_are_differences_of_all_channels() -> None:
    planes = noise(2, 500)
    for order in (2, 6):
        np.testing.assert_allclose(leaps(planes, order)[order:], np.abs(np.diff(planes, order)).sum(axis=0), atol=1e-5)


def test_one_sample_off_its_course_is_one_leap() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(8820) / RATE).astype(np.float32)
    tone[4000:] += 0.1
    heights = leaps(tone[None])
    assert [abs(place - 4003) <= 3 for place in leaping(heights, hop_of(RATE), slice(2000, 6000))] == [True]


def test_a_copy_is_met_at_its_lag_and_at_no_other() -> None:
    sound = noise(8000)
    sound[3000:4000] = 0.5 * sound[2200:3200]
    pairs = pairs_in(sound, slice(1000, 5000), RATE)
    assert len(pairs.copies) > 10
    assert set((pairs.copies - pairs.sources).tolist()) == {800}
    assert pairs.copies.min() >= 2990
    assert pairs.copies.max() < 4000
