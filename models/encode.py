"""Samples to audio files.

Conventions. Samples are float32 [frames, channels], full scale +-1.0; integer formats round to nearest and clip at full
scale, without dither. Channels come in the order of WAVE_FORMAT_EXTENSIBLE: left, right, centre, LFE, back or side.
Bit rates are bit/s for all channels together. libsndfile writes WAV, AIFF, FLAC and Vorbis, PyAV the rest. A full disk
is an OSError with its errno, whichever of them meets it and whenever: libsndfile itself says "System error", and says
nothing at all of a FLAC file whose end did not fit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any, Self

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
    options: dict[str, str] = field(default_factory=dict)


ENCODERS: dict[str, _Sndfile | _Libav] = {
    "wav": _Sndfile("WAV", "PCM_16"),
    "pcm_u8": _Sndfile("WAV", "PCM_U8"),
    "pcm_s16le": _Sndfile("WAV", "PCM_16"),
    "pcm_s24le": _Sndfile("WAV", "PCM_24"),
    "pcm_s32le": _Sndfile("WAV", "PCM_32"),
    "pcm_f32le": _Sndfile("WAV", "FLOAT"),
    "pcm_f64le": _Sndfile("WAV", "DOUBLE"),
    "rf64": _Sndfile("RF64", "PCM_16"),
    "rf64_s24le": _Sndfile("RF64", "PCM_24"),
    "aiff": _Sndfile("AIFF", "PCM_16"),
    "flac": _Sndfile("FLAC", "PCM_16"),
    "flac24": _Sndfile("FLAC", "PCM_24"),
    "vorbis": _Sndfile("OGG", "VORBIS"),
    "opus": _Libav("ogg", "libopus"),
    "webm": _Libav("webm", "libopus"),
    "mp3": _Libav("mp3", "libmp3lame"),
    "aac": _Libav("ipod", "aac"),
    "aac_without_pns": _Libav("ipod", "aac", {"aac_pns": "0"}),  # all that decodes stands in the file, no noise drawn
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
        bit_rate: bit/s, for MP3, AAC, WMA and Opus; the encoder's default where None.

    Raises:
        AudioError: `unsupported` if the codec is unknown or refuses the rate or the number of channels.
        OSError: if the file cannot be written, or not to its end.

    >>> encode("/dev/null", np.zeros(480), 44100, codec="opus")
    Traceback (most recent call last):
    models.formats.AudioError: opus cannot hold 44100 Hz. Resample to 48000 Hz first (models.audio.resample).
    """
    block = np.asarray(samples, np.float32)
    block = block[:, None] if block.ndim == 1 else block  # [frames, channels]
    with Encoder(
        path, sample_rate_hz, block.shape[1], codec=codec, bit_rate=bit_rate, title=title, artist=artist
    ) as encoder:
        encoder.write(block)


