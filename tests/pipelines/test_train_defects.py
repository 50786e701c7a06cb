"""`songscan train defects` from a folder of music to a model that tells events: few steps, so nothing is learnt."""

import json

import numpy as np
import pytest

from models.card import read_card
from models.defects import Facts, Heard
from models.detection import pool
from models.detection.detector import NetworkDetector
from models.encode import encode
from models.events import CLASSES
from models.saved import LoadedModel
from pipelines.cli import main

RATE_HZ = 44_100
SETTINGS = {
    "version": "3",
    "licence": "tones made here",
    "train": {"steps": 4, "warmup_steps": 1, "batch": 2, "evaluate_every": 4, "checkpoint_every": 2, "threads": 1},
    "defects": {
        "network": {"channels": [4, 4], "wide": 8, "recurrent": 4},
        "held_out": ["c"],
        "kept_away": ["z"],
        "count": 4,
        "measured": 4,
        "workers": 1,
        "trials": 1,
        "measures": {"abrupt_edge": "edges", "hum": "hum"},
    },
}


def music(seed, seconds=14):
    """Notes of a tone with harmonics over faint noise."""
    random, frames = np.random.default_rng(seed), seconds * RATE_HZ
    hz = np.repeat(random.uniform(200, 800, seconds * 4), RATE_HZ // 4)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    tone = sum(np.sin(n * phase) / n for n in range(1, 6)) * np.tile(np.linspace(1, 0, RATE_HZ // 4), seconds * 4)
    return (0.1 * tone[:, None] + random.normal(0, 1e-3, (frames, 2))).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "music").mkdir()
    for seed, name in enumerate(("a", "b", "c", "z")):
        encode(folder / "music" / f"{name}.wav", music(seed), RATE_HZ, codec="wav")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    arguments = ["--data", f"music:{folder / 'music'}", "--config", str(folder / "settings.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SHARD", 4)
        assert main(["train", "defects", *arguments, "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_the_card_tells_how_each_class_is_settled(run):
    card = read_card(run / "defects" / "3")
    assert card.task == "defects"
    assert card.licences.training_data == "tones made here"
    assert [label.name for label in card.labels] == list(CLASSES)
    assert {label.by for label in card.labels if label.fusion is None} >= {"measure:edges", "measure:hum"}
    assert "crackle" in card.thresholds_chosen
    assert any(metric.name == "auc" for metric in card.metrics)


def test_the_model_tells_events_of_the_classes_in_order(run):
    detector = NetworkDetector(LoadedModel(run / "defects" / "3"))
    events = detector.detect(Heard(music(9), RATE_HZ), Facts())
    assert (detector.name, detector.version) == ("defects", "3")
    assert {event.name for event in events} <= set(CLASSES)
    assert [event.start_s for event in events] == sorted(event.start_s for event in events)


def test_clips_are_kept_and_the_same_command_finds_them(run):
    assert len(list((run / "data").glob("clips-*-0000.npy"))) == 2
    before = (run / "best.npz").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SHARD", 4)
        patch.setattr(pool, "make_shard", None)
        patch.setattr("pipelines.trained.WRITERS", {"defects": lambda *_: [run]})
        assert main(["train", "defects", "--out", str(run), "--config", str(run / "config.json")]) == 0
    assert (run / "best.npz").read_bytes() == before
