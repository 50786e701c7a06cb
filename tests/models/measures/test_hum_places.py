"""Hum: found from where it begins to where it ends, beneath a bass too, and not in what swells and dies away."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.hum_places import hum_places
from tests.models.measures.test_finders import RATE, only, song


def test_hum_is_found_from_its_start_to_its_end() -> None:
    wave = song(40)
    t = np.arange(20 * RATE) / RATE
    wave[12 * RATE : 32 * RATE] += (0.02 * np.sin(2 * np.pi * 50 * t) + 0.01 * np.sin(2 * np.pi * 150 * t))[:, None]
    hum = only(hum_places(wave, RATE))
    assert (hum.start_s, hum.end_s) == (pytest.approx(12, abs=0.4), pytest.approx(32, abs=0.4))
    assert hum_places(song(40), RATE) == ()


def test_hum_of_one_channel_is_found_beneath_a_bass_in_the_middle_and_within_nine_seconds() -> None:
    bass = np.cumsum(np.random.default_rng(1).normal(0, 1, 24 * RATE))
    bass -= np.convolve(bass, np.ones(2001) / 2001, "same")
    wave = np.repeat(0.1 * bass[:, None] / bass.std(), 2, axis=1).astype(np.float32)
    wave += np.random.default_rng(2).normal(0, 0.001, wave.shape).astype(np.float32)
    assert hum_places(wave, RATE) == ()
    t = np.arange(9 * RATE) / RATE
    mains = sum(0.003 / n * np.sin(2 * np.pi * 60.03 * n * t) for n in (1, 2, 3))
    wave[8 * RATE : 17 * RATE, 1] += mains.astype(np.float32)
    hum = only(hum_places(wave, RATE))
    assert (hum.start_s, hum.end_s) == (pytest.approx(8, abs=1), pytest.approx(17, abs=1))


@pytest.mark.parametrize("hz", [49.9, 60.1])
def test_chords_that_swell_on_the_mains_own_pitch_are_no_hum(hz: float) -> None:
    t = np.arange(24 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * n * t) for n in (1, 2, 3, 5)) * (0.2 + 0.19 * np.sin(2 * np.pi * 0.13 * t))
    assert hum_places((song(24) + 0.05 * chord[:, None]).astype(np.float32), RATE) == ()


@pytest.mark.parametrize("start_s", [9, 10.3, 11])
def test_four_seconds_of_many_lines_are_enough_wherever_they_lie(start_s: float) -> None:
    t = np.arange(round(4.5 * RATE)) / RATE
    mains = sum(0.02 / n * np.sin(2 * np.pi * 60.02 * n * t + n) for n in (1, 2, 3, 4, 5))
    first, wave = round(start_s * RATE), 0.1 * song(20)
    wave[first : first + len(t)] += mains[:, None].astype(np.float32)
    hum = only(hum_places(wave, RATE))
    assert (hum.start_s, hum.end_s) == (pytest.approx(start_s, abs=0.4), pytest.approx(start_s + 4.5, abs=0.4))
    alone = only(hum_places(wave[first : first + len(t)], RATE))
    assert (alone.start_s, alone.end_s) == (0.0, 4.5)


def test_two_hums_are_two_events() -> None:
    wave = 0.1 * song(60)
    t = np.arange(12 * RATE) / RATE
    for start_s, hz in ((5, 50.0), (40, 60.0)):
        mains = sum(0.02 / n * np.sin(2 * np.pi * hz * n * t) for n in (1, 2, 3))
        wave[start_s * RATE : start_s * RATE + len(t)] += mains[:, None].astype(np.float32)
    found = hum_places(wave, RATE)
    assert [event.start_s for event in found] == pytest.approx([5, 40], abs=0.4)
    assert [event.end_s for event in found] == pytest.approx([17, 52], abs=0.4)
