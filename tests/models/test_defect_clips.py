"""Clips: shares, labels, windows around events, splits by file."""

from collections import Counter

import numpy as np
import pytest

from models.defect_clips import Recipe, draw, excerpt, files_in, made
from tests import signals

RATE_HZ = 16000
RECIPE = Recipe(seconds=2.0, rate_hz=RATE_HZ)
CLEAN = signals.music(3.4, RATE_HZ)


def test_shares_and_labels():
    counts: Counter[str] = Counter()
    for seed in range(60):
        clip = made(CLEAN, RECIPE, np.random.default_rng(seed))
        assert len(clip.samples) <= 2 * RATE_HZ
        assert np.abs(clip.samples).max() <= 1
        kind = "negative" if clip.negative else "defect" if clip.events else "clean"
        counts[kind] += 1
        for event in clip.events:
            assert 0 <= event.start_s < event.end_s <= len(clip.samples) / RATE_HZ + 1e-9
            assert event.name in clip.names
    assert 4 <= counts["clean"] <= 22
    assert 2 <= counts["negative"] <= 20
    assert counts["defect"] >= 25


@pytest.mark.parametrize("name", ["click", "dropout", "skip", "abrupt_edge", "stutter"])
def test_a_clip_of_one_class_holds_its_event(name):
    recipe = Recipe(seconds=1.0, rate_hz=RATE_HZ, clean=0, negative=0, second=0, names=(name,), strengths=(0.5, 0.5))
    for seed in range(10):
        assert made(CLEAN, recipe, np.random.default_rng(seed)).names == (name,)


def test_an_event_moves_with_its_window():
    recipe = Recipe(seconds=1.0, rate_hz=RATE_HZ, clean=0, negative=0, second=0, names=("click",), strengths=(1, 1))
    quiet = CLEAN * np.float32(0.01)
    quiet[1000] = 0.02
    for seed in range(10):
        clip = made(quiet, recipe, np.random.default_rng(seed))
        steps = np.abs(np.diff(clip.samples, axis=0)).max(axis=1)
        spans = [slice(max(round(e.start_s * RATE_HZ) - 2, 0), round(e.end_s * RATE_HZ) + 1) for e in clip.events]
        assert max(steps[span].max() for span in spans if len(steps[span])) > 0.5 * steps.max()


def test_excerpts_have_no_edge_and_come_from_the_files_given(tmp_path):
    signals.write(tmp_path, "flac", CLEAN, RATE_HZ, "train_1")
    signals.write(tmp_path, "wav16", CLEAN, RATE_HZ, "test_1")
    assert [path.name for path in files_in(tmp_path, "train_*")] == ["train_1.flac"]
    with pytest.raises(ValueError, match="holds no audio that fits 'no'"):
        files_in(tmp_path, "no")
    for seed in range(6):
        taken = excerpt(CLEAN, RATE_HZ, 1.0, np.random.default_rng(seed))
        assert np.abs(taken[[0, -1]]).max() < 1e-4
    one, two = (draw(files_in(tmp_path), RECIPE, np.random.default_rng(3)) for _ in range(2))
    assert (one.samples == two.samples).all()
    assert one.events == two.events


def test_silence_is_refused():
    with pytest.raises(ValueError, match="is the file silent"):
        excerpt(np.zeros((RATE_HZ, 1), np.float32), RATE_HZ, 1.0, np.random.default_rng(0))
