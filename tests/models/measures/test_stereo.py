from __future__ import annotations

import numpy as np
import pytest

from models.measures.stereo import stereo_image

RATE = 8_000
NOISE = np.random.default_rng(5).standard_normal((30_000, 8)).astype(np.float32) * np.float32(0.1)


def pair(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.column_stack([left, right]).astype(np.float32)


@pytest.mark.parametrize("wanted", [-0.8, -0.2, 0.0, 0.5, 0.95])
def test_correlation(wanted: float) -> None:
    one, other = NOISE[:, 0], NOISE[:, 1]
    found = stereo_image(pair(one, wanted * one + np.sqrt(1 - wanted**2) * other), RATE)
    assert found.correlation == pytest.approx(wanted, abs=0.02)
    assert not found.false_stereo
    assert not found.inverted


def test_dc_does_not_correlate() -> None:
    assert stereo_image(pair(NOISE[:, 0] + 0.5, NOISE[:, 1] + 0.5), RATE).correlation == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("residual_db", "false"), [(-200, True), (-70, True), (-62, True), (-58, False), (-40, False)])
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_false_stereo(residual_db: float, false: bool, gain: float) -> None:
    right = gain * (NOISE[:, 0] + 10 ** (residual_db / 20) * NOISE[:, 1])
    assert stereo_image(pair(NOISE[:, 0], right), RATE).false_stereo is false


@pytest.mark.parametrize(("shared", "inverted"), [(1.0, True), (0.97, True), (0.8, False)])
def test_inverted(shared: float, inverted: bool) -> None:
    right = -(shared * NOISE[:, 0] + np.sqrt(1 - shared**2) * NOISE[:, 1])
    found = stereo_image(pair(NOISE[:, 0], right), RATE)
    assert found.inverted is inverted
    assert not found.false_stereo


@pytest.mark.parametrize(
    ("channels", "silent", "missing"),
    [
        (2, [1], (1,)),
        (2, [0, 1], ()),
        (6, [3], ()),
        (6, [3, 4], (4,)),
        (8, [3], ()),
        (5, [3], (3,)),
        (4, [0, 3], (0, 3)),
        (1, [0], ()),
    ],
)
def test_missing_channels(channels: int, silent: list[int], missing: tuple[int, ...]) -> None:
    samples = NOISE[:, :channels].copy()
    samples[:, silent] *= np.float32(1e-5)
    if len(silent) == channels:
        samples[:] = 0
    found = stereo_image(samples, RATE)
    assert found.missing_channels == missing
    assert (found.correlation is None) == (channels == 1 or bool({0, 1} & set(silent)))


def test_a_constant_is_no_signal() -> None:
    assert stereo_image(pair(NOISE[:, 0], np.full(30_000, 0.25)), RATE).missing_channels == (1,)
