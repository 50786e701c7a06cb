"""Breaks: told where the partials of two sounds meet, whatever hisses above them, and not where one is added."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.breaks import RATE_HZ, Stream
from models.measures.splices import find_splices
from tests import signals

RATE = 44_100
AT = 2 * RATE + 123


def chord(hz: float, duration_s: float = 4.0, rate: int = RATE) -> np.ndarray:
    """Five partials over a little noise."""
    t = np.arange(round(duration_s * rate)) / rate
    wave = sum(0.2 / n * np.sin(2 * np.pi * hz * n * t + n * n) for n in range(1, 6))
    return (wave + signals.noise(duration_s, rate, 1e-3)).astype(np.float32)


def hiss(duration_s: float = 4.0) -> np.ndarray:
    """Noise that is the louder the higher, as of cymbals: differences of second order."""
    return np.diff(signals.noise(duration_s, RATE, 0.001), 2, prepend=[0, 0]).astype(np.float32)


def places(wave: np.ndarray, rate: int = RATE, block: int = RATE) -> list[float]:
    """Seconds at which breaks are told, of a recording that comes in blocks."""
    stream = Stream(rate)
    told = [frame for start in range(0, len(wave), block) for frame in stream.add(wave[start : start + block])]
    return [frame / stream.rate_hz for frame in told]


@pytest.mark.parametrize("rate", [8_000, 16_000, RATE, 96_000])
def test_two_chords_that_meet_break_there(rate: int) -> None:
    at = 2 * rate + 57
    (told_s,) = places(np.concatenate([chord(220, rate=rate)[:at], chord(277, rate=rate)[at:]]), rate)
    assert told_s == pytest.approx(at / rate, abs=4 / RATE_HZ)


def test_noise_above_the_partials_does_not_matter() -> None:
    wave = np.concatenate([chord(220)[:AT], chord(277)[AT:]]) + hiss()
    (told_s,) = places(wave)
    assert told_s == pytest.approx(AT / RATE, abs=4 / RATE_HZ)


def test_nothing_breaks_in_a_chord_that_goes_on_or_in_noise() -> None:
    assert places(chord(220)) == []
    assert places(signals.noise(4.0, RATE, 0.1)) == []
    assert places(np.zeros(4 * RATE, np.float32)) == []


def test_it_does_not_matter_how_the_recording_came() -> None:
    wave = np.concatenate([chord(220)[:AT], chord(277)[AT:]])
    assert places(wave, block=RATE) == places(wave, block=9_973) == places(wave, block=len(wave))


def test_a_cut_that_hiss_hides_from_the_wave_is_found() -> None:
    before, after = chord(220) + chord(331), chord(277) + chord(415)
    wave = np.concatenate([before[:AT], after[AT:]]) + hiss()
    (event,) = find_splices(wave, RATE)
    assert event.name == "skip"
    assert event.start_s == pytest.approx(AT / RATE, abs=0.001)


@pytest.mark.parametrize("attack_s", [0.0005, 0.005])
def test_a_chord_that_is_added_under_hiss_is_no_cut(attack_s: float) -> None:
    wave, t = chord(220) + hiss(), np.arange(RATE) / RATE
    note = np.exp(-6 * t) * np.minimum(1, t / attack_s) * sum(np.sin(2 * np.pi * 277 * n * t) / n for n in (1, 2, 3))
    wave[AT : AT + RATE] += (0.3 * note).astype(np.float32)
    assert find_splices(wave, RATE) == ()
