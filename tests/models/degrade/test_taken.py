"""Dropouts and clipping: boundaries to the sample, what fills a gap, shares of clipped samples."""

import numpy as np
import pytest

from models.degrade import degrade
from models.measures.clipping import flat_tops
from tests import signals

RATE_HZ = 44100
MUSIC = signals.music(6.0, RATE_HZ)


def draw(name, strength, seed, samples=MUSIC):
    return degrade(samples, RATE_HZ, name, strength, np.random.default_rng(seed))


@pytest.mark.parametrize(("strength", "least_s", "most_s"), [(0.2, 0.002, 0.016), (0.5, 0.016, 0.16), (0.9, 0.2, 2.2)])
def test_gaps_have_their_length_and_edges(strength, least_s, most_s):
    for seed in range(10):
        found = draw("dropout", strength, seed)
        for event in found.events:
            columns = slice(None) if event.channel is None else slice(event.channel, event.channel + 1)
            start, stop = round(event.start_s * RATE_HZ), round(event.end_s * RATE_HZ)
            assert least_s - 1e-3 <= event.end_s - event.start_s <= most_s + 1e-3
            changed = (found.samples != MUSIC)[start:stop, columns].any(axis=1)
            assert changed[0] or changed[1]
            assert changed[-1] or changed[-2]
            middle = found.samples[(start + stop) // 2 - 4 : (start + stop) // 2 + 4, columns]
            held = np.ptp(middle, axis=0).max() == 0
            assert held or np.abs(middle).max() < 0.05


@pytest.mark.parametrize(("strength", "share"), [(0.2, 0.001), (0.5, 0.01), (0.9, 0.06)])
def test_share_of_clipped_samples(strength, share):
    for seed in range(8):
        found = draw("clipping", strength, seed)
        touched = found.samples != found.reference
        assert 0 < touched.mean() < 12 * share  # a bend touches more than it flattens
        for event in found.events:
            assert touched[round(event.start_s * RATE_HZ)].any()
            assert touched[round(event.end_s * RATE_HZ) - 1].any()


def test_flat_tops_are_flat_and_where_the_events_are():
    found = 0
    for seed in range(8):
        clipped = draw("clipping", 0.9, seed)
        for top in flat_tops(clipped.samples, RATE_HZ):
            found += 1
            assert any(
                e.start_s * RATE_HZ - 4 <= top.start and top.stop <= e.end_s * RATE_HZ + 4 for e in clipped.events
            )
    assert found > 100
