"""The quality score: 100 when nothing is amiss, less the points of each part, at least 0.

Each part below has its rule in its docstring. Points never fall as a fault grows. What a recording may well be on
purpose (loud, quiet, mono, dull, short, silent for a few seconds between movements) costs little or nothing. Where the
points add up to more than 100, all are scaled down to 100 together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.measures.quality import QualityMeasures

NEGLIGIBLE_POINTS = 0.05
_SILENT_LUFS = -70.0  # taken as the programme's loudness where nothing passes the gate


@dataclass(frozen=True)
class Part:
    """One reason why the score is not 100."""

    part: str
    points: float  #: lost to it, 0..100
    words: str  #: the reason, with the figure


def score(
    measures: QualityMeasures, *, lossy_source: bool | None, decoded_fraction: float | None, damaged_packets: int
) -> tuple[float, list[Part]]:
    """The score, 0..100, and what took points from it, the costliest first.

    Args:
        measures: what was measured.
        lossy_source: whether a lossless file was made from a lossy one; None if unknown or not applicable.
        decoded_fraction: share of the claimed length that decoded, 0..1; None if nothing was claimed.
        damaged_packets: packets that the decoder refused or that were missing.

    Raises:
        ValueError: if `decoded_fraction` or `damaged_packets` cannot be.
    """
    if decoded_fraction is not None and not decoded_fraction >= 0:
        raise ValueError(f"decoded_fraction {decoded_fraction} is no share; it counts from 0, and 1 is all")
    if damaged_packets < 0:
        raise ValueError(f"damaged_packets {damaged_packets} is negative")
    parts = [Part(name, *rule(measures)) for name, rule in _RULES.items()]
    parts.append(Part("lossy_source", *_lossy_source(lossy_source)))
    parts.append(Part("damage", *_damage(decoded_fraction, damaged_packets)))
    parts = sorted((p for p in parts if p.points >= NEGLIGIBLE_POINTS), key=lambda p: -p.points)
    lost = sum(part.points for part in parts)
    if lost > 100:
        parts = [Part(p.part, p.points * 100 / lost, p.words) for p in parts]
    return max(0.0, 100.0 - lost), parts


def _clipping(m: QualityMeasures) -> tuple[float, str]:
    """None up to 0.002 % of the samples; about 2 points at 0.01 %, 8 at 0.1 %, 20 at 1 %, 32 at 10 %, 40 at most."""
    ratio = (max(0.0, m.clipped_share - 2e-5) / 0.01) ** 0.6
    return 40 * ratio / (1 + ratio), f"{100 * m.clipped_share:.2g} % of the samples are clipped"


def _noise(m: QualityMeasures) -> tuple[float, str]:
    """By the SNR: none from 27 dB (dense music hides any floor below that); 2 points at 20, 16 at 10, 50 at 0 dB."""
    if m.snr_db is None or m.noise_floor_dbfs is None:
        return 0.0, ""
    words = f"steady noise at {m.noise_floor_dbfs:.0f} dBFS, {m.snr_db:.0f} dB below the programme"
    return 50 * (max(0.0, 27 - m.snr_db) / 27) ** 2.5, words


def _hum(m: QualityMeasures) -> tuple[float, str]:
    """By how far the hum lies below the loudness: none from 60 dB, 7 points at 40, 18 at 20, 30 at 0 dB and above."""
    if m.hum_dbfs is None or m.hum_hz is None:
        return 0.0, ""
    below_db = max(m.integrated_lufs or _SILENT_LUFS, _SILENT_LUFS) - m.hum_dbfs
    strength = min(1.0, max(0.0, 60 - below_db) / 60)
    return 30 * strength**1.3, f"mains hum of {m.hum_hz:.0f} Hz at {m.hum_dbfs:.0f} dBFS"


def _bandwidth(m: QualityMeasures) -> tuple[float, str]:
    """None from 13 kHz; 4 points at 8, 13 at 4, 25 at 2 kHz, 45 at most: dull may be meant, muffled is not."""
    if m.bandwidth_hz is None or m.bandwidth_hz <= 0:
        return 0.0, ""
    octaves = max(0.0, log2(13_000 / m.bandwidth_hz))
    return min(45.0, 4 * octaves + 2 * octaves**2), f"nothing above {m.bandwidth_hz / 1000:.1f} kHz"


def _silence(m: QualityMeasures) -> tuple[float, str]:
    """All for a silent recording. Else 5 s within, 5 s before, 10 s after are free; the rest costs up to 25, 10, 10."""
    if m.sample_peak_dbfs is None or m.sample_peak_dbfs <= -60:
        return 100.0, "the recording is silent"
    stretches = (
        (25, m.longest_inner_silence_s, 5, "within"),
        (10, m.leading_silence_s, 5, "before"),
        (10, m.trailing_silence_s, 10, "after"),
    )
    points = sum(most * (1 - exp(-max(0.0, s - free) / 30)) for most, s, free, _ in stretches)
    return points, ", ".join(f"{s:.1f} s of silence {where}" for _, s, free, where in stretches if s > free)


def _dc_offset(m: QualityMeasures) -> tuple[float, str]:
    """None up to 0.2 % of full scale; 3 points at 1 %, 12 at 5 %, 20 at most."""
    offset = max(0.0, abs(m.dc_offset) - 0.002)
    return 20 * (1 - exp(-offset / 0.05)), f"DC offset of {100 * m.dc_offset:.2g} % of full scale"


def _channels(m: QualityMeasures) -> tuple[float, str]:
    """30 points for a missing channel and 5 for each further one; up to 30 as left and right turn into opposites, from
    a correlation of -0.3 on; 2 for one signal in two channels, which only wastes room.
    """
    if m.missing_channels:
        numbers = ", ".join(str(channel + 1) for channel in m.missing_channels)
        return min(45.0, 25 + 5 * len(m.missing_channels)), f"no signal in channel {numbers}"
    if m.false_stereo:
        return 2.0, "both channels carry one signal"
    opposed = max(0.0, -(m.stereo_correlation or 0.0) - 0.3) / 0.7
    opposite = "opposite polarity" if m.inverted_channels else "partly opposite polarity"
    return 30 * opposed, f"left and right have {opposite} (correlation {m.stereo_correlation or 0.0:.2f})"


def _lossy_source(lossy_source: bool | None) -> tuple[float, str]:
    """10 points."""
    return (10.0 if lossy_source else 0.0), "lossless file made from a lossy one"


def _damage(decoded_fraction: float | None, damaged_packets: int) -> tuple[float, str]:
    """None for 0.1 % of the length (headers round); 3 points for 2 %, 30 for half, 60 for all of it. Damaged packets,
    whose sound is lost though its time is kept, add up to 20: half of that for 20 of them.
    """
    missing = 0.0 if decoded_fraction is None else max(0.0, 0.999 - decoded_fraction)
    points = 60 * missing**0.9 + 20 * damaged_packets / (damaged_packets + 20)
    reasons = [f"only {100 * (decoded_fraction or 0.0):.1f} % of the length decoded"] if missing else []
    reasons += [f"{damaged_packets} damaged packet{'s' * (damaged_packets > 1)}"] if damaged_packets else []
    return points, ", ".join(reasons)


_RULES: dict[str, Callable[[QualityMeasures], tuple[float, str]]] = {
    "clipping": _clipping,
    "noise": _noise,
    "hum": _hum,
    "bandwidth": _bandwidth,
    "silence": _silence,
    "dc_offset": _dc_offset,
    "channels": _channels,
}
