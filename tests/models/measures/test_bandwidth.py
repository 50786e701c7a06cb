from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from models.measures.bandwidth import effective_bandwidth
from tests.models.measures.music import pop

RATE = 44_100


def low_passed(samples: np.ndarray, hz: float, rate: int = RATE) -> np.ndarray:
    return lfilter(firwin(801, hz, fs=rate), 1, samples, axis=0).astype(np.float32)


def dithered(samples: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(9)
    dither = random.random(samples.shape) - random.random(samples.shape)
    return (np.rint(samples * 32_768 + dither) / 32_768).astype(np.float32)


def bursts(rate: int = RATE) -> np.ndarray:
    """White noise that comes and goes."""
    t = np.arange(8 * rate) / rate
    return np.random.default_rng(3).standard_normal(len(t)) * 0.1 * np.exp(-6 * (t % 0.7))


@pytest.mark.parametrize("hz", [4_000, 8_000, 11_000, 16_000])
@pytest.mark.parametrize("made", ["bursts", "steady", "pop"])
def test_a_low_pass_is_found(hz: float, made: str) -> None:
    steady = np.random.default_rng(4).standard_normal(8 * RATE) * 0.1
    samples = {"bursts": bursts(), "steady": steady, "pop": pop(RATE, 9.0)}[made]
    cut = low_passed(samples, hz)
    assert effective_bandwidth(cut, RATE) == pytest.approx(hz, rel=0.05)
    assert effective_bandwidth(dithered(cut), RATE) == pytest.approx(hz, rel=0.05)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000, 192_000])
def test_white_noise_reaches_half_the_rate(rate: int) -> None:
    noise = np.random.default_rng(1).standard_normal(3 * rate) * 0.1
    assert effective_bandwidth(noise.astype(np.float32), rate) == pytest.approx(rate / 2, rel=1e-3)


@pytest.mark.parametrize("hz", [4_000, 11_000])
def test_hiss_above_is_no_content(hz: float) -> None:
    hiss = np.random.default_rng(2).standard_normal(8 * RATE) * 1e-3
    assert effective_bandwidth((low_passed(bursts(), hz) + hiss).astype(np.float32), RATE) == pytest.approx(
        hz, rel=0.05
    )


def test_dither_alone_is_no_content() -> None:
    assert effective_bandwidth(dithered(np.zeros(RATE * 3)), RATE) is None


def test_the_level_does_not_matter_much() -> None:
    cut = low_passed(bursts(), 8_000)
    for gain in (0.1, 100.0):
        assert effective_bandwidth(cut * np.float32(gain), RATE) == pytest.approx(8_000, rel=0.05)


def test_too_short() -> None:
    assert effective_bandwidth(np.ones(1_000, np.float32), RATE) is None
