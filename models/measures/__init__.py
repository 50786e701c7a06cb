"""Measures of sound: each lives once, here, and is used by all.

Every measure is a function over a whole array, float32 [frames] or [frames, channels] with full scale at 1.0, and a
meter that folds it over blocks in bounded memory, with the same result however the recording is cut. The score made of
them is `models.measures.score.score`.
"""

from models.measures.bandwidth import effective_bandwidth
from models.measures.clipping import ClippingMeter, FlatTop, clipped_share, flat_tops
from models.measures.hum import Hum, HumMeter, find_hum
from models.measures.levels import LevelMeter, Levels, sample_levels
from models.measures.lossy import LossyEvidence, LossyMeter, lossy_source
from models.measures.loudness import Loudness, LoudnessMeter, integrated_loudness, measure_loudness
from models.measures.noise import noise_floor, signal_to_noise
from models.measures.quality import QualityMeasures, QualityMeter, measure_quality
from models.measures.score import Part
from models.measures.silence import Silence, SilenceMeter, find_silence
from models.measures.spectrum import Spectrum, SpectrumMeter, spectral_statistics
from models.measures.stereo import Stereo, StereoMeter, stereo_image
from models.measures.truepeak import TruePeakMeter, true_peak

__all__ = [
    "ClippingMeter",
    "FlatTop",
    "Hum",
    "HumMeter",
    "LevelMeter",
    "Levels",
    "LossyEvidence",
    "LossyMeter",
    "Loudness",
    "LoudnessMeter",
    "Part",
    "QualityMeasures",
    "QualityMeter",
    "Silence",
    "SilenceMeter",
    "Spectrum",
    "SpectrumMeter",
    "Stereo",
    "StereoMeter",
    "TruePeakMeter",
    "clipped_share",
    "effective_bandwidth",
    "find_hum",
    "find_silence",
    "flat_tops",
    "integrated_loudness",
    "lossy_source",
    "measure_loudness",
    "measure_quality",
    "noise_floor",
    "sample_levels",
    "signal_to_noise",
    "spectral_statistics",
    "stereo_image",
    "true_peak",
]
