"""The detector that ships: it fits its card, tells static and clicks where they are, and nothing in plain music."""

import numpy as np
import pytest

from models.card import PRETRAINED
from models.check import check
from models.checkpoint import read_weights
from models.configs import read_config
from models.defects import Facts, Heard
from models.degrade import degrade
from models.detection.detector import shipped
from models.detection.network import HOP, RATE_HZ, network
from models.events import CLASSES
from models.saved import LoadedModel
from models.warmup import check_warmup
from pipelines.train import RunConfig
from tests import signals

LENGTH_S = 14.0
FOLDER = PRETRAINED / "defects" / "2"


def music(seed):
    """Its last note is cut off, which a measure tells."""
    return signals.music(LENGTH_S, RATE_HZ, 2, seed=seed)


@pytest.fixture(scope="module")
def detector():
    return shipped()


def test_it_can_be_used_and_warms_a_server_up():
    model = LoadedModel(FOLDER)
    assert [finding for finding in check(model) if finding.status in ("fail", "warn")] == []
    assert [finding.status for finding in check_warmup(model, FOLDER)] == ["ok"]


def test_its_card_is_honest(detector):
    card = detector.outputs(Heard(music(3), RATE_HZ)).card
    assert card.licences.research_only  # MIR-1K is free for research
    assert card.metrics
    assert all(metric.source for metric in card.metrics)


def test_its_settings_and_weights_are_beside_it():
    run = read_config(RunConfig, FOLDER / "assets.extra" / "config.json")
    weights = read_weights(FOLDER / "assets.extra" / "weights.npz")
    assert [weight.shape for weight in weights] == [v.shape for v in network(run.defects.network).variables]


def test_nothing_is_told_of_plain_music(detector):
    told = detector.detect(Heard(music(4), RATE_HZ), Facts())
    assert [event for event in told if event.name != "abrupt_edge"] == []


@pytest.mark.parametrize("at", [0.905, 6.313, 11.203])
def test_the_frame_of_a_click_begins_beside_it(detector, at):
    """In whichever window it lies: the network's own time is within 10 ms, though a measure settles the class."""
    clicked = music(5)
    clicked[round(at * RATE_HZ) + np.arange(4)] += np.array([0.4, -0.3, 0.2, -0.1], np.float32)[:, None]
    scores = detector.outputs(Heard(clicked, RATE_HZ)).frames["probabilities"][:, CLASSES.index("click")]
    assert scores.argmax() * HOP / RATE_HZ == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize("name", ["crackle", "digital_noise"])
def test_what_is_put_in_is_told(detector, name):
    degraded = degrade(music(6), RATE_HZ, name, 0.9, np.random.default_rng(2))
    told = [event for event in detector.detect(Heard(degraded.samples, RATE_HZ), Facts()) if event.name == name]
    assert told
    assert any(abs(told[0].start_s - true.start_s) < 0.3 for true in degraded.events)
