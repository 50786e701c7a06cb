"""Stutter, skip, edges, speed: what is repeated, missing, cut or played at another speed, to the sample."""

import numpy as np
import pytest

from models.degrade import degrade
from models.degrade.event import rms
from models.degrade.speed import read_between
from tests import signals

RATE_HZ = 44100
MUSIC = signals.music(6.0, RATE_HZ)


def draw(name, strength, seed, samples=MUSIC):
    return degrade(samples, RATE_HZ, name, strength, np.random.default_rng(seed))


def frames_of(event):
    return round(event.start_s * RATE_HZ), round(event.end_s * RATE_HZ)


def test_a_stutter_repeats_what_came_before_bit_by_bit():
    exact = extended = 0
    for seed in range(16):
        found = draw("stutter", 0.5, seed)
        (event,) = found.events
        start, stop = frames_of(event)
        later = len(found.samples) - len(MUSIC)
        assert later in (0, stop - start)
        assert (found.samples[stop:] == MUSIC[stop - later :]).all()
        lengths = [(stop - start) // times for times in range(1, 9) if (stop - start) % times == 0]
        tiled = [np.tile(MUSIC[start - n : start], ((stop - start) // n, 1)) for n in lengths]
        length = next((n for n, t in zip(lengths, tiled, strict=True) if (found.samples[start:stop] == t).all()), None)
        exact, extended = exact + (length is not None), extended + (later > 0)
    assert 4 <= exact < 16
    assert 0 < extended < 16


@pytest.mark.parametrize(("strength", "missing_s"), [(0.2, 0.03), (0.5, 0.15), (0.9, 0.8)])
def test_a_skip_removes_its_length_and_nothing_else(strength, missing_s):
    for seed in range(8):
        found = draw("skip", strength, seed)
        (event,) = found.events
        start, stop = frames_of(event)
        missing = len(MUSIC) - len(found.samples)
        assert missing_s / 2.01 < missing / RATE_HZ < missing_s * 2.01
        assert stop - start <= 0.005 * RATE_HZ + 1
        assert (found.samples[:start] == MUSIC[:start]).all()
        assert (found.samples[stop:] == MUSIC[stop + missing :]).all()


def test_edges_are_cut_in_the_music():
    faded = MUSIC * np.sin(np.linspace(0, np.pi, len(MUSIC), dtype=np.float32))[:, None]
    kinds = set()
    for seed in range(8):
        found = draw("abrupt_edge", 0.9, seed, faded)
        kinds.add(tuple(event.start_s > 0 for event in found.events))
        for event in found.events:
            start, stop = frames_of(event)
            assert start == 0 or stop == len(found.samples)
            assert rms(found.samples[start:stop]) > 0.3 * rms(faded)
    assert len(kinds) >= 2


def test_reading_between_samples_keeps_a_tone():
    tone = signals.tone(3000.0, 1.0, RATE_HZ)[:, None]
    where = np.arange(2000, 30000) * 1.03
    expected = 0.5 * np.sin(2 * np.pi * 3000 * where / RATE_HZ)
    assert np.abs(read_between(tone, where)[:, 0] - expected).max() < 1e-3


@pytest.mark.parametrize(("strength", "most"), [(0.2, 0.03), (0.5, 0.07), (0.9, 0.13)])
def test_pitch_leaves_its_place_within_the_event_only(strength, most):
    tone = signals.tone(1000.0, 8.0, RATE_HZ)[:, None]
    changed = 0
    for seed in range(8):
        found = draw("speed_jump", strength, seed, tone)
        (event,) = found.events
        start, stop = frames_of(event)
        assert (found.samples[:start] == tone[:start]).all()
        assert (found.samples[stop:] == tone[len(tone) - len(found.samples) + stop :]).all()
        crossings = np.flatnonzero(np.diff(np.signbit(found.samples[start:stop, 0])))
        hz = RATE_HZ / 2 / np.diff(crossings).mean()
        changed += 0.005 < abs(hz / 1000 - 1) < 2 * most
    assert changed >= 3
