"""The transforms of lossy codecs, taken again at every possible place of their frames.

A lossy codec cuts audio into frames, transforms each with an overlapping cosine transform (MDCT) and rounds the
coefficients coarsely: many become zero. Decoding gives ordinary-looking samples; but whoever applies the same transform
to them at exactly the same places finds the zeros again, while one sample beside them they are gone (Herre and Schug,
"Analysis of decompressed audio: the inverse decoder", AES 109, 2000; Derrien, "Detection of genuine lossless audio
files", JAES 67, 2019). A search therefore gives a curve over the frame's offsets: the share of coefficients near zero.

Samples are float32 in [-1, 1]; all transforms are orthonormal, so a coefficient has the unit of a sample. `offset` is
in samples from the excerpt's start, 0 up to the grid's hop.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Curve = NDArray[np.float64]

EXCERPT_SAMPLES = 8192  # what a search is given
NEAR_ZERO = 0.015  # a coefficient below this part of its band's level counts as zero; of natural ones 1.2 % do
ROUNDING_STEPS = 0.5  # ... or below this many steps of the sample format, which rounding adds to a true zero
FLOOR_STEPS = 6.0  # bands below this many steps hold rounding noise, not music
PEAK_REACH_SAMPLES = 8  # tonal music shows faint copies of a peak this near to it
BAND_COEFFICIENTS = 18  # one of MP3's subbands
MIN_USABLE_BANDS = 16  # bands above the floor, summed over frames: 288 coefficients, below which a curve says little

# Prototype of MPEG-1's filter bank (ISO/IEC 11172-3, table 3-B.3) as a cosine series over its 512 taps, fitted by least
# squares; what is left is 98 dB down.
_MP3_PROTOTYPE = (1.0, 2.000062, 1.992551, 1.878712, 1.414304, 0.685908, 0.173152, 0.015461)
_MP3_ALIAS = (-0.6, -0.535, -0.33, -0.185, -0.095, -0.041, -0.0142, -0.0037)  # ISO/IEC 11172-3, table 3-B.9
_MP3_SUBBANDS = np.arange(2, 24)  # 1.4 to 16.5 kHz at 44.1 kHz: below, hardly anything is rounded to zero
_FIRST_BIN, _LAST_BIN = 64, 748  # the same of an MDCT with 1024 bins, in whole bands
_MP3_GRANULES = 11
_MDCT_FRAMES = 4
_ROWS_AT_ONCE = 64  # what stays in the processor's cache: half the time of a whole frame at once


@dataclass(frozen=True, slots=True)
class Grid:
    """One family of codecs.

    `coefficients` turns an excerpt into frames of [offsets, coefficients]. `period_samples` is what an unbroken
    recording keeps of the grid's place: the hop, or less where short blocks may shift the long ones.
    """

    name: str
    coefficients: Callable[[Samples], Iterator[Samples]]
    period_samples: int
    rates_hz: tuple[int, int]


def offset_curve(excerpt: Samples, start_samples: int, grid: Grid, step: float) -> Curve | None:
    """How plainly the frames of `grid` lie at each place modulo its period, in robust standard deviations.

    Args:
        excerpt: one channel, float32 [8192].
        start_samples: where in the recording it begins, so that curves of several excerpts can be added.
        step: the smallest difference of the sample format (2**-15 for 16 bit).

    Returns:
        float64 [grid.period_samples], or None if hardly anything is louder than FLOOR_STEPS.
    """
    near, usable_bands = np.zeros(1, np.int64), 0
    for frame in grid.coefficients(excerpt):
        count, bands = _near_zero(frame, step)
        near, usable_bands = near + count, usable_bands + bands
    if usable_bands < MIN_USABLE_BANDS:
        return None
    curve = _standardised(near).reshape(-1, grid.period_samples).max(axis=0)
    placed: Curve = np.roll(curve, start_samples % grid.period_samples)
    return placed


def peak_gap(curves: list[Curve]) -> float:
    """How far the best place of all curves together stands above the best one elsewhere, in standard deviations.

    A periodic signal has many equal peaks and so no gap; a lossy codec has one peak, one sample wide. Unrelated curves
    have gaps of about 0.3, one in a thousand above 2.5.

    >>> peak_gap([np.tile([0.0, 9.0, 0.0, -9.0], 32)])
    0.0
    """
    total = np.sum(curves, axis=0) / np.sqrt(len(curves))
    best = int(np.argmax(total))
    distance = np.abs(np.arange(len(total)) - best)
    elsewhere = total[np.minimum(distance, len(total) - distance) > PEAK_REACH_SAMPLES]
    deviation = 1.4826 * float(np.median(np.abs(elsewhere - np.median(elsewhere))))
    return float(total[best] - elsewhere.max()) / max(deviation, 1.0)


def _near_zero(frame: Samples, step: float) -> tuple[NDArray[np.int64], int]:
    """Coefficients near zero at each offset, and how many bands were loud enough to be looked at."""
    # The level is the mean over all offsets, so that it cannot follow a hole that one offset sees.
    power = np.square(frame[::16]).mean(axis=0).reshape(-1, BAND_COEFFICIENTS).mean(axis=1)
    loud = power > (FLOOR_STEPS * step) ** 2
    limit = np.where(loud, np.maximum(NEAR_ZERO * np.sqrt(power), ROUNDING_STEPS * step), 0)
    small = np.abs(frame) < np.repeat(limit, BAND_COEFFICIENTS).astype(np.float32)
    return np.count_nonzero(small, axis=1), int(loud.sum())


def _standardised(near: NDArray[np.int64]) -> Curve:
    # A decay within the frame bends the whole curve; only what stands out from its neighbours is of the codec.
    curve = near - scipy.ndimage.median_filter(near.astype(np.float64), 2 * PEAK_REACH_SAMPLES + 1, mode="wrap")
    deviation = 1.4826 * float(np.median(np.abs(curve)))
    standardised: Curve = curve / max(deviation, 1.0)  # counts are whole: below 1 there is hardly anything to count
    return standardised


def _mdct_frames(excerpt: Samples, window: Samples) -> Iterator[Samples]:
    hop = len(window) // 2
    spans = np.lib.stride_tricks.sliding_window_view(excerpt, 2 * hop)
    for first in range(0, _MDCT_FRAMES * hop, hop):
        frame = np.empty((hop, _LAST_BIN - _FIRST_BIN), np.float32)
        for offset in range(0, hop, _ROWS_AT_ONCE):
            rows = spans[first + offset : first + offset + _ROWS_AT_ONCE]
            frame[offset : offset + _ROWS_AT_ONCE] = _mdct(rows, window)[:, _FIRST_BIN:_LAST_BIN]
        yield frame


def _mdct(spans: Samples, window: Samples) -> Samples:
    """MDCT of each row; [rows, 2N] to [rows, N], by folding and a DCT-IV."""
    half = len(window) // 4
    a, b, c, d = (spans[:, i * half : (i + 1) * half] * window[i * half : (i + 1) * half] for i in range(4))
    folded = np.empty((len(spans), 2 * half), np.float32)
    np.add(c[:, ::-1], d, out=folded[:, :half])
    np.negative(folded[:, :half], out=folded[:, :half])
    np.subtract(a, b[:, ::-1], out=folded[:, half:])
    transformed: Samples = scipy.fft.dct(folded, type=4, norm="ortho", overwrite_x=True)
    return transformed


@functools.cache
def _power_sine_window() -> Samples:
    """Vorbis I's long window; near enough to AAC's Kaiser-Bessel window (alpha 4) to find that too."""
    return np.sin(np.pi / 2 * np.square(_sine_window(2048))).astype(np.float32)


def _sine_window(length: int) -> Samples:
    window: Samples = np.sin(np.pi / length * (np.arange(length) + 0.5)).astype(np.float32)
    return window


@functools.cache
def _celt_window() -> Samples:
    """The 20 ms window of CELT at 48 kHz: 120 samples of overlap (RFC 6716, section 4.3.7)."""
    rise = np.sin(np.pi / 2 * np.square(_sine_window(240)[:120]))
    return np.concatenate([np.zeros(420), rise, np.ones(840), rise[::-1], np.zeros(420)]).astype(np.float32)


def _celt_frames(excerpt: Samples) -> Iterator[Samples]:
    emphasised = excerpt.copy()
    emphasised[1:] -= np.float32(0.85) * excerpt[:-1]  # RFC 6716, section 4.3.8
    return _mdct_frames(emphasised, _celt_window())


@functools.cache
def _mp3_analysis() -> tuple[Samples, Samples, Samples, Samples, Samples]:
    """Prototype [512], modulation [64, subbands], MDCT [36, 18], and the two gains of the alias butterflies [8]."""
    tap, subband = np.arange(511, -1, -1), _MP3_SUBBANDS[None]  # in order of time
    prototype = np.cos(2 * np.pi / 512 * (tap[:, None] - 256) * np.arange(8)) @ np.array(_MP3_PROTOTYPE)
    prototype *= 1 - 2 * (tap // 64 % 2)  # the modulation turns its sign every 64 taps, so these can be added up first
    modulation = np.cos((2 * subband + 1) * (tap[-64:, None] - 16) * np.pi / 64)
    prototype /= np.linalg.norm(prototype) * np.sqrt(0.5)
    time, k = np.arange(36)[:, None], np.arange(18)[None]
    mdct = _sine_window(36)[:, None] * np.cos(np.pi / 72 * (2 * time + 19) * (2 * k + 1)) / 3
    alias = np.array(_MP3_ALIAS)
    direct, crossed = np.stack([np.ones(8), alias]) / np.sqrt(1 + alias**2)
    prototype, modulation, mdct, direct, crossed = (
        part.astype(np.float32) for part in (prototype, modulation, mdct, direct, crossed)
    )
    return prototype, modulation, mdct, direct, crossed


def _mp3_granules(excerpt: Samples) -> Iterator[Samples]:
    """Layer III's hybrid filter bank with long blocks: granules of [576 offsets, 18 coefficients x subbands]."""
    found = np.empty((_MP3_GRANULES, 18, 32, len(_MP3_SUBBANDS) * 18), np.float32)
    for phase in range(32):
        found[:, :, phase] = _mp3_phase(excerpt[phase:]).reshape(_MP3_GRANULES, 18, -1)
    return iter(found.reshape(_MP3_GRANULES, 576, -1))


