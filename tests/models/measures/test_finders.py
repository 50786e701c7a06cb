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
from models.measures.edges import find_edges
from models.measures.flat import find_clipping
from models.measures.gaps import find_gaps
from models.measures.repeats import find_repeats
from models.measures.static import find_static
from models.measures.steps import find_steps
from models.measures.strokes import in_rhythm
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


def test_a_value_is_held_for_longer_than_a_block() -> None:
    wave = song()
    wave[90_000:220_000, 0] = 0.06
    held = only(find_gaps(wave, RATE))
    assert (held.start_s, held.end_s) == pytest.approx((90_000 / RATE, 220_000 / RATE), abs=0.001)


@pytest.mark.parametrize("gain", [-1.0, 0.3, 2.0, -0.5])
@pytest.mark.parametrize("stop", [190_199, 6 * RATE])
def test_a_channel_whose_gain_steps(stop: int, gain: float) -> None:
    wave = song()
    assert find_steps(wave, RATE) == ()
    wave[100_017:stop, 1] *= np.float32(gain)
    fault = only(find_steps(wave, RATE))
    assert (fault.name, fault.channel) == ("channel_fault", 1)
    assert (fault.start_s, fault.end_s) == pytest.approx((100_017 / RATE, stop / RATE), abs=0.0001)
    assert ("turned" in fault.words) == (gain < 0)
    told_db = float(fault.words.partition("by ")[2].partition(" dB")[0])
    assert told_db == pytest.approx(20 * np.log10(abs(gain)), abs=1)


def test_a_step_of_all_channels_is_no_fault_of_one_and_neither_is_what_comes_in_or_goes() -> None:
    wave = song()
    wave[100_017:] *= np.float32(0.3)
    assert find_steps(wave, RATE) == ()
    left = song(seed=3)[:, 0]
    wave = np.stack([left, left], axis=1)
    wave[3 * RATE :] += np.float32(2) * np.stack([song(seed=4)[:, 1], -song(seed=4)[:, 1]], axis=1)[3 * RATE :]
    assert find_steps(wave, RATE) == ()
    assert find_steps(wave[:, :1], RATE) == ()


@pytest.mark.parametrize("length", [900, 4_410, 20_000])
@pytest.mark.parametrize("times", [1, 3])
def test_a_stretch_that_comes_again_is_a_stutter_from_its_second_coming_on(length: int, times: int) -> None:
    wave = song()
    start = 2 * RATE + 123
    stuck = np.concatenate([wave[: start + length], *[wave[start : start + length]] * times, wave[start + length :]])
    found = only(find_repeats(stuck, RATE))
    assert found.name == "stutter"
    ends_s = (start + length) / RATE, (start + length * (1 + times)) / RATE
    assert (found.start_s, found.end_s) == pytest.approx(ends_s, abs=0.001)