class Encoder:
    """Writes an audio file block by block; a context manager, and what it wrote is whole when that ends well.

    Args and errors: as `encode`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        channels: int,
        *,
        codec: str,
        bit_rate: int | None = None,
        title: str | None = None,
        artist: str | None = None,
    ) -> None:
        _check(codec, sample_rate_hz, channels)
        tags = {key: value for key, value in (("title", title), ("artist", artist)) if value is not None}
        encoder = ENCODERS[codec]
        self._block_frames = sample_rate_hz
        self._told = f"{codec} cannot hold {channels} channels at {sample_rate_hz} Hz"
        self._file: _SndfileWriter | _LibavWriter
        with self._explained(), contextlib.ExitStack() as files:
            self._target = _Target(files.enter_context(open(path, "wb")))
            files.enter_context(self._target.watched())  # left after the writer is closed, before the file is
            if isinstance(encoder, _Sndfile):
                self._file = _SndfileWriter(files, self._target, sample_rate_hz, channels, encoder, tags)
            else:
                self._file = _LibavWriter(files, self._target, sample_rate_hz, channels, encoder, bit_rate, tags)
            self._files = files.pop_all()

    def write(self, samples: FloatArray) -> None:
        """Appends `samples` [frames, channels].

        A second at a time: libsndfile overflows its stack when a long Vorbis file is written in one call.
        """
        with self._explained(), self._target.watched():
            for start in range(0, len(samples), self._block_frames):
                self._file.write(samples[start : start + self._block_frames])

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (soundfile.LibsndfileError, av.error.ArgumentError) as error:
            advice = "Choose another codec, or downmix and resample first."
            raise AudioError("unsupported", f"{self._told} ({error})", advice) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._explained(), self._files:
            if error is None:
                self._file.finish()


class _Target:
    """A file to write to that keeps the first thing that went wrong: the libraries lose it, or lose its errno."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            return self._keep(error)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            return self._keep(error)

    def tell(self) -> int:
        return self._file.tell()

    def _keep(self, error: OSError) -> int:
        self._error = self._error or error  # not raised through the libraries: cffi prints it, PyAV drops it
        return 0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Raises in the end what went wrong meanwhile, instead of what a library makes of it."""
        try:
            yield
        except (soundfile.LibsndfileError, av.error.FFmpegError) as error:
            if self._error is None:
                raise
            raise self._error from error
        if self._error is not None:
            raise self._error


class _SndfileWriter:
    def __init__(
        self,
        files: contextlib.ExitStack,
        target: _Target,
        sample_rate_hz: int,
        channels: int,
        encoder: _Sndfile,
        tags: dict[str, str],
    ) -> None:
        self._subtype = encoder.subtype
        self._file = files.enter_context(
            soundfile.SoundFile(
                target, "w", sample_rate_hz, channels, format=encoder.container, subtype=encoder.subtype
            )
        )
        for key, value in tags.items():
            setattr(self._file, key, value)

    def write(self, block: FloatArray) -> None:
        self._file.write(_quantised(block, self._subtype))

    def finish(self) -> None:
        pass


class _LibavWriter:
    def __init__(
        self,
        files: contextlib.ExitStack,
        target: _Target,
        sample_rate_hz: int,
        channels: int,
        encoder: _Libav,
        bit_rate: int | None,
        tags: dict[str, str],
    ) -> None:
        self._encoder, self._layout, self._rate_hz = encoder.encoder, LAYOUTS[channels], sample_rate_hz
        self._container = files.enter_context(av.open(target, "w", format=encoder.container))
        self._container.metadata.update(tags)
        options = encoder.options
        self._stream: Any = self._container.add_stream(
            encoder.encoder, rate=sample_rate_hz, layout=self._layout, options=options
        )
        self._written = 0
        self._channels = channels
        if bit_rate is not None or encoder.encoder == "wmav2":  # wmav2 has no default
            self._stream.bit_rate = bit_rate or 64_000 * channels
        if encoder.encoder == "wmav2":
            # libav's decoder skips two frames, as Microsoft's encoder delays; libav's delays one, drops the last part.
            self.write(np.zeros((_WMA_FRAME, channels), np.float32))

    def write(self, block: FloatArray) -> None:
        samples: FloatArray | npt.NDArray[np.int32] = block
        if self._encoder == "alac":
            samples = _quantised(block, "PCM_24")  # libav's encoder would cut the lower bits off
        # Interleaved, and converted by libav: PyAV reads past the planes of a planar frame of eight channels.
        kind = "flt" if samples.dtype == np.float32 else "s32"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), kind, self._layout)
        frame.sample_rate, frame.pts = self._rate_hz, self._written
        self._written += len(samples)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        rest = -self._written % _WMA_FRAME
        if self._encoder == "wmav2" and rest:
            self.write(np.zeros((rest, self._channels), np.float32))
        self._container.mux(self._stream.encode(None))


def _check(codec: str, sample_rate_hz: int, channels: int) -> None:
    if codec not in ENCODERS:
        raise AudioError("unsupported", f"there is no encoder {codec!r}", f"Choose one of {', '.join(ENCODERS)}.")
    if codec in ("opus", "webm") and sample_rate_hz not in OPUS_RATES_HZ:
        advice = "Resample to 48000 Hz first (models.audio.resample)."
        raise AudioError("unsupported", f"opus cannot hold {sample_rate_hz} Hz", advice)
    # Beyond these, libsndfile's Vorbis and libav's libopus put the channels in another order, or crash.
    if channels not in CHANNELS.get(codec, LAYOUTS):
        raise AudioError("unsupported", f"{codec} cannot hold {channels} channels", "Downmix first, or use flac.")


def _quantised(block: FloatArray, subtype: str) -> FloatArray | npt.NDArray[np.int32]:
    """Integers of the subtype's width in the upper bits of int32: libsndfile itself would scale by 2^n - 1."""
    if subtype not in _BITS:
        return block
    bits = _BITS[subtype]
    full_scale = 2.0 ** (bits - 1)
    steps = block * (np.float32 if bits <= 24 else np.float64)(full_scale)  # exact, and so is full scale less one
    np.rint(steps, out=steps)
    np.clip(steps, -full_scale, full_scale - 1, out=steps)
    return steps.astype(np.int32) << (32 - bits)
