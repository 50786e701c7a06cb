"""Measures of sound: each lives once, here, and is used by all.

Every measure is a function over a whole array, float32 [frames] or [frames, channels] with full scale at 1.0, and a meter
that folds it over blocks in bounded memory, with the same result however the recording is cut.
"""

from models.measures.bandwidth import effective_bandwidth
from models.measures.clipping import ClippingMeter, FlatTop, clipped_share, flat_tops
from models.measures.hum import Hum, HumMeter, hum
from models.measures.levels import LevelMeter, Levels, levels
from models.measures.loudness import Loudness, LoudnessMeter, integrated_loudness, loudness
from models.measures.noise import noise_floor, signal_to_noise
from models.measures.quality import QualityMeasures, QualityMeter, quality
from models.measures.score import Part, score
from models.measures.silence import Silence, SilenceMeter, silence
from models.measures.spectrum import Spectrum, SpectrumMeter, spectrum
from models.measures.stereo import Stereo, StereoMeter, stereo
from models.measures.truepeak import TruePeakMeter, true_peak

__all__ = [
    "ClippingMeter",
    "FlatTop",
    "Hum",
    "HumMeter",
    "LevelMeter",
    "Levels",
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
    "flat_tops",
    "hum",
    "integrated_loudness",
    "levels",
    "loudness",
    "noise_floor",
    "quality",
    "score",
    "signal_to_noise",
    "silence",
    "spectrum",
    "stereo",
    "true_peak",
]
