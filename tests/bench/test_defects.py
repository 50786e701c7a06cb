"""The bench of detectors: one that knows everything scores 1, one that knows nothing scores 0, and both are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import defects
from bench.defect_trials import Found, Trials
from models.defects import Audio, Facts, Heard
from models.events import Event
from tests import signals

RATE = 22_050


class Comparing:
    """Knows the clean excerpt: what differs from it is a dropout."""

    name, version = "comparing", "1"

    def __init__(self, clean: Heard | None = None) -> None:
        self._clean = clean

    def detect(self, audio: Audio, facts: Facts) -> list[Event]:
        if self._clean is None:
            return []
        differs = (np.concatenate(list(audio.blocks(audio.frames))) != self._clean.samples).any(axis=1)
        edges = np.flatnonzero(np.diff(np.r_[False, differs, False].astype(int)))
        joined = [edges[0], *(e for a, b in zip(edges[1:-1:2], edges[2::2], strict=True) if b - a > 99 for e in (a, b))]
        spans = np.array([*joined, edges[-1]]).reshape(-1, 2) / RATE
        return [Event("dropout", float(a), float(b)) for a, b in spans]


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for seed in (1, 2):
        soundfile.write(tmp_path / f"test_{seed}.flac", 0.5 * signals.music(6, RATE, seed=seed), RATE)
    return tmp_path


@pytest.mark.parametrize("strength", ["middle", "strong"])
def test_who_knows_the_truth_scores_one_and_who_knows_nothing_zero(songs: Path, strength: str) -> None:
    song = sorted(songs.iterdir())[0]
    for knows, f1 in ((True, 1.0), (False, 0.0)):
        trials = Trials(Comparing(), seconds=4.0)
        if knows:
            trials.detector = Comparing(trials.excerpt(0, song))
        found = Found()
        trials.injected(0, song, "dropout", strength, found)
        assert (found.events.f1, found.segments.f1, found.mistaken) == (f1, f1, 0)


def test_the_report_tells_of_all_that_was_asked(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--classes", "dropout", "--strengths", "strong", "--seconds=3", "--negatives=0"]
    defects.main([str(songs), "--only=test_1", *few, "--detector=tests.bench.test_defects:Comparing"])
    told = capsys.readouterr().out
    assert "comparing 1" in told
    assert "| dropout | strong | 1 | 0 | 0 | 0 |" in told
    assert "Clean: 1 of 0.00 hours, 0 refused" in told


def test_nothing_is_begun_after_the_time_is_up(songs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defects.main([str(songs), "--minutes=0", "--detector=tests.bench.test_defects:Comparing"])
    told = capsys.readouterr().out
    assert "comparing 1" in told
    assert "###" not in told
