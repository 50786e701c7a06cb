"""Bursts of noise: found where they are added, in any colour and at any gain; not what is struck, sung or sustained."""

from __future__ import annotations

import numpy as np
import pytest

from models.defects import SURE, Facts, Heard, Measures
from models.events import Event
from models.measures.bursts import find_bursts
from models.measures.tonality import Tonality
from tests import signals

RATE = 44_100
AT, LONG = 2.5, 0.2


def song(seed: int = 1, rate: int = RATE, duration_s: float = 6.0) -> np.ndarray:
    return signals.music(duration_s, rate, seed=seed) + signals.noise(duration_s, rate, 0.0005)[:, None]


def burst(
    wave: np.ndarray, rate: int = RATE, at_s: float = AT, long_s: float = LONG, level: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Gaussian noise added to all channels, each its own, from one sample to another."""
    out, start, frames = wave.copy(), round(at_s * rate), round(long_s * rate)
    noise = np.random.default_rng(seed).normal(0, level, (frames, wave.shape[1]))
    out[start : start + frames] += noise.astype(np.float32)
    return out


def sure(wave: np.ndarray, rate: int = RATE) -> list[Event]:
    """Those that need no other witness: the notes of `signals.music` are cut off, and some are doubtful."""
    return [event for event in find_bursts(wave, rate) if event.score >= SURE]


@pytest.mark.parametrize("gain", [1.0, 0.1])
@pytest.mark.parametrize("long_s", [0.08, 0.2, 0.6])
def test_a_burst_is_found_from_its_first_to_its_last_moment(gain: float, long_s: float) -> None:
    found = sure(burst(song(), long_s=long_s) * np.float32(gain))
    assert [(event.name, event.channel) for event in found] == [("noise_burst", None)]
    assert found[0].start_s == pytest.approx(AT, abs=0.012)
    assert found[0].end_s == pytest.approx(AT + long_s, abs=0.012)


def test_a_burst_of_one_channel_is_told_of_it() -> None:
    wave = song()
    wave[:, 1] = burst(song())[:, 1]
    assert [event.channel for event in sure(wave)] == [1]


@pytest.mark.parametrize("seed", range(4))
def test_music_has_none(seed: int) -> None:
    assert sure(song(seed, duration_s=10.0)) == []


def test_what_dies_away_is_no_burst() -> None:
    """A cymbal: as loud, noise as well, but it has no end."""
    wave, t = song(), np.arange(2 * RATE) / RATE
    struck = np.random.default_rng(0).normal(0, 0.2, len(t)) * np.exp(-t * 12)
    wave[round(AT * RATE) : round(AT * RATE) + len(t)] += struck[:, None].astype(np.float32)
    assert sure(wave) == []


def test_what_has_a_pitch_is_no_burst() -> None:
    """Pulses fill the spectrum as noise does, from one moment to another, but each foretells the next."""
    wave, frames = song(), round(LONG * RATE)
    pulses = np.zeros(frames, np.float32)
    pulses[:: RATE // 150] = 0.5
    wave[round(AT * RATE) : round(AT * RATE) + frames] += pulses[:, None]
    assert sure(wave) == []


def test_what_comes_again_is_played() -> None:
    """Gated drums: each would be a burst, alone."""
    alone = drums = song(duration_s=10.0)
    alone = burst(alone)
    for place in range(8):
        drums = burst(drums, at_s=1.0 + place, seed=place)
    assert len(sure(alone)) == 1
    assert sure(drums) == []


def test_a_noise_that_stays_is_no_burst() -> None:
    wave = song()
    wave[round(AT * RATE) :] += signals.noise(6.0, RATE, 0.05)[: len(wave) - round(AT * RATE), None]
    assert sure(wave) == []


def test_digital_noise_is_left_to_those_who_know_it() -> None:
    wave, frames = song(), round(LONG * RATE)
    wave[round(AT * RATE) : round(AT * RATE) + frames] = np.random.default_rng(0).uniform(-0.8, 0.8, (frames, 2))
    assert sure(wave) == []
    told = {event.name for event in Measures().detect(Heard(wave, RATE), Facts())}
    assert told - {"abrupt_edge"} == {"digital_noise"}


def test_a_sibilant_recorded_at_16_khz_is_no_burst() -> None:
    rate = 16_000
    wave, frames = song(rate=rate), round(0.15 * rate)
    white = np.fft.rfft(np.random.default_rng(0).normal(0, 0.1, frames))
    white[np.fft.rfftfreq(frames, 1 / rate) < 3000] = 0
    start = round(AT * rate)
    wave[start : start + frames] *= 0.03  # the voice is silent meanwhile
    wave[start : start + frames] += np.fft.irfft(white, frames).astype(np.float32)[:, None]
    assert sure(wave, rate) == []


def test_noise_is_like_itself_at_no_lag_and_pulses_are() -> None:
    hears, bands = Tonality(RATE, (1000.0, 4000.0, 8000.0)), np.array([True, True])
    noises = [signals.noise(0.1, RATE, 0.1, seed=seed) for seed in range(20)]
    pulses = np.zeros(RATE // 10, np.float32)
    pulses[:: RATE // 200] = 1
    assert max(hears.of(noise, bands) for noise in noises) < 5
    assert hears.of(pulses + 0.01 * noises[0], bands) > 8
    assert hears.of(10 * noises[0], bands) == pytest.approx(hears.of(noises[0], bands), rel=1e-3)
