"""Flat tops: found where a wave was cut, whatever followed, and not where it is merely slow."""

from __future__ import annotations

import numpy as np
import pytest

from models.measures.clipping import clipped_share, flat_tops
from tests.models.measures.music import chamber, pop

RATES = [8_000, 44_100, 192_000]


def quantised(wave: np.ndarray, bits: int) -> np.ndarray:
    return (np.rint(wave * 2 ** (bits - 1)) / 2 ** (bits - 1)).astype(np.float32)


def low_note(hz: float, rate: int, harmonics: tuple[float, ...] = (1.0,)) -> np.ndarray:
    t = np.arange(2 * rate) / rate
    wave = sum(a * np.sin(2 * np.pi * hz * n * t + n * n) for n, a in enumerate(harmonics, 1))
    return np.asarray(wave / np.abs(wave).max())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [20, 31.3, 50, 61.7, 98, 441])
@pytest.mark.parametrize("bits", [8, 16, 24])
def test_clean_low_notes_are_not_clipped(rate: int, hz: float, bits: int) -> None:
    for harmonics in ((1.0,), (1.0, 0.4, 0.2), (0.6, 1.0, 0.0, 0.3)):
        for gain in (1.0, 0.3, 0.03):
            assert clipped_share(quantised(gain * low_note(hz, rate, harmonics), bits), rate) == 0


@pytest.mark.parametrize("made", [pop, chamber])
def test_clean_music_is_not_clipped(made: object) -> None:
    for rate in (16_000, 44_100):
        assert clipped_share(quantised(made(rate, 9.0), 16), rate) == 0  # type: ignore[operator]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [98, 441])
@pytest.mark.parametrize("after", [1.0, 0.7, 0.1])
def test_the_share_is_the_time_beyond_the_limit(rate: int, hz: float, after: float) -> None:
    """Cut at 1 / 1.2 of its peak, a sine is flat for 2 acos(1 / 1.2) / pi of the time."""
    cut = np.clip(1.2 * low_note(hz, rate), -1, 1)
    wanted = 2 * np.arccos(1 / 1.2) / np.pi
    missed = 2 * hz * 2 / rate  # up to a sample at either side of each top is cut by less than it takes
    assert clipped_share(quantised(cut * after, 16), rate) == pytest.approx(wanted, abs=missed + 1e-3)
    assert clipped_share((cut * after).astype(np.float32), rate) == pytest.approx(wanted, abs=missed + 1e-3)


def test_the_share_rises_with_the_drive() -> None:
    music = pop(44_100, 9.0)
    shares = [clipped_share(np.clip(music * np.float32(drive), -1, 1), 44_100) for drive in (1, 1.3, 1.6, 2, 3, 5)]
    assert shares[0] == 0
    assert np.all(np.diff(shares) > 0)


def test_the_worst_channel_and_one_polarity() -> None:
    note = low_note(441, 44_100)
    both = np.column_stack([note, np.clip(note, -1, 0.5)]).astype(np.float32)
    assert clipped_share(both, 44_100) == pytest.approx(np.arccos(0.5) / np.pi, abs=0.02)
    assert {top.channel for top in flat_tops(both, 44_100)} == {1}


def test_places() -> None:
    wave = (0.9 * low_note(100, 44_100)).astype(np.float32)
    crest = 8_820 + int(wave[8_820:9_261].argmax())
    loud = wave.copy()
    loud[crest - 30 : crest + 31] = np.minimum(loud[crest - 30 : crest + 31] * 1.2, 0.95)
    assert flat_tops(wave, 44_100) == []
    found = flat_tops(loud, 44_100)
    assert len(found) == 1
    assert found[0].channel == 0
    assert crest - 31 <= found[0].start < crest - 20
    assert crest + 20 < found[0].stop <= crest + 32


@pytest.mark.parametrize("channels", [1, 3])
def test_places_and_share_agree(channels: int) -> None:
    music = np.clip(pop(16_000, 9.0)[:, :1] * np.float32(2.2), -0.8, 1)
    samples = np.hstack([music * np.float32(0.9**n) for n in range(channels)])
    tops = flat_tops(samples, 16_000)
    counted = [sum(t.stop - t.start for t in tops if t.channel == c) for c in range(channels)]
    assert max(counted) / len(samples) == pytest.approx(clipped_share(samples, 16_000), rel=1e-9)
    assert all(0 <= t.start <= t.stop - 3 and t.stop <= len(samples) for t in tops)


def test_levels_far_below_the_peak_do_not_count() -> None:
    note = np.clip(low_note(441, 44_100), -0.5, 0.5).astype(np.float32)
    note[5_000] = 0.9
    note[5_300] = -0.9
    assert clipped_share(note, 44_100) == 0


@pytest.mark.parametrize("flat", [np.full(9_000, 0.5), np.zeros(9_000), np.repeat([0.1, 0.5, 0.2], 3_000)])
def test_what_is_flat_altogether_is_not_clipped(flat: np.ndarray) -> None:
    assert clipped_share(flat.astype(np.float32), 8_000) == 0
