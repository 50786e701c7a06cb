"""Finders of defects: each finds what was planted where it was planted, at any gain, and nothing in what was played."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.defects import FINDERS, Facts, Measures, damage
from models.events import Event
from models.measures.blocks import Meter, measured
from models.measures.clicks import find_clicks
from models.measures.flat import find_clipping
from models.measures.gaps import find_gaps
from models.measures.hum_places import hum_places
from models.measures.static import find_static
from tests import signals
from tests.models.measures.music import pop

RATE = 44_100
DATA = Path(__file__).parents[4] / "shared" / "data"


def song(duration_s: float = 6.0, seed: int = 1) -> np.ndarray:
    return signals.music(duration_s, RATE, seed=seed) + signals.noise(duration_s, RATE, 0.003)[:, None]


def only(events: tuple[Event, ...]) -> Event:
    assert len(events) == 1, events
    return events[0]


@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("length_s", [0.002, 0.02, 0.7])
def test_a_hole_is_found_to_the_millisecond(gain: float, length_s: float) -> None:
    wave = song() * np.float32(gain)
    wave[round(2.03 * RATE) : round((2.03 + length_s) * RATE)] = 0
    hole = only(find_gaps(wave, RATE))
    assert (hole.name, hole.channel) == ("dropout", None)
    assert hole.start_s == pytest.approx(2.03, abs=0.001)
    assert hole.end_s == pytest.approx(2.03 + length_s, abs=0.001)


def test_a_held_value_is_a_hole() -> None:
    wave = song()
    wave[90_000:91_000] = [[0.06, -0.05]]
    held = only(find_gaps(wave, RATE))
    assert (held.name, held.start_s) == ("dropout", pytest.approx(90_000 / RATE, abs=0.001))


def test_a_channel_that_is_lost_for_a_while_or_for_good() -> None:
    for stop in (4 * RATE, 6 * RATE):
        wave = song()
        wave[2 * RATE : stop, 1] = 0
        fault = only(find_gaps(wave, RATE))
        assert (fault.name, fault.channel) == ("channel_fault", 1)
        assert (fault.start_s, fault.end_s) == pytest.approx((2.0, stop / RATE), abs=0.001)


def test_a_sound_that_stops_dead_is_an_edge() -> None:
    wave = song()
    wave[5 * RATE :] = 0
    assert only(find_gaps(wave, RATE))[:2] == ("abrupt_edge", pytest.approx(5.0, abs=0.001))


def test_notes_that_decay_into_silence_leave_no_hole() -> None:
    t = np.arange(RATE) / RATE
    note = (0.5 * np.sin(2 * np.pi * 220 * t) * np.exp(-20 * t) * np.minimum(t / 0.003, 1)).astype(np.float32)
    note[np.abs(note) < 2e-5] = 0
    assert find_gaps(np.tile(note, 4), RATE) == ()


def test_clipping_is_found_where_it_is_even_below_the_peak() -> None:
    wave = pop(RATE, 8)
    wave = wave / np.abs(wave).max()
    wave[3 * RATE : 5 * RATE] = np.clip(2 * wave[3 * RATE : 5 * RATE], -0.5, 0.5)
    found = find_clipping(wave, RATE)
    assert found
    assert all(2.9 <= event.start_s <= event.end_s <= 5.1 for event in found)
    assert sum(event.end_s - event.start_s for event in found) > 1.0


def test_hum_is_found_from_its_start_to_its_end() -> None:
    wave = song(40)
    t = np.arange(20 * RATE) / RATE
    wave[12 * RATE : 32 * RATE] += (0.02 * np.sin(2 * np.pi * 50 * t) + 0.01 * np.sin(2 * np.pi * 150 * t))[:, None]
    hum = only(hum_places(wave, RATE))
    assert (hum.start_s, hum.end_s) == (pytest.approx(12, abs=2.1), pytest.approx(32, abs=2.1))
    assert hum_places(song(40), RATE) == ()


@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_clicks_are_found_within_10_ms_and_glottal_pulses_are_none(gain: float) -> None:
    wave = np.float32(gain) * song()
    places = [0.71, 2.345, 4.1]
    for at_s in places:
        wave[round(at_s * RATE) : round(at_s * RATE) + 20] += np.float32(0.3 * gain)
    found = find_clicks(wave, RATE)
    assert [event.start_s for event in found] == pytest.approx(places, abs=0.01)
    pulses = song()
    pulses[:: RATE // 120] += 0.3  # a pulse for each period of a voice
    assert find_clicks(pulses, RATE) == ()


def test_static_is_found_and_hiss_and_cymbals_are_none() -> None:
    wave = song()
    wave[2 * RATE : 2 * RATE + 9000] = np.random.default_rng(0).uniform(-1, 1, (9000, 2))
    static = only(find_static(wave, RATE))
    assert (static.start_s, static.end_s) == (pytest.approx(2.0, abs=0.006), pytest.approx(2 + 9000 / RATE, abs=0.006))
    assert find_static(signals.noise(1.0, RATE, rms=0.1), RATE) == ()


@pytest.mark.parametrize("finder", FINDERS.values())
@pytest.mark.parametrize("rate", [8_000, RATE])
def test_neither_silence_nor_a_moment_of_sound_is_a_defect(finder: type[Meter], rate: int) -> None:
    for wave in (np.zeros((3 * rate, 2)), np.zeros((0, 1)), np.full((1, 1), 0.5), np.zeros((rate, 1))):
        assert measured(finder, wave.astype(np.float32), rate) == ()


@pytest.mark.parametrize("finder", FINDERS.values())
def test_the_result_does_not_depend_on_how_the_recording_was_cut(finder: type[Meter]) -> None:
    wave = song(14)
    wave[3 * RATE : 3 * RATE + 200] = 0
    wave[5 * RATE : 5 * RATE + 4] += 0.4
    cut = finder(RATE, 2)
    for part in np.split(wave, [1, 5_000, 5_001, 200_000]):
        cut.add(part)
    assert cut.result() == measured(finder, wave, RATE)


def test_damaged_packets_that_follow_each_other_are_one_event() -> None:
    found = damage(Facts(damaged_at_s=(1.0, 1.026, 5.0), damaged_packets=3), 5.01)
    assert [(event.start_s, event.end_s) for event in found] == [(1.0, 1.052), (5.0, 5.01)]


@pytest.mark.skipif(not (DATA / "music").is_dir(), reason="the recordings are not here")
def test_no_false_alarm_in_what_was_recorded() -> None:
    told = []
    for path in sorted((DATA / "music").glob("*.ogg")) + sorted((DATA / "mir1k").rglob("*.flac"))[::12]:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        told += [
            (path.stem, event.name, round(event.start_s, 2)) for event in Measures().detect(_Whole(wave, rate), Facts())
        ]
    assert told == []


class _Whole:
    def __init__(self, wave: np.ndarray, rate: int) -> None:
        self.sample_rate_hz, self.channels, self.frames, self._wave = rate, wave.shape[1], len(wave), wave

    def blocks(self, block_frames: int):
        for start in range(0, self.frames, block_frames):
            yield self._wave[start : start + block_frames]
