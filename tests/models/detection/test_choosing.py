"""Fusions are chosen for what is told right, and against what is told where there is nothing."""

import numpy as np
import pytest

from models.detection.choosing import PER_ALARM, PER_MISTAKEN, Trial, choose, judged, settle
from models.detection.network import HOP, RATE_HZ
from models.events import CLASSES, Event, Fusion, fuse

HOP_S = HOP / RATE_HZ


def trial(name, stretches=(), level=0.0, floor=0.0, measured=()):
    """Ten seconds in which a class is told at `level` in `stretches` of frames, and at `floor` elsewhere."""
    scores = np.full((1000, len(CLASSES)), floor, np.float32)
    for start, stop in stretches:
        scores[start:stop, CLASSES.index(name)] = level
    return Trial(scores=scores, measured=measured, events=())


def true(made, name, stretches):
    events = tuple(Event(name, start * HOP_S, stop * HOP_S) for start, stop in stretches)
    return Trial(scores=made.scores, measured=made.measured, events=events)


def test_the_threshold_lies_between_what_is_there_and_what_is_not():
    there = [true(trial("hiss", [(100, 700)], 0.65, 0.02), "hiss", [(100, 700)])]
    clean = [trial("hiss", [(300, 500)], 0.45)] * 3
    fusion, f1, price = choose([*there, *clean], "hiss")
    assert (f1, price) == (1.0, 0)
    assert 0.45 < fusion.high <= 0.65


def test_a_false_alarm_costs_less_than_all_that_would_be_missed():
    """Three true events at the same score as one false one: they are told, and the one is owned up to."""
    there = [true(trial("hiss", [(100, 700)], 0.5), "hiss", [(100, 700)])] * 3
    _, f1, price = choose([*there, trial("hiss", [(300, 500)], 0.5)], "hiss")
    assert (f1, price) == (1.0, PER_ALARM)


def test_pieces_of_one_event_are_merged_and_flickers_dropped():
    pieces = [(100, 300), (304, 500)]
    flickers = [(600, 602), (800, 802)]
    there = true(trial("crackle", [*pieces, *flickers], 0.9), "crackle", [(100, 500)])
    fusion, f1, _ = choose([there, trial("crackle", flickers, 0.9)], "crackle")
    assert f1 == 1.0
    (found,) = fuse(there.scores[:, CLASSES.index("crackle")], HOP_S, fusion)
    assert found[:2] == pytest.approx((1.0, 5.0), abs=0.1)


def test_clicks_are_moments():
    there = true(trial("click", [(100, 101), (103, 104)], 0.9), "click", [(100, 101), (103, 104)])
    fusion, f1, _ = choose([there], "click")
    assert f1 == 1.0
    assert fusion.merge_s < 0.03


def test_a_measure_is_judged_by_the_same_measure():
    event = Event("hum", 1.0, 5.0)
    found = true(trial("hum", measured=(event,)), "hum", [(100, 500)])
    missed = true(trial("hum"), "hum", [(100, 500)])
    alarm = trial("hum", measured=(event, Event("click", 1.0, 1.0)))
    assert judged([found], "hum", None) == (1.0, 0)
    f1, price = judged([found, missed, alarm], "hum", None)
    assert f1 == pytest.approx(2 / 3)
    assert price == PER_ALARM


def test_the_network_joins_a_measure_and_tells_nothing_twice():
    event = Event("hum", 1.0, 3.0)
    spans = [(100, 300), (500, 700)]
    both = true(trial("hum", spans, 0.9, measured=(event,)), "hum", spans)
    assert judged([both], "hum", None)[0] == pytest.approx(2 / 3)
    assert judged([both], "hum", Fusion(high=0.8, low=0.8)) == (1.0, 0)


def test_what_is_told_of_another_defect_costs_a_little():
    other = true(trial("hiss", [(100, 200)], 0.9), "hum", [(100, 900)])
    there = true(trial("hiss", [(100, 700)], 0.9), "hiss", [(100, 700)])
    assert choose([there, other], "hiss")[1:] == (1.0, PER_MISTAKEN)
    assert choose([there, other, true(trial("hiss"), "hum", [(100, 900)])], "hiss")[1:] == (1.0, PER_MISTAKEN / 2)


def test_what_decoding_tells_settles_codec_damage_if_the_network_adds_alarms_alone():
    event = Event("codec_damage", 1.0, 3.0)
    found = true(trial("codec_damage", [(100, 300)], 0.6, measured=(event,)), "codec_damage", [(100, 300)])
    clean = [trial("codec_damage", [(100, 300)], 0.6)] * 6
    settled, words = settle([found, *clean], {name: "x" for name in CLASSES if name != "codec_damage"})
    assert settled["codec_damage"] == (None, "measure:decoder")
    assert "codec_damage" in words


def test_a_burst_and_static_sound_alike_and_a_measure_knows_better():
    event = Event("digital_noise", 1.0, 3.0)
    static = true(trial("noise_burst", [(100, 300)], 0.9, measured=(event,)), "digital_noise", [(100, 300)])
    assert judged([static], "noise_burst", Fusion(high=0.8, low=0.8))[1] == 0
    assert (
        judged([true(trial("noise_burst", [(100, 300)], 0.9), "hum", [])], "noise_burst", Fusion(high=0.8, low=0.8))[1]
        > 0
    )
