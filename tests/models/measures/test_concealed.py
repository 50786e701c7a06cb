"""Packets that were replaced by what came before are found where they are; what is periodic or played again is none."""

from __future__ import annotations

import numpy as np
import pytest

from models.degrade import degrade
from models.degrade.conceal import faded, looped
from models.events import Event
from models.measures.concealed import ConcealmentFinder, find_concealed, is_packet
from models.measures.repeats import find_repeats
from tests import signals
from tests.models.measures.music import chamber, place, pluck, pop

RATE = 44_100
START = 2 * RATE + 345


def song(rate_hz: int = RATE, duration_s: float = 5.0, seed: int = 1) -> np.ndarray:
    tones = signals.music(duration_s, rate_hz, seed=seed)
    return tones + signals.noise(duration_s, rate_hz, 0.003, seed=seed)[:, None]


def lost(wave: np.ndarray, frames: int, lag: int, gain: np.ndarray | float = 1.0, start: int = START) -> np.ndarray:
    """`wave` with `frames` frames from `start` on replaced by the last `lag`, over and over."""
    out = wave.copy()
    for channel in range(wave.shape[1]):
        out[start : start + frames, channel] = looped(wave[:start, channel], lag, frames) * gain
    return out


def only(events: tuple[Event, ...]) -> Event:
    assert len(events) == 1, events
    return events[0]


def rounded(wave: np.ndarray) -> np.ndarray:
    return (np.rint(wave * 2**15) / 2**15).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_a_packet_that_the_one_before_stands_for_is_found(gain: float) -> None:
    packet = round(0.02 * RATE)
    event = only(find_concealed(np.float32(gain) * lost(song(), packet, packet), RATE))
    assert (event.name, event.channel) == ("concealment", None)
    assert event.start_s == pytest.approx(START / RATE, abs=0.003)
    assert event.end_s == pytest.approx(START / RATE + 0.02, abs=0.003)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, RATE])
@pytest.mark.parametrize("lag_s", [0.0061, 0.0137])
def test_periods_that_fade_over_60_ms_are_found_to_the_rounding(rate_hz: int, lag_s: float) -> None:
    frames = round(0.06 * rate_hz)
    start = 2 * rate_hz
    wave = lost(song(rate_hz), frames, round(lag_s * rate_hz), faded(np.arange(frames) / rate_hz), start)
    for heard in (wave, rounded(wave)):
        event = only(find_concealed(heard, rate_hz))
        assert (event.start_s, event.end_s) == pytest.approx((2.0, 2.06), abs=0.02)


def test_what_is_silent_behind_a_fade_belongs_to_the_loss() -> None:
    frames = round(0.2 * RATE)
    event = only(find_concealed(lost(song(), frames, 400, faded(np.arange(frames) / RATE)), RATE))
    assert event.end_s == pytest.approx((START + frames) / RATE, abs=0.005)


