"""Metrics of events, against counting by hand, a slow reference, and what probability theory says."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import poisson

from models.event_metrics import alarms_per_hour, event_counts, matches, roc_auc, segment_counts
from models.events import Event


def test_collars_are_10_ms_for_clicks_and_100_ms_for_others() -> None:
    for name, collar in (("click", 0.010), ("dropout", 0.100)):
        truth = [Event(name, 1.0, 1.0)]
        assert event_counts(truth, [Event(name, 1.0 + collar, 1.0 + collar)]).f1 == 1.0
        assert event_counts(truth, [Event(name, 1.001 + collar, 1.0)]).f1 == 0.0


def test_ends_of_long_events_may_be_off_by_a_share_of_their_length() -> None:
    truth = [Event("hum", 0.0, 10.0)]
    assert event_counts(truth, [Event("hum", 0.05, 8.1)]).hits == 1
    assert event_counts(truth, [Event("hum", 0.05, 7.9)]).hits == 0
    assert event_counts(truth, [Event("hum", 0.05, 7.9)], offsets=False).hits == 1


def test_as_many_events_are_matched_as_can_be() -> None:
    generator = np.random.default_rng(3)
    for _ in range(30):
        truth = [Event("hum", t, t + 1) for t in generator.uniform(0, 0.5, 4)]
        found = [Event("hum", t, t + 1) for t in generator.uniform(0, 0.5, 4)]
        agree = [[abs(a.start_s - b.start_s) <= 0.1 for b in found] for a in truth]
        best = max(sum(agree[i][j] for i, j in enumerate(order)) for order in itertools.permutations(range(4)))
        assert len(matches(truth, found)) == best


def test_segments_are_counted_as_by_looking_at_each_millisecond() -> None:
    truth, found = [Event("hum", 0.5, 3.0), Event("click", 4.2, 4.2)], [Event("hum", 2.5, 4.5)]
    # hum: truth in seconds 0, 1, 2; found in 2, 3, 4. click: truth in 4.
    assert segment_counts(truth, found, 6.0) == (1, 2, 3)


def test_the_area_under_the_curve_is_the_chance_of_the_right_order() -> None:
    generator = np.random.default_rng(1)
    there, scores = generator.random(60) < 0.4, generator.integers(0, 5, 60)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[there] for b in scores[~there]]
    assert roc_auc(there, scores) == pytest.approx(np.mean(pairs))
    assert math.isnan(roc_auc([True], [1.0]))


def test_the_interval_is_where_poisson_leaves_two_and_a_half_percent_on_either_side() -> None:
    rate = alarms_per_hour(7, 2.0)
    assert poisson.sf(6, rate.low * 2) == pytest.approx(0.025)
    assert poisson.cdf(7, rate.high * 2) == pytest.approx(0.025)
    assert (rate.per_hour, alarms_per_hour(0, 2.0).low) == (3.5, 0.0)
