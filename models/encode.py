"""Samples to audio files.

Conventions. Samples are float32 [frames, channels], full scale +-1.0; integer formats round to nearest and clip at full
scale, without dither. Channels come in the order of WAVE_FORMAT_EXTENSIBLE: left, right, centre, LFE, back or side.
Bit rates are bit/s for all channels together. libsndfile writes WAV, AIFF, FLAC and Vorbis, PyAV the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import soundfile

from models.formats import LAYOUTS, AudioError

FloatArray = npt.NDArray[np.float32]

OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)


CHANNELS = {"vorbis": (1, 2), "opus": (1, 2, 3, 4, 6, 8), "webm": (1, 2, 3, 4, 6, 8)}


@dataclass(frozen=True)
class _Sndfile:
    """A format that libsndfile writes."""

    container: str
    subtype: str


@dataclass(frozen=True)
class _Libav:
    """A format that PyAV writes."""

    container: str
    encoder: str


ENCODERS: dict[str, _Sndfile | _Libav] = {
    "wav": _Sndfile("WAV", "PCM_16"),
    "pcm_u8": _Sndfile("WAV", "PCM_U8"),
    "pcm_s16le": _Sndfile("WAV", "PCM_16"),
    "pcm_s24le": _Sndfile("WAV", "PCM_24"),
    "pcm_s32le": _Sndfile("WAV", "PCM_32"),
    "pcm_f32le": _Sndfile("WAV", "FLOAT"),
    "pcm_f64le": _Sndfile("WAV", "DOUBLE"),
    "rf64": _Sndfile("RF64", "PCM_16"),
    "aiff": _Sndfile("AIFF", "PCM_16"),
    "flac": _Sndfile("FLAC", "PCM_16"),
    "flac24": _Sndfile("FLAC", "PCM_24"),
    "vorbis": _Sndfile("OGG", "VORBIS"),
    "opus": _Libav("ogg", "libopus"),
    "webm": _Libav("webm", "libopus"),
    "mp3": _Libav("mp3", "libmp3lame"),
    "aac": _Libav("ipod", "aac"),
    "alac": _Libav("ipod", "alac"),
    "wmav2": _Libav("asf", "wmav2"),
}

_BITS = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_WMA_FRAME = 2048


def encode(
    path: str | os.PathLike[str],
    samples: npt.ArrayLike,
    sample_rate_hz: int,
    *,
    codec: str,
    bit_rate: int | None = None,
    title: str | None = None,
    artist: str | None = None,
) -> None:
    """Writes `samples` to `path` as the `codec` of ENCODERS, whatever the extension of `path`.

    Args:
        samples: [frames] or [frames, channels], float, full scale +-1.0.
        codec: `wav` (16 bit) and the `pcm_...` are WAV, `aac` and `alac` M4A, `opus` Ogg, `webm` Opus in WebM.
        bit_rate: bit/s, for MP3, AAC, WMA and Opus in WebM; the encoder's default where None.

    Raises:
        AudioError: `unsupported` if the codec is unknown or refuses the rate or the number of channels.

    >>> encode("/dev/null", np.zeros(480), 44100, codec="opus")
    Traceback (most recent call last):
    models.formats.AudioError: opus cannot hold 44100 Hz. Resample to 48000 Hz first (models.audio.resample).
    """
    block = np.asarray(samples, np.float32)
    block = block[:, None] if block.ndim == 1 else block  # [frames, channels]
    _check(codec, sample_rate_hz, block.shape[1])
    encoder = ENCODERS[codec]
    tags = {key: value for key, value in (("title", title), ("artist", artist)) if value is not None}
    try:
        if isinstance(encoder, _Sndfile):
            _write_sndfile(path, block, sample_rate_hz, encoder, tags)
        else:
            _write_libav(path, block, sample_rate_hz, encoder, bit_rate, tags)
    except (soundfile.LibsndfileError, av.error.ArgumentError) as error:
        what = f"{codec} cannot hold {block.shape[1]} channels at {sample_rate_hz} Hz ({error})"
        raise AudioError("unsupported", what, "Choose another codec, or downmix and resample first.") from error


def _check(codec: str, sample_rate_hz: int, channels: int) -> None:
    if codec not in ENCODERS:
        raise AudioError("unsupported", f"there is no encoder {codec!r}", f"Choose one of {', '.join(ENCODERS)}.")
    if codec in ("opus", "webm") and sample_rate_hz not in OPUS_RATES_HZ:
        advice = "Resample to 48000 Hz first (models.audio.resample)."
        raise AudioError("unsupported", f"opus cannot hold {sample_rate_hz} Hz", advice)
    # Beyond these, libsndfile's Vorbis and libav's libopus put the channels in another order, or crash.
    if channels not in CHANNELS.get(codec, LAYOUTS):
        raise AudioError("unsupported", f"{codec} cannot hold {channels} channels", "Downmix first, or use flac.")


def _write_sndfile(
    path: str | os.PathLike[str], samples: FloatArray, sample_rate_hz: int, encoder: _Sndfile, tags: dict[str, str]
) -> None:
    """A second at a time: libsndfile overflows its stack when a long Vorbis or Opus file is written in one call."""
    channels = samples.shape[1]
    with soundfile.SoundFile(
        os.fspath(path), "w", sample_rate_hz, channels, format=encoder.container, subtype=encoder.subtype
    ) as file:
        for key, value in tags.items():
            setattr(file, key, value)
        for block in _blocks(samples, sample_rate_hz):
            file.write(_quantised(block, encoder.subtype))


def _quantised(block: FloatArray, subtype: str) -> FloatArray | npt.NDArray[np.int32]:
    """Integers of the subtype's width in the upper bits of int32: libsndfile itself would scale by 2^n - 1."""
    if subtype not in _BITS:
        return block
    bits = _BITS[subtype]
    full_scale = 2.0 ** (bits - 1)
    steps = np.clip(np.rint(block.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    return steps.astype(np.int32) << (32 - bits)


def _write_libav(
    path: str | os.PathLike[str],
    samples: FloatArray,
    sample_rate_hz: int,
    encoder: _Libav,
    bit_rate: int | None,
    tags: dict[str, str],
) -> None:
    layout = LAYOUTS[samples.shape[1]]
    with open(path, "wb") as file, av.open(file, "w", format=encoder.container) as container:
        container.metadata.update(tags)
        stream = container.add_stream(encoder.encoder, rate=sample_rate_hz, layout=layout)
        if bit_rate is not None or encoder.encoder == "wmav2":  # wmav2 has no default
            stream.bit_rate = bit_rate or 64_000 * samples.shape[1]
        if encoder.encoder == "wmav2":
            samples = _padded_for_wma(samples)
        written = 0
        block: FloatArray | npt.NDArray[np.int32]
        for block in _blocks(samples, sample_rate_hz):
            if encoder.encoder == "alac":
                block = _quantised(block, "PCM_24")  # libav's encoder would cut the lower bits off
            # Interleaved, and converted by libav: PyAV reads past the planes of a planar frame of eight channels.
            kind = "flt" if block.dtype == np.float32 else "s32"
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), kind, layout)
            frame.sample_rate, frame.pts = sample_rate_hz, written
            written += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _padded_for_wma(samples: FloatArray) -> FloatArray:
    """libav's decoder skips two frames, as Microsoft's encoder delays; libav's delays one and drops the last part."""
    return np.pad(samples, ((_WMA_FRAME, -len(samples) % _WMA_FRAME), (0, 0)))


def _blocks(samples: FloatArray, block_frames: int) -> Iterator[FloatArray]:
    for start in range(0, len(samples), block_frames):
        yield samples[start : start + block_frames]
