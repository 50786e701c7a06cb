"""Hard cuts: found where two places meet that do not belong together, and nothing of what is played, added or lost."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.splices import SpliceFinder, find_splices
from tests import signals
from tests.models.measures.music import chamber, pluck, pop

RATE = 44_100
AT = 2 * RATE + 123  #: where things happen


def tone(hz: float, rate: int = RATE, duration_s: float = 5.0) -> np.ndarray:
    """Six partials over faint noise."""
    t = np.arange(round(duration_s * rate)) / rate
    wave = sum(0.2 / n * np.sin(2 * np.pi * hz * n * t + n * n) for n in range(1, 7))
    return (wave + signals.noise(duration_s, rate, 1e-3)).astype(np.float32)


def song() -> np.ndarray:
    """A chord over noise, that swells and fades, another one in each channel."""
    t = np.arange(5 * RATE) / RATE
    chord = np.stack([tone(220) + tone(277), tone(220) + tone(331)], axis=1)
    noise = np.random.default_rng(4).normal(0, 1e-3, chord.shape)
    return (0.5 * chord * (1 + 0.5 * np.sin(3 * t))[:, None] + noise).astype(np.float32)


def without(wave: np.ndarray, frames: int, at: int = AT) -> np.ndarray:
    return np.concatenate([wave[:at], wave[at + frames :]])


def found_at(wave: np.ndarray, rate: int = RATE) -> list[int]:
    """Frames at which events start; each must last one sample, in all channels."""
    events = find_splices(wave, rate)
    assert all((e.name, e.channel, round((e.end_s - e.start_s) * rate)) == ("skip", None, 1) for e in events)
    return [round(event.start_s * rate) for event in events]


@pytest.mark.parametrize("rate", [16_000, RATE])
def test_two_tones_that_meet(rate: int) -> None:
    at = 2 * rate + 57
    assert found_at(np.concatenate([tone(220, rate)[:at], tone(311, rate)[at:]]), rate) == [at]


@pytest.mark.parametrize("gain", [1.0, 0.05])
@pytest.mark.parametrize("missing_s", [0.031, 0.15, 0.8])
def test_a_stretch_of_music_that_is_missing(gain: float, missing_s: float) -> None:
    assert found_at(without(song(), round(missing_s * RATE)) * np.float32(gain)) == [AT]


def test_the_gain_changes_nothing() -> None:
    wave = without(song(), 7_000)
    (loud,), (soft,) = find_splices(wave, RATE), find_splices(wave / 16, RATE)
    assert (loud.start_s, loud.words) == (soft.start_s, soft.words)
    assert loud.score == pytest.approx(soft.score, abs=1e-6)


def test_it_does_not_matter_how_the_recording_was_cut_even_at_the_joint() -> None:
    wave = without(song(), 7_000)
    finder = SpliceFinder(RATE, 2)
    for part in np.split(wave, [1, 5_000, AT - 1, AT, AT + 1, 200_000]):
        finder.add(part)
    assert finder.result() == find_splices(wave, RATE) != ()


@pytest.mark.parametrize("beside", [-7, -1, 0, 1])
@pytest.mark.parametrize("edge", [3 * RATE, 3 * RATE - round(SpliceFinder.context_s * RATE)])
def test_a_cut_beside_the_edge_of_a_block_is_found_once(edge: int, beside: int) -> None:
    at = edge + beside
    later = (57 - at) % RATE  # the phases at the joint are the same for every `at`
    assert found_at(np.concatenate([tone(220)[later : later + at], tone(311)[2 * RATE + 57 :]])) == [at]


def test_music_as_it_was_played_has_none() -> None:
    assert found_at(pop(RATE, 6.0)) == []
    assert found_at(chamber(RATE, 6.0)) == []
    assert found_at(signals.music(6.0, RATE) + signals.noise(6.0, RATE, 0.003)[:, None]) == []


@pytest.mark.parametrize("attack_s", [0.0, 0.0005, 0.01])
def test_a_note_that_begins_above_another_is_none(attack_s: float) -> None:
    wave, note = tone(220), pluck(64, 1.0, RATE, 0.6)
    note *= np.minimum(1, np.arange(len(note)) / max(1, attack_s * RATE))
    wave[AT : AT + len(note)] += (0.5 * note).astype(np.float32)
    assert found_at(wave) == []


def test_a_drum_is_none() -> None:
    wave, t = tone(220), np.arange(RATE // 4) / RATE
    noise = np.random.default_rng(3).standard_normal(len(t))
    wave[AT : AT + len(t)] += (0.3 * noise * np.exp(-t * 30)).astype(np.float32)
    wave[AT + RATE :][: len(t)] += (0.6 * np.sin(2 * np.pi * 60 * t) * np.exp(-t * 18)).astype(np.float32)
    assert found_at(wave) == []


@pytest.mark.parametrize("shape", [[0.5], [0.6, -0.5, 0.3], list(0.5 * np.exp(-np.arange(40) / 8))])
def test_a_click_that_was_added_to_a_tone_is_none(shape: list[float]) -> None:
    wave = tone(220)
    wave[AT : AT + len(shape)] += np.float32(shape)
    assert found_at(wave) == []


@pytest.mark.parametrize("value", [0.0, 0.1])
@pytest.mark.parametrize("length_s", [0.003, 0.1, 1.0])
def test_what_is_lost_or_held_is_none(value: float, length_s: float) -> None:
    wave = tone(220)
    wave[AT : AT + round(length_s * RATE)] = value
    assert found_at(wave) == []


def test_neither_is_what_fades_or_begins_and_ends_in_silence() -> None:
    wave, rise = tone(220), np.minimum(1, np.arange(RATE // 2) / (0.05 * RATE)).astype(np.float32)
    wave[AT : AT + RATE // 2] += tone(330)[: RATE // 2] * rise * rise[::-1]
    wave[: RATE // 2] = 0
    wave[-RATE // 2 :] = 0
    assert found_at(wave) == []


def test_a_channel_that_is_turned_in_polarity_is_none() -> None:
    wave = np.stack([tone(220), tone(277)], axis=1)
    wave[AT:, 1] *= -1
    assert found_at(wave) == []


def test_joints_that_follow_each_other_are_those_of_a_stutter() -> None:
    wave = song()
    part = wave[AT - 9_000 : AT]
    assert found_at(np.concatenate([wave[:AT], part, part, part, wave[AT:]])) == []
