"""Speed: what moves all partials at once and comes back is found at its edges; what musicians move is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from models.degrade.speed import read_between
from models.measures.speed import SpeedFinder, find_speed_jumps
from tests import signals
from tests.models.measures.test_finders import RATE, only

SEVENTH = (0, 3, 7, 10)  # semitones; a triad may be one harmonic series
CHORDS = (SEVENTH, (-4, 0, 3, 7), (-2, 2, 5, 9), (-5, -2, 2, 5))


def voice(hz: np.ndarray) -> np.ndarray:
    """Six harmonics of a fundamental that moves, [frames]."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return np.sum([np.sin(n * phase) / n for n in range(1, 7) if n * hz.max() < RATE / 2], axis=0)


def note(semitone: float, duration_s: float) -> np.ndarray:
    return voice(np.full(round(duration_s * RATE), 220 * 2 ** (semitone / 12)))


@cache
def chords(duration_s: float = 12.0, each_s: float = 0.75) -> np.ndarray:
    """Held chords that change, with a little noise, [frames, 1]."""
    wave = [sum(note(s, each_s) for s in CHORDS[i % 4]) for i in range(round(duration_s / each_s))]
    sound = 0.04 * np.concatenate(wave) + signals.noise(duration_s, RATE, 0.001)
    return sound[:, None].astype(np.float32)


def played(wave: np.ndarray, start_s: float, speed: np.ndarray) -> np.ndarray:
    """From `start_s` on at the speeds `speed` of each frame, then on at its own."""
    start = round(start_s * RATE)
    positions = start + np.cumsum(speed) - speed
    rest = round(float(positions[-1] + speed[-1]))
    return np.concatenate([wave[:start], read_between(wave, positions), wave[rest:]])


@pytest.mark.parametrize("by", [0.05, -0.05, 0.025])
@pytest.mark.parametrize("start_s", [4.02, 5.13])
def test_a_step_is_found_at_its_edges(by: float, start_s: float) -> None:
    found = only(find_speed_jumps(played(chords(), start_s, np.full(RATE * 6 // 5, 1 + by)), RATE))
    assert (found.name, found.channel) == ("speed_jump", None)
    assert (found.start_s, found.end_s) == pytest.approx((start_s, start_s + 1.2), abs=0.1)


@pytest.mark.parametrize("hz", [0.7, 1.5, 3.0])
def test_wow_is_found_at_its_edges(hz: float) -> None:
    t = np.arange(3 * RATE) / RATE
    found = only(find_speed_jumps(played(chords(), 4.0, 1 + 0.02 * np.sin(2 * np.pi * hz * t + 1)), RATE))
    assert (found.start_s, found.end_s) == pytest.approx((4.0, 7.0), abs=0.1)


def test_a_clock_that_is_wrong_for_a_quarter_of_a_second() -> None:
    found = only(find_speed_jumps(played(chords(), 4.7, np.full(RATE // 4, 44100 / 48000)), RATE))
    assert (found.start_s, found.end_s) == pytest.approx((4.7, 4.95), abs=0.05)


def test_blocks_and_gain_change_nothing_and_channels_are_one() -> None:
    wave = played(chords(), 4.0, np.full(RATE, 1.05))
    whole = find_speed_jumps(wave, RATE)
    for size in (1_000, 44_101, 200_000):
        meter = SpeedFinder(RATE, 1)
        for at in range(0, len(wave), size):
            meter.add(wave[at : at + size])
        assert meter.result() == whole
    assert [e[:3] for e in find_speed_jumps(wave / 64, RATE)] == [e[:3] for e in whole]
    assert [e[:3] for e in find_speed_jumps(np.repeat(wave, 2, axis=1), RATE)] == [e[:3] for e in whole]


def test_a_jump_is_found_once_wherever_it_lies_in_a_long_recording() -> None:
    wave = played(played(np.tile(chords(), (12, 1)), 30.0, np.full(RATE, 1.04)), 109.6, np.full(RATE, 0.96))
    assert [e.start_s for e in find_speed_jumps(wave, RATE)] == pytest.approx([30.0, 109.6], abs=0.1)


def test_chords_that_are_held_or_change_or_fade_are_music() -> None:
    fade = np.linspace(1, 0, len(chords()))[:, None].astype(np.float32)
    for wave in (chords(12.0, 12.0), chords(), chords(12.0, 0.5), chords() * fade):
        assert find_speed_jumps(wave, RATE) == ()


@pytest.mark.parametrize("semitones", [1, -2])
def test_chords_that_move_by_whole_semitones_and_back_are_music(semitones: int) -> None:
    parts = [sum(note(s + by, 2.0) for s in SEVENTH) for by in (0, 0, semitones, 0, semitones, 0)]
    wave = 0.04 * np.concatenate(parts) + signals.noise(12.0, RATE, 0.001)
    assert find_speed_jumps(wave.astype(np.float32), RATE) == ()


def moving(kind: str) -> np.ndarray:
    """A voice of 12 s that glides, bends and comes back, or has vibrato."""
    t = np.arange(12 * RATE) / RATE
    semitones = {
        "glides": 7 * np.clip(t - 4, 0, 1) - 7 * np.clip(t - 8, 0, 1),
        "bends": 0.8 * np.clip((t - 4) / 0.1, 0, 1) - 0.8 * np.clip((t - 6) / 0.1, 0, 1),
        "vibrato": 0.6 * np.sin(2 * np.pi * 5 * t) * (t % 3 > 1),
    }[kind]
    return voice(440 * 2 ** ((3 + semitones) / 12))


@pytest.mark.parametrize("kind", ["glides", "bends", "vibrato"])
def test_a_voice_may_move_alone_or_over_chords(kind: str) -> None:
    alone = (0.2 * moving(kind) + signals.noise(12.0, RATE, 0.001))[:, None].astype(np.float32)
    assert find_speed_jumps(alone, RATE) == ()
    assert find_speed_jumps(chords() + np.float32(0.5) * alone, RATE) == ()


def test_a_tape_that_is_stopped_for_effect_is_music() -> None:
    speed = np.linspace(1, 0.01, RATE)
    stopped = played(chords(), 6.0, speed)[: 7 * RATE]
    assert find_speed_jumps(np.pad(stopped, ((0, 2 * RATE), (0, 0))), RATE) == ()


def test_drums_silence_and_what_is_too_short_tell_nothing() -> None:
    t = np.arange(RATE // 2) / RATE
    stroke = np.random.default_rng(1).normal(0, 0.3, len(t)) * np.exp(-25 * t)
    kick = 0.5 * np.sin(2 * np.pi * (50 * t + 8 * (1 - np.exp(-20 * t)))) * np.exp(-9 * t)
    drums = np.tile(np.concatenate([kick, stroke]), 12).astype(np.float32)
    for wave in (drums, np.zeros(3 * RATE, np.float32), chords()[:3_000], np.empty((0, 1), np.float32)):
        assert find_speed_jumps(wave, RATE) == ()


@pytest.mark.parametrize("rate", [8_000, 22_050, 96_000])
def test_other_rates(rate: int) -> None:
    count = 8 * rate
    t = np.arange(count) / rate
    clock = np.where((t > 3) & (t < 4), 1.04, 1.0)
    phase = 2 * np.pi * 220 * np.cumsum(clock) / rate
    parts = [np.sin(2 ** (s / 12) * n * phase) / n for s in SEVENTH for n in range(1, 7)]
    found = only(find_speed_jumps((0.04 * np.sum(parts, axis=0)).astype(np.float32), rate))
    assert (found.start_s, found.end_s) == pytest.approx((3, 4), abs=0.1)