def test_packets_that_grow_softer_and_join_smoothly_are_one_loss_of_their_channel() -> None:
    wave, packet = song(), round(0.03 * RATE)
    gains = 10 ** (-3 * (np.arange(3 * packet) // packet) / 20)
    made = lost(wave, 3 * packet, packet, gains)
    rise = np.clip(np.minimum(np.arange(3 * packet), np.arange(3 * packet)[::-1]) / (0.004 * RATE), 0, 1)
    inside = slice(START, START + 3 * packet)
    wave[inside, 1] = (1 - rise) * wave[inside, 1] + rise * made[inside, 1]
    event = only(find_concealed(wave, RATE))
    assert event.channel == 1
    assert (event.start_s, event.end_s) == pytest.approx((inside.start / RATE, inside.stop / RATE), abs=0.006)


def test_what_the_injector_puts_in_for_lost_packets_is_found() -> None:
    hit, all_losses = 0, 0
    for seed in range(12):
        made = degrade(song(duration_s=3.0, seed=seed), RATE, "concealment", 0.5, np.random.default_rng(seed))
        found = find_concealed(rounded(made.samples), RATE)
        hits = [any(e.start_s < event.end_s and event.start_s < e.end_s for e in found) for event in made.events]
        hit, all_losses = hit + sum(hits), all_losses + len(hits)
        assert len(found) <= len(made.events)
    assert hit > 0.4 * all_losses  # two of five methods leave no copy


@pytest.mark.parametrize("music", [pop, chamber])
def test_music_is_none_and_neither_is_it_where_notes_repeat(music) -> None:
    assert find_concealed(music(RATE, 24.0), RATE) == ()
    assert find_concealed(rounded(music(RATE, 24.0)), RATE) == ()


def test_tones_that_are_exactly_periodic_are_none_however_they_begin_and_end() -> None:
    t = np.arange(3 * RATE) / RATE
    shapes = {"sine": np.sin, "square": lambda x: np.sign(np.sin(x) + 1e-9), "saw": lambda x: x / np.pi % 2 - 1}
    for shape in shapes.values():
        for hz in (100.0, 210.0, 441.0):
            wave = (0.3 * shape(2 * np.pi * hz * t)).astype(np.float32)[:, None]
            assert find_concealed(wave, RATE) == ()
            wave[: RATE // 2] = wave[RATE : RATE + 4_000] = 0
            assert find_concealed(wave, RATE) == ()
    period = np.random.default_rng(2).normal(0, 0.1, 441).astype(np.float32)
    assert find_concealed(np.tile(period, 300), RATE) == ()


def test_a_melody_of_tones_without_any_noise_is_none() -> None:
    rng = np.random.default_rng(8)
    notes = [np.tile(rng.normal(0, 0.2, int(rng.integers(80, 400))), 200)[: int(0.09 * RATE)] for _ in range(60)]
    assert find_concealed(np.concatenate(notes).astype(np.float32), RATE) == ()


def test_an_echo_and_a_stroke_that_comes_again_are_none() -> None:
    rng = np.random.default_rng(3)
    stroke = rng.normal(0, 0.3, 2_000) * np.exp(-np.arange(2_000) / 300)
    for lag in (700, 1_323, 2_205):  # among them a packet's length
        echo = np.zeros(2 * RATE)
        for times in range(6):
            echo[RATE + times * lag : RATE + times * lag + 2_000] += 0.6**times * stroke
        assert find_concealed(echo.astype(np.float32), RATE) == ()
    track = np.zeros((3 * RATE, 2))
    for at_s in np.arange(0.1, 2.8, 0.055):
        place(track, float(at_s), 0.2 * pluck(57, 0.05, RATE, 0.1), 0.5, RATE)
    assert find_concealed(track.astype(np.float32), RATE) == ()


def test_silence_is_none() -> None:
    assert find_concealed(np.zeros((2 * RATE, 2), np.float32), RATE) == ()


@pytest.mark.parametrize(("lag", "concealed"), [(round(0.04 * RATE), True), (round(0.043 * RATE), False)])
def test_what_comes_again_at_one_level_is_a_stutter_unless_it_is_a_packet_long(lag: int, concealed: bool) -> None:
    wave = lost(song(), lag, lag)
    assert is_packet(lag, RATE) == concealed
    assert bool(find_concealed(wave, RATE)) == concealed
    assert bool(find_repeats(wave, RATE)) != concealed


def test_a_stretch_that_comes_again_for_long_is_a_stutter_even_if_it_is_a_packet_long() -> None:
    wave = lost(song(), round(0.2 * RATE), round(0.04 * RATE))
    assert find_concealed(wave, RATE) == ()
    assert only(find_repeats(wave, RATE)).name == "stutter"


def test_hum_that_notes_die_away_into_is_no_stutter() -> None:
    t = np.arange(3 * RATE) / RATE
    hum = 0.01 * np.sin(2 * np.pi * 50 * t) + 0.004 * np.sin(2 * np.pi * 150 * t)
    notes = 0.3 * np.exp(-60 * (t % 0.5)) * np.minimum(1, t % 0.5 / 0.004) * np.sin(2 * np.pi * 333 * t)
    assert find_repeats(rounded(hum + notes)[:, None], RATE) == ()


def test_the_result_does_not_depend_on_how_the_recording_was_cut() -> None:
    wave = song()
    for second in (1, 2, 3):  # on and near the edges of blocks
        wave = lost(wave, 882, 882, start=second * RATE - 500 + 400 * second)
    whole = find_concealed(wave, RATE)
    cut = ConcealmentFinder(RATE, 2)
    for part in np.split(wave, [1, 5_000, 5_001, 130_000]):
        cut.add(part)
    assert len(whole) == 3
    assert cut.result() == whole
