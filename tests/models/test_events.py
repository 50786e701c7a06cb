"""Frames to events, by hand-made frames whose events can be told by looking."""

import numpy as np
import pytest
from pydantic import ValidationError

from models.events import Event, Fusion, fuse, merged, peaks


def test_high_starts_and_low_extends() -> None:
    frames = [0.1, 0.4, 0.4, 0.9, 0.4, 0.1, 0.4, 0.4, 0.1]
    assert fuse(frames, 0.1, Fusion(high=0.8, low=0.3)) == [(pytest.approx(0.1), pytest.approx(0.5), 0.9)]


def test_a_median_removes_what_is_shorter_than_half_of_it_and_keeps_edges() -> None:
    frames = np.zeros(100)
    frames[10] = frames[40:60] = 1.0
    assert fuse(frames, 0.01, Fusion(median_s=0.05)) == [(pytest.approx(0.4), pytest.approx(0.6), 1.0)]


def test_merging_comes_before_the_shortest_length() -> None:
    frames = np.zeros(50)
    frames[[10, 12, 14, 30]] = 1.0
    fused = fuse(frames, 0.01, Fusion(merge_s=0.01, shortest_s=0.03))
    assert fused == [(pytest.approx(0.10), pytest.approx(0.15), 1.0)]


def test_padding_never_overlaps_and_stays_within_the_recording() -> None:
    frames = np.array([1.0, 0, 0, 1.0, 0])
    spans = [(a, b) for a, b, _ in fuse(frames, 1.0, Fusion(padding_s=5.0))]
    assert spans == [(0.0, 2.0), (2.0, 5.0)]


@pytest.mark.parametrize(
    ("frames", "hop_s", "words"),
    [([[0.5]], 0.1, "one class"), ([1.5], 0.1, "sigmoid"), ([np.nan], 0.1, "sigmoid"), ([0.5], 0.0, "frame_hop_s")],
)
def test_what_are_no_probabilities_is_refused(frames: list[float], hop_s: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fuse(frames, hop_s, Fusion())


def test_low_above_high_is_refused() -> None:
    with pytest.raises(ValidationError, match="high starts"):
        Fusion(low=0.6, high=0.5)


def test_nothing_gives_nothing() -> None:
    assert fuse([], 0.1, Fusion(median_s=1.0)) == [] == peaks([], 0.1, threshold=0.5)


def test_a_peak_between_frames_is_told_to_a_part_of_a_frame() -> None:
    hop_s, at_s = 0.01, 0.5037
    centres = (np.arange(100) + 0.5) * hop_s
    frames = np.exp(-0.5 * ((centres - at_s) / 0.01) ** 2)
    ((time_s, _),) = peaks(frames, hop_s, threshold=0.5)
    assert time_s == pytest.approx(at_s, abs=0.001)


def test_of_peaks_that_are_close_the_highest_stays() -> None:
    frames = np.zeros(100)
    frames[50], frames[53], frames[80] = 0.8, 0.9, 0.7
    assert [score for _, score in peaks(frames, 0.002, threshold=0.5, apart_s=0.01)] == [0.9, 0.7]


def test_events_of_one_class_and_channel_are_joined() -> None:
    events = [Event("hum", 2, 3, 0), Event("hum", 0, 1.5, 0), Event("hum", 0, 1, 1), Event("click", 1, 1)]
    joined = merged(events, 0.5)
    assert joined == [Event("hum", 0, 1, 1), Event("hum", 0, 3, 0), Event("click", 1, 1)]
