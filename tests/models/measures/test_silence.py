from __future__ import annotations

import itertools

import numpy as np
import pytest

from models.measures.silence import Silence, find_silence

RATE = 8_000


def slow(sounding: np.ndarray) -> Silence:
    """The same, sample by sample."""
    places = np.flatnonzero(sounding).tolist()
    if not places:
        return Silence(leading_s=len(sounding) / RATE, trailing_s=0, longest_inner_s=0, longest_inner_at_s=None)
    longest, at = 0, None
    for a, b in itertools.pairwise(places):
        if b - a - 1 > longest:
            longest, at = b - a - 1, (a + 1) / RATE
    trailing = len(sounding) - 1 - places[-1]
    return Silence(
        leading_s=places[0] / RATE, trailing_s=trailing / RATE, longest_inner_s=longest / RATE, longest_inner_at_s=at
    )


@pytest.mark.parametrize("share", [0, 1e-4, 0.001, 0.3, 0.999, 1])
@pytest.mark.parametrize("frames", [1, 2, 7_999, 8_000, 8_001, 40_123])
def test_to_the_sample(share: float, frames: int) -> None:
    random = np.random.default_rng(frames)
    sounding = random.random(frames) < share
    samples = np.where(sounding[:, None], [[0.0, -0.01]], [[0.0009, -0.0009]]).astype(np.float32)
    assert find_silence(samples, RATE) == slow(sounding)


def test_silence_across_many_seconds() -> None:
    samples = np.zeros((RATE * 20, 2), np.float32)
    samples[5, 0] = samples[RATE * 3 + 7, 1] = samples[-11, 0] = 0.5
    found = find_silence(samples, RATE)
    assert (found.leading_s, found.trailing_s) == (5 / RATE, 10 / RATE)
    assert found.longest_inner_s == (RATE * 17 - 11 - 8) / RATE
    assert found.longest_inner_at_s == (RATE * 3 + 8) / RATE


def test_the_threshold_is_60_db_below_full_scale() -> None:
    assert find_silence(np.full(10, 1e-3, np.float32), RATE).leading_s == 10 / RATE
    assert find_silence(np.full(10, 1.001e-3, np.float32), RATE).leading_s == 0
