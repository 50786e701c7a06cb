"""The score falls, and never rises, as any fault grows; what may be meant costs little."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from models.measures.quality import QualityMeasures, measure_quality
from models.measures.score import score
from tests.models.measures.music import chamber, pop

RATE, SECONDS = 32_000, 14.0  # above 13 kHz nothing is lost to the bandwidth
MUSIC = {"pop": pop, "chamber": chamber}


def points(samples: np.ndarray, rate: int = RATE) -> float:
    return score(measure_quality(samples, rate), lossy_source=False, decoded_fraction=1.0, damaged_packets=0)[0]


def parts(measures: QualityMeasures, **kwargs: object) -> dict[str, float]:
    arguments = {"lossy_source": False, "decoded_fraction": 1.0, "damaged_packets": 0} | kwargs
    return {part.part: part.points for part in score(measures, **arguments)[1]}  # type: ignore[arg-type]


def clipped(music: np.ndarray, drive_db: float) -> np.ndarray:
    peak = np.abs(music).max()
    return np.clip(music * np.float32(10 ** (drive_db / 20)), -peak, peak)


def noisy(music: np.ndarray, below_db: float) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal(music.shape)
    return (music + noise * np.sqrt(np.mean(music**2)) * 10 ** (-below_db / 20)).astype(np.float32)


def humming(music: np.ndarray, below_db: float) -> np.ndarray:
    t = np.arange(len(music))[:, None] / RATE
    hum = sum(a * np.sin(2 * np.pi * 50 * n * t + n) for n, a in ((1, 1.0), (2, 0.5), (3, 0.7), (5, 0.3)))
    return (music + hum * np.sqrt(np.mean(music**2) / np.mean(hum**2)) * 10 ** (-below_db / 20)).astype(np.float32)


def low_passed(music: np.ndarray, hz: float) -> np.ndarray:
    return sosfilt(butter(16, hz, fs=RATE, output="sos"), music, axis=0).astype(np.float32)


def offset(music: np.ndarray, dc: float) -> np.ndarray:
    return music + np.float32(dc)


def with_gap(music: np.ndarray, gap_s: float) -> np.ndarray:
    middle = len(music) // 2
    return np.concatenate([music[:middle], np.zeros((int(gap_s * RATE), 2), np.float32), music[middle:]])


def faded(music: np.ndarray, gain_db: float) -> np.ndarray:
    return music * np.float32([1, 10 ** (gain_db / 20)])


def opposed(music: np.ndarray, share: float) -> np.ndarray:
    """From mono to opposite polarity, by turning the right channel's share of the left."""
    left, other = music[:, 0], np.roll(music[:, 1], RATE)
    mixed = (1 - 2 * share) * left + 2 * np.sqrt(share * (1 - share)) * other
    return np.column_stack([left, mixed]).astype(np.float32)


# Degradation: function, rising strengths, how many of the first steps may cost nothing.
DEGRADATIONS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], list[float], int]] = {
    "clipping": (clipped, [0, 2, 4, 6, 9, 12, 18], 0),
    "noise": (noisy, [70, 50, 30, 24, 18, 12, 6, 0], 2),
    "hum": (humming, [80, 40, 25, 18, 12, 6, 0], 2),
    "low-pass": (low_passed, [12_500, 8_000, 5_000, 3_500, 2_500, 1_800, 1_200], 0),
    "dc offset": (offset, [0, 0.001, 0.01, 0.03, 0.1, 0.3], 1),
    "dropout": (with_gap, [0, 2, 7, 12, 25, 60], 1),
    "polarity": (opposed, [0.5, 0.6, 0.75, 0.85, 0.95, 1.0], 1),
}


@pytest.mark.parametrize("made", MUSIC)
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_score_falls_as_the_fault_grows(made: str, name: str) -> None:
    degrade, strengths, free = DEGRADATIONS[name]
    scores = np.array([points(degrade(MUSIC[made](RATE, SECONDS), strength)) for strength in strengths])
    assert np.all(np.diff(scores) <= 1e-6), scores
    assert np.all(np.diff(scores)[free:] < -0.05), scores
    assert scores[0] - scores[-1] > 8


@pytest.mark.parametrize("made", MUSIC)
def test_a_channel_fading_to_nothing(made: str) -> None:
    scores = [points(faded(MUSIC[made](RATE, SECONDS), gain_db)) for gain_db in (0, -10, -20, -40, -58, -75, -200)]
    assert np.all(np.diff(scores) <= 1e-6)
    assert scores[0] - scores[-1] > 25


@pytest.mark.parametrize("made", MUSIC)
def test_stereo_narrowing_to_one_signal(made: str) -> None:
    music = MUSIC[made](RATE, SECONDS)
    middle = music.mean(1, keepdims=True)
    scores = [points((middle + width * (music - middle)).astype(np.float32)) for width in (1, 0.5, 0.1, 0.01, 1e-4, 0)]
    assert np.all(np.diff(scores) <= 1e-6)
    assert 0 < scores[0] - scores[-1] < 5


BASE = measure_quality(chamber(RATE, SECONDS), RATE)


