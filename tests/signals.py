"""Signals and files that tests are made of.

Conventions. Signals are float32 [frames] or [frames, channels], full scale +-1.0, and the same on every machine: what
is random comes from a numbered generator. Files are written by models.encode; `FORMATS` names all that a scan reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.encode import encode

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Format:
    """One file format: what `encode` calls it, and what a probe must say about it."""

    codec: str  #: for models.encode.encode
    extension: str
    container: str
    codec_name: str
    lossless: bool
    bits_per_sample: int | None = None
    exact_length: bool = True  #: whether the format tells its length to the sample


FORMATS = {
    "wav8": Format("pcm_u8", "wav", "wav", "pcm_u8", True, 8),
    "wav16": Format("pcm_s16le", "wav", "wav", "pcm_s16le", True, 16),
    "wav24": Format("pcm_s24le", "wav", "wav", "pcm_s24le", True, 24),
    "wav32": Format("pcm_s32le", "wav", "wav", "pcm_s32le", True, 32),
    "wavfloat": Format("pcm_f32le", "wav", "wav", "pcm_f32le", True, 32),
    "wavdouble": Format("pcm_f64le", "wav", "wav", "pcm_f64le", True, 64),
    "rf64": Format("rf64", "wav", "wav", "pcm_s16le", True, 16),
    "aiff": Format("aiff", "aiff", "aiff", "pcm_s16be", True, 16),
    "flac": Format("flac", "flac", "flac", "flac", True, 16),
    "flac24": Format("flac24", "flac", "flac", "flac", True, 24),
    "alac": Format("alac", "m4a", "mov", "alac", True, 24),
    "mp3": Format("mp3", "mp3", "mp3", "mp3", False),
    "vorbis": Format("vorbis", "ogg", "ogg", "vorbis", False),
    "opus": Format("opus", "opus", "ogg", "opus", False),
    "webm": Format("webm", "webm", "webm", "opus", False),
    "aac": Format("aac", "m4a", "mov", "aac", False),
    "wma": Format("wmav2", "wma", "asf", "wmav2", False, exact_length=False),
}


def tone(
    frequency_hz: float = 1000.0, duration_s: float = 1.0, sample_rate_hz: int = 48000, peak: float = 0.5
) -> FloatArray:
    """A sine of amplitude `peak`, starting at phase 0: [frames]."""
    t = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    return (peak * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


def silence(duration_s: float = 1.0, sample_rate_hz: int = 48000) -> FloatArray:
    """Digital silence: [frames]."""
    return np.zeros(round(duration_s * sample_rate_hz), np.float32)


def noise(duration_s: float = 1.0, sample_rate_hz: int = 48000, rms: float = 0.1, seed: int = 0) -> FloatArray:
    """White Gaussian noise: [frames]."""
    generator = np.random.default_rng(seed)
    return generator.normal(0.0, rms, round(duration_s * sample_rate_hz)).astype(np.float32)


def music(duration_s: float = 3.0, sample_rate_hz: int = 48000, channels: int = 2, seed: int = 0) -> FloatArray:
    """Notes that begin and fade, over a little noise, different in each channel: [frames, channels].

    It never repeats, so cross-correlation with it has one peak, and it is no higher than 3200 Hz, so codecs keep it.
    """
    frames = round(duration_s * sample_rate_hz)
    return np.stack([_voice(frames, sample_rate_hz, seed * 16 + c) for c in range(channels)], axis=1)


def _voice(frames: int, sample_rate_hz: int, seed: int) -> FloatArray:
    generator = np.random.default_rng(seed)
    voice = generator.normal(0.0, 0.001, frames)
    note_frames = sample_rate_hz // 4
    t = np.arange(note_frames) / sample_rate_hz
    for start in range(0, frames, note_frames):
        pitch_hz = 110.0 * 2 ** (generator.integers(0, 37) / 12)
        partials = sum(np.sin(2 * np.pi * pitch_hz * k * t + k) / k for k in (1, 2, 3) if pitch_hz * k < 3200)
        note = 0.2 * partials * np.exp(-6 * t) * np.minimum(t / 0.005, 1)
        voice[start : start + note_frames] += note[: frames - start]
    return voice.astype(np.float32)


def write(
    folder: Path, name: str, samples: npt.ArrayLike, sample_rate_hz: int = 48000, stem: str = "track", **options: object
) -> Path:
    """Writes `samples` as the format `name` of FORMATS to folder/STEM.EXTENSION; `options` are those of `encode`."""
    form = FORMATS[name]
    path = folder / f"{stem}.{form.extension}"
    encode(path, samples, sample_rate_hz, codec=form.codec, **options)  # type: ignore[arg-type]
    return path


def truncated(path: Path, share: float) -> Path:
    """Cuts the file off after `share` (0..1) of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


def scribbled(path: Path, share: float, size_bytes: int, seed: int = 0) -> Path:
    """Overwrites `size_bytes` bytes from `share` (0..1) of the file on with random ones."""
    content = bytearray(path.read_bytes())
    start = round(len(content) * share)
    content[start : start + size_bytes] = np.random.default_rng(seed).bytes(size_bytes)
    path.write_bytes(content)
    return path
