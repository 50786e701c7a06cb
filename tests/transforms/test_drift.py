"""Drift: nights drawn from known distributions are flagged as often as promised, and no oftener."""

import numpy as np
import pytest

from transforms import drift
from transforms.drift import LEAST_TRACKS, Measure, Moments, check, discoveries, dispersion, p_value

LABELS, NIGHTS = 40, 10


def shares(rng, labels, nights, tracks, spread=0.0):
    """Shares of so many labels in so many nights [labels, nights]; `spread` is how much the nights' own rates vary."""
    rates = np.linspace(0.05, 0.6, labels)[:, None] + np.zeros(nights)
    if spread:
        size = rates * (1 - rates) / spread**2 - 1
        rates = rng.beta(rates * size, (1 - rates) * size)
    return rng.binomial(tracks, rates) / tracks


def measures(drawn, tracks):
    made = [[Moments(tracks=tracks, mean=float(p)) for p in row] for row in drawn]
    return [
        Measure(kind="tag_share", label=str(i), tonight=row[-1], nights=tuple(row[:-1])) for i, row in enumerate(made)
    ]


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_nights_alike_are_significant_as_rarely_as_promised(spread):
    """Also where nights differ by more than chance, and whatever the size of the effect."""
    rng = np.random.default_rng(1)
    repetitions, alarms, below = 200, 0, []
    for _ in range(repetitions):
        drawn = measures(shares(rng, LABELS, NIGHTS + 1, 2000, spread), 2000)
        ps = [p_value(m.tonight, m.nights, share=True) for m in drawn]
        alarms += any(discoveries(ps))
        below += ps
    assert alarms <= 7  # 99.9 % of draws with a rate of 1 %
    assert np.mean(np.array(below) < 0.05) < 0.06


def test_without_the_dispersion_between_nights_most_would_be_flagged(monkeypatch):
    monkeypatch.setattr(drift, "dispersion", lambda nights, share: 1.0)
    rng = np.random.default_rng(1)
    drawn = [measures(shares(rng, LABELS, NIGHTS + 1, 2000, 0.03), 2000) for _ in range(20)]
    assert sum(any(discoveries([p_value(m.tonight, m.nights, share=True) for m in ms])) for ms in drawn) > 10


def test_a_share_that_moved_is_flagged_alone():
    rng = np.random.default_rng(2)
    drawn = shares(rng, LABELS, NIGHTS + 1, 2000)
    drawn[7, -1] += 0.15
    checks = check(measures(drawn, 2000))
    assert [c.label for c in checks if c.flagged] == ["7"]
    assert checks[7].effect > 0.3
    assert checks[7].tonight - checks[7].before == pytest.approx(0.15, abs=0.03)
    assert checks[7].p_value < 1e-4


def test_significant_is_not_enough():
    """With a million tracks a shift of one point is beyond doubt, and nothing to wake somebody for."""
    drawn = shares(np.random.default_rng(3), 1, NIGHTS + 1, 1_000_000)
    drawn[0, -1] = drawn[0, :-1].mean() + 0.01
    (told,) = check(measures(drawn, 1_000_000))
    assert told.p_value < 1e-6
    assert not told.flagged


@pytest.mark.parametrize(
    ("tracks", "nights", "share"),
    [(LEAST_TRACKS - 1, NIGHTS, 0.9), (500, drift.LEAST_NIGHTS - 1, 0.9), (500, 0, 0.9), (500, NIGHTS, 0.001)],
)
def test_tiny_samples_are_silent(tracks, nights, share):
    past = tuple(Moments(tracks=500, mean=0.0) for _ in range(nights))
    (told,) = check([Measure(kind="tag_share", tonight=Moments(tracks=tracks, mean=share), nights=past)])
    assert (told.p_value, told.flagged) == (None, False)


def test_small_nights_do_not_count():
    past = (*[Moments(tracks=500, mean=0.3)] * 6, Moments(tracks=3, mean=1.0))
    (told,) = check([Measure(kind="tag_share", tonight=Moments(tracks=500, mean=0.3), nights=past)])
    assert (told.nights, told.before) == (6, 0.3)


@pytest.mark.parametrize(("shift_db", "flagged"), [(0.0, False), (0.1, False), (2.0, True), (-2.0, True)])
def test_levels_that_moved(shift_db, flagged):
    rng = np.random.default_rng(4)
    drawn = rng.normal(-12.0, 4.0, (NIGHTS + 1, 1000))
    drawn[-1] += shift_db
    made = [Moments(tracks=len(n), mean=float(n.mean()), variance=float(n.var(ddof=1))) for n in drawn]
    (told,) = check([Measure(kind="loudness_lufs", tonight=made[-1], nights=tuple(made[:-1]))])
    assert told.flagged == flagged
    assert told.effect == pytest.approx(shift_db / 4, abs=0.1)


def test_the_test_is_that_of_two_proportions():
    """With nights as alike as chance has them, t is the z of the textbook."""
    nights = [Moments(tracks=1000, mean=p) for p in (0.30, 0.31, 0.30, 0.29, 0.30, 0.30)]
    assert dispersion(nights, share=True) == 1.0
    from scipy.stats import t

    pooled = (6000 * 0.3 + 1000 * 0.36) / 7000
    z = 0.06 / np.sqrt(pooled * (1 - pooled) * (1 / 1000 + 1 / 6000))
    assert p_value(Moments(tracks=1000, mean=0.36), nights, share=True) == pytest.approx(2 * t.sf(z, 5))


def test_dispersion_is_that_of_the_nights():
    """Rates with a standard deviation of 0.05 among nights of 2000: about 1 + 2000 * 0.05^2 / (p q)."""
    rng = np.random.default_rng(5)
    rates = np.clip(rng.normal(0.4, 0.05, 400), 0, 1)
    nights = [Moments(tracks=2000, mean=p) for p in rng.binomial(2000, rates) / 2000]
    assert dispersion(nights, share=True) == pytest.approx(1 + 2000 * 0.0025 / 0.24, rel=0.15)


def test_false_discoveries_against_scipy():
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(6)
    ps = np.concatenate([rng.uniform(size=50), rng.uniform(0, 1e-3, 8)])
    assert discoveries(list(ps)) == list(false_discovery_control(ps) <= drift.FALSE_DISCOVERIES)
