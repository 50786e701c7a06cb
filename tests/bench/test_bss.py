"""The ratios of BSS-Eval: of filters, noise and leakage that are known, and against mir_eval's."""

import warnings

import numpy as np
import pytest

from bench.bss import Sources
from tests.signals import noise

RATE_HZ = 8000


def pair(duration_s=2.0):
    return np.stack([noise(duration_s, RATE_HZ, 0.1, seed) for seed in (1, 2)])


def test_what_is_right_has_no_distortion():
    ratios = Sources(pair()).measure(pair())
    assert min(ratios.sdr_db.min(), ratios.sir_db.min(), ratios.sar_db.min()) > 100


def test_a_filter_of_few_taps_is_forgiven():
    true = pair()
    true[:, -40:] = 0.0  # what the filter moves past the end would be missed
    heard = np.stack([np.convolve(source, taps)[: true.shape[1]] for source, taps in zip(true, FILTERS, strict=True)])
    assert Sources(true).measure(heard).sdr_db.min() > 100
    late = np.roll(heard, 600, axis=1)
    assert Sources(true).measure(late).sdr_db.max() < 0, "600 samples late is no filter of 512 taps"


FILTERS = ([0.2, 0.0, -0.5, 0.1], [0.0] * 30 + [1.0, 0.9])


@pytest.mark.parametrize("level_db", [-6, -20])
def test_leakage_is_interference_and_noise_is_an_artefact(level_db):
    true, gain = pair(10.0), 10 ** (level_db / 20)
    leaking = Sources(true).measure(true + gain * true[::-1])
    assert leaking.sir_db == pytest.approx(-level_db, abs=0.4)
    assert leaking.sar_db.min() > 100
    noisy = Sources(true).measure(true + gain * np.stack([noise(10.0, RATE_HZ, 0.1, seed) for seed in (3, 4)]))
    assert noisy.sar_db == pytest.approx(-level_db, abs=0.4)
    assert noisy.sir_db.min() > noisy.sar_db.max() + 8


def test_the_order_of_estimates_does_not_matter():
    true = pair()
    heard = true + 0.3 * true[::-1] + 0.1 * noise(2.0, RATE_HZ, 0.1, 5)
    there, back = Sources(true).measure(heard), Sources(true).measure(heard[::-1])
    assert np.array_equal(there.sdr_db, back.sdr_db)


def test_ratios_do_not_depend_on_gains():
    true = pair()
    heard = true + 0.3 * true[::-1]
    loud = Sources(true * [[3.0], [0.1]]).measure(heard * [[0.5], [20.0]])
    assert loud.sdr_db == pytest.approx(Sources(true).measure(heard).sdr_db, abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_as_mir_eval_finds_them(seed):
    from mir_eval.separation import bss_eval_sources

    true = pair(1.5) + 0.5 * np.roll(pair(1.5), 3, axis=1)[::-1]
    true[0] = np.convolve(true[0], np.hanning(40), "same")  # a narrow band, where the equations are badly conditioned
    heard = true[::-1] * 0.5 + true * [[0.1], [0.9]] + np.stack([noise(1.5, RATE_HZ, 0.02, seed + n) for n in (7, 9)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated there
        wanted = bss_eval_sources(true, heard, compute_permutation=True)
    found = Sources(true).measure(heard)
    for its, ours in zip(wanted, (found.sdr_db, found.sir_db, found.sar_db), strict=False):
        assert ours == pytest.approx(its, abs=0.01)


def test_a_pure_tone_can_be_measured():
    true = pair()
    true[0] = np.sin(np.arange(true.shape[1]) * 0.3)
    assert Sources(true).measure(true).sdr_db[0] > 60


def test_silence_is_told():
    true, silent = pair(), pair()
    silent[1] = 0.0
    with pytest.raises(ValueError, match="source 1 of 2 is silent"):
        Sources(silent)
    with pytest.raises(ValueError, match="source 1 of 2 is silent"):
        Sources(true).measure(silent)
    with pytest.raises(ValueError, match=r"\(1, 16000\), the sources \(2, 16000\)"):
        Sources(true).measure(true[:1])
