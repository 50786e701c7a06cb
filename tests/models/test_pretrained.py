"""The networks that ship: they fit their cards, and separate songs that they were not trained on."""

from pathlib import Path

import numpy as np
import pytest

from models.audio import read
from models.card import PRETRAINED, read_card
from models.check import check
from models.checkpoint import read_weights
from models.configs import read_config
from models.masking import separate_array
from models.saved import LoadedModel
from models.separator import network
from models.warmup import check_warmup
from pipelines.train import RunConfig

SHIPPED = sorted(PRETRAINED.glob("separator*/*"))
CLIPS = Path(__file__).parents[3] / "shared" / "data" / "mir1k"
HELD_OUT = ("abjones_5_08", "amy_9_08")


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda folder: folder.parent.name)
def folder(request):
    return request.param


@pytest.fixture(scope="module")
def model(folder):
    return LoadedModel(folder)


def test_a_separator_ships():
    assert "separator" in {folder.parent.name for folder in SHIPPED}


def test_it_can_be_used(model):
    assert [finding for finding in check(model) if finding.status in ("fail", "warn")] == []


def test_it_warms_a_server_up(folder, model):
    assert [finding.words for finding in check_warmup(model, folder)] == [
        f"warm-up requests for TensorFlow Serving: {len(model.sizes)} run"
    ]


def test_its_card_is_honest(folder):
    card = read_card(folder)
    assert card.licences.research_only  # MIR-1K is free for research
    assert "MIR-1K" in card.licences.training_data
    assert card.metrics
    assert all(metric.source for metric in card.metrics)


def test_its_settings_are_beside_it(folder):
    run = read_config(RunConfig, folder / "assets.extra" / "config.json")
    assert (run.name or "separator") == folder.parent.name
    assert network(run.separator.network).count_params() == sum(
        weight.size for weight in read_weights(folder / "assets.extra" / "weights.npz")
    )


def test_noise_is_no_voice(model):
    samples = np.random.default_rng(0).normal(0, 0.1, (8 * 44_100, 2)).astype(np.float32)
    vocals = separate_array(model, samples, 44_100)
    assert np.mean(vocals**2) < 0.03 * np.mean(samples**2)


@pytest.mark.parametrize("clip", HELD_OUT)
def test_it_separates_a_song_that_it_was_not_trained_on(model, clip):
    path = CLIPS / f"{clip}.flac"
    if not path.exists():
        pytest.skip("MIR-1K is not here")
    samples, decoded = read(path)
    accompaniment, voice = samples[:, :1], samples[:, 1:]
    voice = voice * np.sqrt(np.sum(accompaniment**2) / np.sum(voice**2))
    found = separate_array(model, voice + accompaniment, decoded.info.sample_rate_hz)
    assert 10 * np.log10(np.sum(voice**2) / np.sum((found - voice) ** 2)) > 8  # the mixture itself: 0
