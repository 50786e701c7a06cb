"""Tuning: a stretch at another speed points elsewhere on the circle of a semitone; other keys and speech do not."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.partials import NONE
from models.measures.tuning import detuned

HOP_S = 0.02


def frames(seconds: float, cents: float = 0.0, seed: int = 1, spread: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Partials of chords that change every 0.3 s, on the semitones of 440 Hz plus `cents`."""
    rng = np.random.default_rng(seed)
    count = round(seconds / HOP_S)
    notes = np.repeat(rng.integers(-12, 30, (count // 15 + 1, 8)), 15, axis=0)[:count]
    places = 100.0 * notes + cents + rng.normal(0, spread, notes.shape)
    places[:, 6:] = np.where(rng.random((count, 2)) < 0.5, NONE, places[:, 6:])
    return places.astype(np.float32), rng.uniform(-60, -30, notes.shape).astype(np.float32)


def played(*parts: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([places for places, _ in parts]), np.concatenate([levels for _, levels in parts])


@pytest.mark.parametrize("own", [0.0, 37.0, 49.0])
@pytest.mark.parametrize("shift", [-30.0, 22.0, 68.0, 45.0])
def test_a_stretch_is_told_with_its_shift_wherever_the_recording_is_tuned(own: float, shift: float) -> None:
    found = detuned(*played(frames(4, own), frames(1.2, own + shift, 2), frames(4, own, 3)), HOP_S)
    assert len(found) == 1
    assert (found[0].first, found[0].stop) == (pytest.approx(200, abs=3), pytest.approx(260, abs=3))
    assert found[0].cents == pytest.approx((shift + 50) % 100 - 50, abs=3)


@pytest.mark.parametrize("shift", [5.0, 100.0, -200.0])
def test_what_is_hardly_off_and_other_keys_are_music(shift: float) -> None:
    assert detuned(*played(frames(4), frames(1.2, shift, 2), frames(4, 0, 3)), HOP_S) == []


def test_what_does_not_come_back_is_another_piece_and_a_moment_is_a_slide() -> None:
    assert detuned(*played(frames(4), frames(4, 35, 2)), HOP_S) == []
    assert detuned(*played(frames(4), frames(0.3, 35, 2), frames(4, 0, 3)), HOP_S) == []


def test_what_has_no_tuning_is_not_out_of_it() -> None:
    assert detuned(*played(frames(4, spread=60), frames(1.2, 35, 2), frames(4, 0, 3, spread=60)), HOP_S) == []
    assert detuned(*played(frames(4), frames(1.2, 35, 2, spread=60), frames(4, 0, 3)), HOP_S) == []
    assert detuned(np.full((300, 8), NONE), np.full((300, 8), -140, np.float32), HOP_S) == []
    assert detuned(np.empty((0, 8), np.float32), np.empty((0, 8), np.float32), HOP_S) == []