def _mp3_phase(excerpt: Samples) -> Samples:
    prototype, modulation, mdct, direct, crossed = _mp3_analysis()
    slots = 18 * _MP3_GRANULES
    taps = np.lib.stride_tricks.sliding_window_view(excerpt, 512)[: 32 * (slots + 36) : 32] * prototype
    # Stacks of small products: BLAS would start threads for one large one, which wait for each other on a busy machine.
    subbands = (taps.reshape(-1, 18, 8, 64).sum(axis=2) @ modulation).reshape(-1, len(_MP3_SUBBANDS))
    subbands[1::2, _MP3_SUBBANDS % 2 == 1] *= -1  # the standard turns odd subbands the right way up
    blocks = np.lib.stride_tricks.sliding_window_view(subbands, 36, axis=0)[:slots] @ mdct  # [slots, subbands, 18]
    low, high = blocks[:, :-1, 17:9:-1].copy(), blocks[:, 1:, :8].copy()
    blocks[:, :-1, 17:9:-1] = low * direct - high * crossed
    blocks[:, 1:, :8] = high * direct + low * crossed
    return blocks


GRIDS = (
    Grid("MP3", _mp3_granules, 576, (32000, 48000)),
    Grid("AAC or Vorbis", lambda excerpt: _mdct_frames(excerpt, _power_sine_window()), 128, (32000, 192000)),
    Grid("AAC or Vorbis", lambda excerpt: _mdct_frames(excerpt, _sine_window(2048)), 128, (32000, 96000)),
    Grid("Opus", _celt_frames, 960, (48000, 48000)),
)
