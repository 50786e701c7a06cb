"""The arithmetic of stems: they add up, to the bit where the recording lies on the grid, and never overshoot."""

import numpy as np
import pytest

from models.stems import measure, split


def on_grid(samples, bits):
    steps = 2.0 ** (bits - 1)
    return (np.rint(samples * steps) / steps).astype(np.float32)


@pytest.fixture
def parts():
    random = np.random.default_rng(0)
    return random.uniform(-0.5, 0.5, (2, 1000, 2)).astype(np.float32)


@pytest.mark.parametrize("bits", [16, 24])
def test_on_the_grid_stems_add_up_to_the_bit(parts, bits):
    mixture = on_grid(parts.sum(axis=0), bits)
    stems = split(mixture, parts[0], 1.0, bits)
    np.testing.assert_array_equal(stems["vocals"] + stems["accompaniment"], mixture)
    for stem in stems.values():
        np.testing.assert_array_equal(stem, on_grid(stem, bits))


def test_a_full_scale_recording_needs_no_gain():
    mixture = np.array([[-1.0], [1 - 2.0**-15]], np.float32)
    levels = measure([(mixture, mixture)], 16_000, 16)
    assert levels.gain(16) == 1.0


@pytest.mark.parametrize("bits", [16, 24])
def test_where_a_stem_overshoots_both_are_turned_down(bits):
    mixture, vocals = np.array([[0.9], [0.0]], np.float32), np.array([[-0.6], [0.1]], np.float32)
    levels = measure([(mixture, vocals)], 16_000, bits)
    assert levels.overshoots
    assert levels.peaks["accompaniment"] == pytest.approx(1.5, abs=1e-4)
    gain = levels.gain(bits)
    stems = split(mixture, vocals, gain, bits)
    assert 0.999 < np.abs(stems["accompaniment"]).max() <= 1 - 2.0 ** (1 - bits)
    total = stems["vocals"] + stems["accompaniment"]
    np.testing.assert_allclose(total, mixture * np.float32(gain), atol=2.0**-bits)


def test_levels_do_not_depend_on_blocks(parts):
    mixture = parts.sum(axis=0)
    whole = measure([(mixture, parts[0])], 16_000, 16)
    cut = measure([(mixture[n : n + 77], parts[0][n : n + 77]) for n in range(0, 1000, 77)], 16_000, 16)
    assert whole.peaks == cut.peaks
    assert whole.rms == pytest.approx(cut.rms)


def test_silence():
    silence = np.zeros((100, 2), np.float32)
    levels = measure([(silence, silence)], 16_000, 16)
    assert (levels.peaks, levels.rms, levels.voice_share) == (dict.fromkeys(levels.peaks, 0.0),) * 2 + (0.0,)
    assert levels.gain(16) == 1.0