def series(field: str, values: list[object]) -> list[float]:
    rows = [dataclasses.replace(BASE, **{field: value}) for value in values]
    return [score(row, lossy_source=None, decoded_fraction=None, damaged_packets=0)[0] for row in rows]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("clipped_share", [1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0]),
        ("snr_db", [25, 23, 20, 10, 5, 0]),
        ("bandwidth_hz", [12e3, 11e3, 8e3, 4e3, 2e3, 1500]),
        ("longest_inner_silence_s", [6, 8, 12, 30, 100, 200]),
        ("leading_silence_s", [6, 10, 20, 50, 100, 200]),
        ("trailing_silence_s", [12, 15, 20, 50, 100, 200]),
        ("dc_offset", [-0.005, 0.01, -0.05, 0.1, 0.2, -0.5]),
        ("stereo_correlation", [-0.4, -0.5, -0.7, -0.9, -0.95, -1.0]),
    ],
)
def test_each_figure_counts_strictly(field: str, values: list[object]) -> None:
    assert np.all(np.diff([100, *series(field, values)]) < 0)


def test_damage_counts_strictly() -> None:
    fractions = [1.0, 0.98, 0.9, 0.7, 0.4, 0.1, 0.0]
    scores = [score(BASE, lossy_source=None, decoded_fraction=f, damaged_packets=0)[0] for f in fractions]
    assert np.all(np.diff(scores) < 0)
    packets = [
        score(BASE, lossy_source=None, decoded_fraction=1.0, damaged_packets=n)[0] for n in (0, 1, 3, 10, 100, 999)
    ]
    assert np.all(np.diff(packets) < 0)
    assert score(BASE, lossy_source=None, decoded_fraction=0.9995, damaged_packets=0) == (100, [])
    assert score(BASE, lossy_source=None, decoded_fraction=1.02, damaged_packets=0) == (100, [])


def test_a_lossy_source_costs_some() -> None:
    assert [score(BASE, lossy_source=s, decoded_fraction=1.0, damaged_packets=0)[0] for s in (None, False, True)] == [
        100,
        100,
        90,
    ]


@pytest.mark.parametrize("made", MUSIC)
def test_clean_music_loses_nothing(made: str) -> None:
    assert points(MUSIC[made](44_100, 24.0), 44_100) > 99


def test_what_may_be_meant_costs_little() -> None:
    music = chamber(RATE, SECONDS)
    assert points(music[:, :1]) > 99  # mono
    assert points(chamber(16_000, SECONDS) * np.float32(0.05), 16_000) > 94  # at half the rate, and very quiet
    assert points(with_gap(music, 4.5)) == points(music)
    assert points(np.concatenate([np.zeros((3 * RATE, 2), np.float32), music])) == pytest.approx(points(music), abs=0.1)
    assert points(music[: RATE // 2]) > 90  # short
    assert points(low_passed(music, 6_000)) > 88  # dull


def test_a_silent_recording_scores_nothing() -> None:
    value, reasons = score(
        measure_quality(np.zeros((RATE, 2), np.float32), RATE), lossy_source=None, decoded_fraction=1, damaged_packets=0
    )
    assert value == 0
    assert [r.words for r in reasons] == ["the recording is silent"]


def test_points_and_score_add_up_to_100_with_the_costliest_first() -> None:
    bad = dataclasses.replace(
        BASE, clipped_share=0.3, snr_db=3.0, dc_offset=0.2, bandwidth_hz=900.0, missing_channels=[1]
    )
    value, reasons = score(bad, lossy_source=True, decoded_fraction=0.1, damaged_packets=200)
    assert value == pytest.approx(0, abs=1e-9)
    assert sum(r.points for r in reasons) == pytest.approx(100)
    assert [r.points for r in reasons] == sorted((r.points for r in reasons), reverse=True)
    value, reasons = score(
        dataclasses.replace(BASE, dc_offset=0.05), lossy_source=True, decoded_fraction=1, damaged_packets=1
    )
    assert value == pytest.approx(100 - sum(r.points for r in reasons))


def test_the_reasons_are_words_with_figures() -> None:
    bad = dataclasses.replace(
        BASE, clipped_share=0.012, hum_hz=50.0, hum_dbfs=-45.2, missing_channels=[1], longest_inner_silence_s=9.0
    )
    words = {p.part: p.words for p in score(bad, lossy_source=True, decoded_fraction=0.5, damaged_packets=2)[1]}
    assert words["clipping"] == "1.2 % of the samples are clipped"
    assert words["hum"] == "mains hum of 50 Hz at -45 dBFS"
    assert words["channels"] == "no signal in channel 2"
    assert words["silence"] == "9.0 s of silence within"
    assert words["damage"] == "only 50.0 % of the length decoded, 2 damaged packets"
    assert words["lossy_source"] == "lossless file made from a lossy one"


def test_hum_counts_by_how_far_it_lies_below_the_music() -> None:
    costs = [
        parts(dataclasses.replace(BASE, hum_hz=60.0, hum_dbfs=(BASE.integrated_lufs or 0) - below)).get("hum", 0.0)
        for below in (70, 50, 40, 20, 5)
    ]
    assert costs[0] == 0
    assert np.all(np.diff(costs) > 0)


@pytest.mark.parametrize(
    ("kwargs", "words"), [({"decoded_fraction": -0.1}, "-0.1"), ({"damaged_packets": -1}, "negative")]
)
def test_what_cannot_be_is_refused(kwargs: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parts(BASE, **kwargs)
