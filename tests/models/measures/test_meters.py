"""What holds for every meter: cutting, rates, channels, lengths, odd levels, and what is refused."""

from __future__ import annotations

import dataclasses
import math
import typing

import numpy as np
import pytest

from models.measures.blocks import Meter, measured
from models.measures.clipping import ClippingMeter
from models.measures.hum import HumMeter
from models.measures.levels import LevelMeter
from models.measures.loudness import LoudnessMeter
from models.measures.quality import QualityMeasures, QualityMeter, measure_quality
from models.measures.silence import SilenceMeter
from models.measures.spectrum import SpectrumMeter
from models.measures.stereo import StereoMeter
from models.measures.truepeak import TruePeakMeter
from transforms.records import Quality, Row

METERS = [LoudnessMeter, TruePeakMeter, LevelMeter, ClippingMeter, SilenceMeter, StereoMeter, SpectrumMeter, HumMeter]


def noisy(rate: int, duration_s: float, channels: int) -> np.ndarray:
    """Noise over a tone, clipped here and there, with a gap."""
    random = np.random.default_rng(rate + channels)
    t = np.arange(int(rate * duration_s))[:, None] / rate
    wave = 0.4 * np.sin(2 * np.pi * (200 + 30 * np.arange(channels)) * t) + 0.1 * random.standard_normal(
        (len(t), channels)
    )
    wave[len(t) // 3 : len(t) // 2] = 0
    return np.clip(wave, -0.5, 0.45).astype(np.float32)


def cut(meter: Meter, samples: np.ndarray, sizes: list[int]) -> object:
    at, turn = 0, 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        meter.add(samples[at : at + size])
        at, turn = at + size, turn + 1
    return meter.result()


def same(a: object, b: object) -> bool:
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("meter", [*METERS, QualityMeter])
def test_the_cut_does_not_matter_to_the_last_bit(meter: type[Meter]) -> None:
    samples = noisy(8_000, 14.3, 2)
    whole = measured(meter, samples, 8_000)
    for sizes in ([8_000], [1_237], [7_999, 1, 8_003, 13], [65_537], [0, 501]):
        assert same(cut(meter(8_000, 2), samples, sizes), whole), sizes


def test_single_samples_give_the_same() -> None:
    samples = noisy(8_000, 1.7, 1)
    assert same(cut(QualityMeter(8_000, 1), samples, [1]), measure_quality(samples, 8_000))


@pytest.mark.parametrize(
    ("rate", "channels"), [(8_000, 1), (11_025, 3), (22_050, 7), (48_000, 6), (96_000, 2), (192_000, 8)]
)
def test_all_rates_and_channels(rate: int, channels: int) -> None:
    found = measure_quality(noisy(rate, 3.2, channels), rate)
    assert found.sample_peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=1e-4)
    assert found.longest_inner_silence_s == pytest.approx(3.2 / 6, abs=0.01)
    assert found.clipped_share > 0
    assert found.integrated_lufs is not None
    assert found.missing_channels == []


@pytest.mark.parametrize("frames", [1, 2, 3, 10, 100, 799, 800, 3_199, 3_200, 8_000, 8_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length(frames: int, channels: int) -> None:
    found = measure_quality(np.full((frames, channels), 0.25, np.float32), 8_000)
    assert found.sample_peak_dbfs == pytest.approx(-12.04, abs=0.01)
    assert found.dc_offset == 0.25
    assert (found.integrated_lufs is None) == (frames < 3_200)
    assert found.loudness_range_lu is None
    assert found.hum_hz is None


def test_nothing_at_all_is_measured_as_nothing() -> None:
    found = QualityMeter(44_100, 2).result()
    assert found.sample_peak_dbfs is None
    assert found.leading_silence_s == 0


@pytest.mark.parametrize("seconds", [0.01, 12])
def test_digital_silence(seconds: float) -> None:
    found = measure_quality(np.zeros((int(44_100 * seconds), 2), np.float32), 44_100)
    assert found.leading_silence_s == seconds
    assert (found.trailing_silence_s, found.longest_inner_silence_s) == (0, 0)
    assert {type(v) for v in dataclasses.astuple(found)} <= {float, bool, list, type(None)}
    levels = found.integrated_lufs, found.true_peak_dbtp, found.sample_peak_dbfs, found.noise_floor_dbfs, found.hum_dbfs
    assert levels == (None,) * 5


@pytest.mark.parametrize("gain_db", [-100, 40, 120, 700])
def test_any_finite_level(gain_db: int) -> None:
    found = measure_quality(noisy(8_000, 12, 2) * np.float32(10 ** (gain_db / 20)), 8_000)
    assert found.sample_peak_dbfs == pytest.approx(gain_db - 6.02, abs=0.01)
    assert all(math.isfinite(v) for v in dataclasses.astuple(found) if isinstance(v, float))


def test_memory_does_not_grow_but_for_the_loudness() -> None:
    def held(meter: QualityMeter, seconds: int) -> int:
        block = noisy(8_000, 1, 2)
        for _ in range(seconds):
            meter.add(block)
        arrays = [v for m in [meter, *meter._meters] for v in vars(m).values() if isinstance(v, np.ndarray)]
        return sum(a.nbytes for a in arrays)

    meter = QualityMeter(8_000, 2)
    after_a_while = held(meter, 20)
    assert held(meter, 100) == pytest.approx(after_a_while, abs=100_000)
    assert len(meter._loudness._hops) == 1_200


def test_fields_are_the_columns() -> None:
    columns = {f.name: f for f in dataclasses.fields(Quality)}
    for inherited in [*(f.name for f in dataclasses.fields(Row)), "score", "score_parts"]:
        del columns[inherited]
    del columns["lossy_source"], columns["lossy_source_score"]
    assert [f.name for f in dataclasses.fields(QualityMeasures)] == list(columns)
    hints, wanted = typing.get_type_hints(QualityMeasures), typing.get_type_hints(Quality)
    assert all(hints[name] == wanted[name] for name in columns)


@pytest.mark.parametrize(("rate", "channels", "words"), [(44, 2, "kHz"), (400_000, 2, "400000"), (44_100, 9, "1..8")])
def test_what_cannot_be_is_refused(rate: int, channels: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        QualityMeter(rate, channels)


def test_a_block_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 100\)"):
        LevelMeter(44_100, 3).add(np.zeros((2, 100), np.float32))


def test_nothing_comes_after_the_result() -> None:
    meter = LevelMeter(8_000, 1)
    meter.add(np.ones((5, 1), np.float32))
    assert meter.result() == meter.result()
    with pytest.raises(ValueError, match="after result"):
        meter.add(np.ones((5, 1), np.float32))
