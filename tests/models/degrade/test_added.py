"""Click, crackle, hum: what is added, where, and how loud."""

import numpy as np
import pytest

from models.degrade import degrade
from models.degrade.event import rms
from tests import signals

RATE_HZ = 44100
MUSIC = signals.music(6.0, RATE_HZ)


def draw(name, strength, seed, samples=MUSIC):
    return degrade(samples, RATE_HZ, name, strength, np.random.default_rng(seed))


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_clicks_begin_where_the_event_says(strength, seed):
    found = draw("click", strength, seed)
    changed = np.flatnonzero((found.samples != MUSIC).any(axis=1))
    assert found.events
    for event in found.events:
        start = round(event.start_s * RATE_HZ)
        assert changed[changed >= start][0] - start <= 1
        assert event.end_s - event.start_s < 0.05


def test_clicks_rise_with_strength():
    added = [np.mean([np.abs(draw("click", s, seed).samples - MUSIC).max() for seed in range(8)]) for s in (0.2, 0.9)]
    assert added[1] > 3 * added[0]


def test_crackle_is_dense():
    found = draw("crackle", 0.9, 1)
    changed = (found.samples != MUSIC).any(axis=1)
    length_s = sum(event.end_s - event.start_s for event in found.events)
    begun = np.count_nonzero(np.diff(changed.astype(int)) == 1)
    assert 20 * length_s < begun < 200 * length_s


@pytest.mark.parametrize(("strength", "level_db"), [(0.2, -32), (0.5, -20), (0.9, -8)])
@pytest.mark.parametrize("seed", range(4))
def test_hum_has_its_level_and_lies_on_harmonics(strength, level_db, seed):
    found = draw("hum", strength, seed)
    (event,) = found.events
    channel = event.channel or 0
    added = (found.samples - MUSIC)[round(event.start_s * RATE_HZ) : round(event.end_s * RATE_HZ), channel]
    assert 20 * np.log10(rms(added) / rms(MUSIC)) == pytest.approx(level_db, abs=2.5)
    power = np.abs(np.fft.rfft(added * np.hanning(len(added)), 1 << 19)) ** 2
    hz = np.arange(len(power)) * RATE_HZ / (1 << 19)
    off = {mains: np.abs(hz - mains * np.round(hz / mains)) for mains in (50, 60)}
    on = [power[(off[mains] < 3 + 0.001 * hz) & (hz > 40)].sum() / power.sum() for mains in (50, 60)]
    assert max(on) > 0.99