def test_what_is_periodic_or_faded_at_its_joints_is_no_stutter() -> None:
    period = np.random.default_rng(2).normal(0, 0.1, 210).astype(np.float32)
    assert find_repeats(np.tile(period, 600), RATE) == ()  # a synthesiser at 210 Hz
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)  # whose period is no whole number of samples: 50 ms are
    for begins in (0, RATE):
        assert (
            find_repeats(np.float32(np.round(16_000 * np.roll(np.pad(tone, (RATE, 0)), -begins)) / 32768), RATE) == ()
        )
    beat = song()[: RATE // 4] * np.hanning(RATE // 4).astype(np.float32)[:, None]
    assert find_repeats(np.tile(beat, (8, 1)), RATE) == ()  # a loop, each round played from nothing to nothing
    ramp = np.minimum(1, np.arange(RATE // 4) / (0.002 * RATE)).astype(np.float32)[:, None]
    edit = song()[: RATE // 4] * ramp * ramp[::-1]
    assert (
        find_repeats(np.concatenate([song(seed=2), *[edit] * 4, song(seed=3)]), RATE) == ()
    )  # its edges fade within 2 ms


def test_edges_in_full_sound_are_cut_and_faded_ones_or_strokes_are_not() -> None:
    wave = song()[RATE + 60 : 4 * RATE + 60]
    assert [(e.start_s, e.end_s) for e in find_edges(wave, RATE)] == [(0.0, 0.05), (pytest.approx(2.95), 3.0)]
    ramp = np.minimum(1, np.arange(len(wave)) / (0.005 * RATE)).astype(np.float32)[:, None]
    assert find_edges(wave * ramp * ramp[::-1], RATE) == ()
    t = np.arange(2 * RATE) / RATE
    stroke = (0.5 * np.sin(2 * np.pi * 400 * t) * np.exp(-3 * t) * np.minimum(t / 0.001, 1)).astype(np.float32)
    assert find_edges(stroke, RATE) == ()


def test_a_sound_that_stops_dead_is_an_edge() -> None:
    wave = song()
    wave[5 * RATE :] = 0
    assert only(find_gaps(wave, RATE))[:2] == ("abrupt_edge", pytest.approx(5.0, abs=0.001))


def test_notes_that_decay_into_silence_leave_no_hole() -> None:
    t = np.arange(RATE) / RATE
    note = (0.5 * np.sin(2 * np.pi * 220 * t) * np.exp(-20 * t) * np.minimum(t / 0.003, 1)).astype(np.float32)
    note[np.abs(note) < 2e-5] = 0
    assert find_gaps(np.tile(note, 4), RATE) == ()


def test_silence_after_a_fade_between_claps_or_between_steps_is_no_hole() -> None:
    faded = song()
    fade = np.r_[np.linspace(1, 0, round(0.008 * RATE)), np.zeros(2000)].astype(np.float32)
    faded[90_000 : 90_000 + len(fade)] *= fade[:, None]
    assert find_gaps(faded, RATE) == ()
    claps, rng = np.zeros((4 * RATE, 1), np.float32), np.random.default_rng(2)
    for at in rng.integers(0, 4 * RATE - 600, 120):
        claps[at : at + 300, 0] += rng.normal(0, 0.2, 300) * np.exp(-np.arange(300) / 90)
    assert find_gaps(claps, RATE) == ()
    steps = np.round(8 * np.sin(2 * np.pi * 43 * np.arange(3 * RATE) / RATE) / 6) * np.float32(0.2)
    assert find_gaps(steps.astype(np.float32), RATE) == ()


def test_rests_in_time_are_played_and_rests_by_chance_are_holes() -> None:
    rng = np.random.default_rng(5)
    grid = np.flatnonzero(rng.random(60) < 0.4) * 0.2 + 0.3
    by_chance = 0.3 + np.cumsum(rng.uniform(0.25, 0.9, len(grid)))
    for ends_s, holes in ((grid, 0), (by_chance, len(grid))):
        wave = song(30)
        for end_s in ends_s:
            wave[round((end_s - 0.1) * RATE) : round(end_s * RATE)] = 0
        assert len(find_gaps(wave, RATE)) == holes


def test_a_voice_that_ends_just_before_the_recording_does_is_no_fault_of_the_channel() -> None:
    wave = song()
    wave[round(5.4 * RATE) :, 1] = 0
    assert find_gaps(wave, RATE) == ()


def test_clipping_is_found_where_it_is_even_below_the_peak() -> None:
    wave = pop(RATE, 8)
    wave = wave / np.abs(wave).max()
    wave[3 * RATE : 5 * RATE] = np.clip(2 * wave[3 * RATE : 5 * RATE], -0.5, 0.5)
    found = find_clipping(wave, RATE)
    assert found
    assert all(2.9 <= event.start_s <= event.end_s <= 5.1 for event in found)
    assert sum(event.end_s - event.start_s for event in found) > 1.0


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


def test_clicks_in_time_are_music_and_clicks_by_chance_are_not() -> None:
    rng = np.random.default_rng(3)
    in_time = 0.4 + 0.25 * np.arange(40)[rng.random(40) < 0.7]
    by_chance = np.sort(rng.uniform(0.4, 10.4, 24))
    assert in_rhythm(in_time).all()
    assert not in_rhythm(by_chance).any()
    assert not in_rhythm(0.5 + 1.8 * np.arange(20)).any()  # a scratch across the grooves, once a turn
    assert not in_rhythm(in_time[:7]).any()  # too few to tell


def test_strokes_that_ring_are_none_and_neither_is_a_sample_that_is_played_again() -> None:
    rng = np.random.default_rng(4)
    t = np.arange(600) / RATE
    wood = (np.exp(-400 * t) * np.sin(2 * np.pi * 2100 * t + 1)).astype(np.float32)
    tick = (np.exp(-1500 * t) * np.sin(2 * np.pi * 4100 * t + 0.5)).astype(np.float32)
    by_chance, on_a_beat = np.sort(rng.uniform(0.3, 9.6, 8)), 0.3 + 0.6 * np.array([0, 2, 3, 5, 6, 8, 9, 11])
    struck, played, clicked, scratched = song(10), song(10), song(10), song(10)
    for number, places in enumerate(zip(by_chance, on_a_beat, strict=True)):
        at, beat = (round(place * RATE) for place in places)
        struck[at : at + 600] += np.float32(0.5) * wood[:, None]
        played[beat : beat + 600] += np.float32(0.5) * tick[:, None]
        scratched[at : at + 600] += np.float32(0.5) * tick[:, None]
        own = np.exp(-(900 + 300 * number) * t) * np.sin(2 * np.pi * (1500 + 900 * number) * t + number)
        clicked[at : at + 600] += np.float32(0.5) * own[:, None].astype(np.float32)
    assert find_clicks(struck, RATE) == ()
    assert find_clicks(played, RATE) == ()
    for wave in (clicked, scratched):
        found = find_clicks(wave, RATE)
        assert len(found) >= 5
        assert all(np.abs(by_chance - event.start_s).min() < 0.01 for event in found)


def test_soft_static_is_told_from_noise_and_from_a_sibilant_by_edges_and_values() -> None:
    rng = np.random.default_rng(1)
    for noise, name in ((rng.uniform(-0.2, 0.2, 4_000), "digital_noise"), (rng.normal(0, 0.11, 4_000), "noise_burst")):
        wave = song()
        wave[2 * RATE : 2 * RATE + 4_000] = noise[:, None]
        found = only(find_static(wave, RATE))
        assert (found.name, found.start_s) == (name, pytest.approx(2.0, abs=0.006))
    sibilant = song()
    sibilant[2 * RATE : 2 * RATE + 4_000] += (rng.normal(0, 0.11, 4_000) * np.hanning(4_000))[:, None]
    assert find_static(sibilant, RATE) == ()


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


def test_damaged_stretches_that_follow_each_other_are_one_event() -> None:
    found = damage(Facts(damaged=((1.0, 1.02), (1.05, 1.052), (5.0, 5.0))), 5.01)
    assert [(event.start_s, event.end_s) for event in found] == [(1.0, 1.076), (5.0, 5.01)]


@pytest.mark.skipif(not (DATA / "music").is_dir(), reason="the recordings are not here")
def test_no_false_alarm_in_what_was_recorded() -> None:
    told = []
    for path in sorted((DATA / "music").glob("*.ogg")) + sorted((DATA / "mir1k").rglob("*.flac"))[::12]:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        events = Measures().detect(_Whole(wave, rate), Facts())
        told += [(path.stem, event.name, round(event.start_s, 2)) for event in events if not _is_true(path, event)]
    assert told == [("libri_198", "click", 3.76)]  # two samples that jump out of a smooth wave: it is one


def _is_true(path: Path, event: Event) -> bool:
    """MIR-1K: clips cut out of songs; the room where amy sang hums at 60 Hz, in all of her songs, in her channel."""
    if event.name == "hum":
        return path.stem.startswith("amy") and event.words.startswith(("59.9", "60.0"))
    return event.name == "abrupt_edge" and "mir1k" in path.parts


class _Whole:
    def __init__(self, wave: np.ndarray, rate: int) -> None:
        self.sample_rate_hz, self.channels, self.frames, self._wave = rate, wave.shape[1], len(wave), wave

    def blocks(self, block_frames: int):
        for start in range(0, self.frames, block_frames):
            yield self._wave[start : start + block_frames]
