"""All measures of the task `quality` in one pass over a recording.

The fields of `QualityMeasures` are columns of the table `quality`: same names, types and meanings. Levels are dBFS,
dBTP or LUFS, times seconds, None where a recording is too short or too silent to tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.measures.bandwidth import bandwidth_of
from models.measures.blocks import Meter, Samples, measured
from models.measures.clipping import ClippingMeter
from models.measures.hum import HumMeter
from models.measures.levels import LevelMeter
from models.measures.loudness import LoudnessMeter
from models.measures.noise import noise_floor_of, snr_of
from models.measures.silence import SilenceMeter
from models.measures.spectrum import SpectrumMeter
from models.measures.stereo import StereoMeter
from models.measures.truepeak import TruePeakMeter


@dataclass(frozen=True, kw_only=True)
class QualityMeasures:
    """What a recording's sound is like; each field is documented at its column."""

    integrated_lufs: float | None
    loudness_range_lu: float | None
    max_momentary_lufs: float | None
    max_short_term_lufs: float | None
    true_peak_dbtp: float | None
    sample_peak_dbfs: float | None
    dc_offset: float
    clipped_share: float
    leading_silence_s: float
    trailing_silence_s: float
    longest_inner_silence_s: float
    longest_inner_silence_at_s: float | None
    stereo_correlation: float | None
    false_stereo: bool
    missing_channels: list[int]
    inverted_channels: bool
    noise_floor_dbfs: float | None
    snr_db: float | None
    hum_hz: float | None
    hum_dbfs: float | None
    bandwidth_hz: float | None


class QualityMeter(Meter[QualityMeasures]):
    """All measures at once. Memory: a few seconds of samples, and 80 bytes per second of the recording."""

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        super().__init__(sample_rate_hz, channels)
        self._loudness = LoudnessMeter(sample_rate_hz, channels)
        self._true_peak = TruePeakMeter(sample_rate_hz, channels)
        self._levels = LevelMeter(sample_rate_hz, channels)
        self._clipping = ClippingMeter(sample_rate_hz, channels)
        self._silence = SilenceMeter(sample_rate_hz, channels)
        self._stereo = StereoMeter(sample_rate_hz, channels)
        self._spectrum = SpectrumMeter(sample_rate_hz, channels)
        self._hum = HumMeter(sample_rate_hz, channels)
        self._meters: list[Meter[Any]] = [self._loudness, self._true_peak, self._levels, self._clipping]
        self._meters += [self._silence, self._stereo, self._spectrum, self._hum]

    def _fold(self, planes: Samples) -> None:
        for meter in self._meters:
            meter.add(planes.T)

    def _conclude(self) -> QualityMeasures:
        return QualityMeasures(**self._levels_found(), **self._faults_found())

    def _levels_found(self) -> dict[str, Any]:
        loudness, levels, silence = self._loudness.result(), self._levels.result(), self._silence.result()
        return {
            "integrated_lufs": loudness.integrated_lufs,
            "loudness_range_lu": loudness.range_lu,
            "max_momentary_lufs": loudness.max_momentary_lufs,
            "max_short_term_lufs": loudness.max_short_term_lufs,
            "true_peak_dbtp": self._true_peak.result(),
            "sample_peak_dbfs": levels.sample_peak_dbfs,
            "dc_offset": levels.dc_offset,
            "leading_silence_s": silence.leading_s,
            "trailing_silence_s": silence.trailing_s,
            "longest_inner_silence_s": silence.longest_inner_s,
            "longest_inner_silence_at_s": silence.longest_inner_at_s,
        }

    def _faults_found(self) -> dict[str, Any]:
        stereo, spectrum, hum = self._stereo.result(), self._spectrum.result(), self._hum.result()
        return {
            "clipped_share": self._clipping.result(),
            "stereo_correlation": stereo.correlation,
            "false_stereo": stereo.false_stereo,
            "missing_channels": list(stereo.missing_channels),
            "inverted_channels": stereo.inverted,
            "noise_floor_dbfs": noise_floor_of(spectrum),
            "snr_db": snr_of(spectrum),
            "hum_hz": None if hum is None else float(hum.mains_hz),
            "hum_dbfs": None if hum is None else hum.level_dbfs,
            "bandwidth_hz": bandwidth_of(spectrum),
        }


def measure_quality(samples: Samples, sample_rate_hz: int) -> QualityMeasures:
    """All measures of a whole recording, [frames] or [frames, channels]."""
    return measured(QualityMeter, samples, sample_rate_hz)
