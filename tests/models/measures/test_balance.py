"""Steps of the balance: of a channel's gain, or its polarity, and not of what a voice does."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.balance import Balance, BalanceStep
from models.measures.steps import find_steps
from tests import signals

RATE = 44_100


def stereo(duration_s: float = 4.0, common: float = 0.8) -> np.ndarray:
    """Music of which both channels share a part."""
    own = signals.music(duration_s, RATE, seed=3)
    shared = signals.music(duration_s, RATE, 1, seed=4)
    return np.ascontiguousarray((1 - common) * own + common * shared, np.float32)


def steps(wave: np.ndarray, block: int = 10_000) -> list[BalanceStep]:
    balance = Balance(RATE)
    for start in range(0, len(wave), block):
        balance.add(np.ascontiguousarray(wave[start : start + block].T))
    return balance.result()


@pytest.mark.parametrize("gain", [0.3, 2.5])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_step_of_the_gain_is_found_with_channel_and_factor(gain: float, channel: int) -> None:
    wave, at = stereo(), round(2.213 * RATE)
    assert [step for step in steps(wave) if step.sure] == []
    wave[at:, channel] *= np.float32(gain)
    found = [step for step in steps(wave) if step.sure] if gain < 0.4 else steps(wave)
    assert [(step.channel, step.frame) for step in found] == [(channel, pytest.approx(at, abs=0.02 * RATE))]
    assert found[0].gain == pytest.approx(gain, rel=0.15)


def test_blocks_do_not_matter() -> None:
    wave = stereo(70)
    wave[round(31.5 * RATE) :, 1] *= np.float32(0.3)
    assert steps(wave, 10_000) == steps(wave, 333_333) != []


def test_a_channel_that_is_turned_over_turns_the_correlation() -> None:
    wave, at = stereo(), round(1.777 * RATE)
    wave[at:, 1] *= -1
    turns = [step for step in steps(wave) if step.gain == -1]
    assert {step.channel for step in turns} == {0, 1}
    assert all(step.frame == pytest.approx(at, abs=0.03 * RATE) and not step.sure for step in turns)


def test_a_voice_that_begins_at_one_side_is_no_step() -> None:
    wave, at = stereo(), round(2.0 * RATE)
    wave[at:, 0] += np.float32(2) * signals.tone(330, 2.0, RATE)[: len(wave) - at].reshape(-1).astype(np.float32)
    assert steps(wave) == []


def test_a_fault_ends_where_the_balance_comes_back_although_the_end_is_blurred() -> None:
    wave, start, stop = stereo(), round(1.0 * RATE), round(2.5 * RATE)
    gains = np.ones(len(wave), np.float32)
    gains[start:stop] = 0.3
    gains[stop : stop + 300] = np.linspace(0.3, 1, 300)
    wave[:, 1] *= gains
    faults = find_steps(wave, RATE)
    assert len(faults) == 1
    assert (faults[0].start_s, faults[0].end_s) == (pytest.approx(1.0, abs=0.02), pytest.approx(2.5, abs=0.03))
    assert faults[0].channel == 1
