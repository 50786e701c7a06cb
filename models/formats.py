"""What an audio file is, by its content: never by its name.

Conventions. A file is given by its path or by an open file descriptor, and is always opened as `/dev/fd/N`: whatever
its name holds (a line break, `http:`, a leading dash, bytes that are not UTF-8), no library takes it for a URL or an
option, and no extension misleads. A claim is what a header says of the length, before anything is decoded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import soundfile

from models.ogg import mended
from models.tags import Tags, read_tags

PathOrFd = str | bytes | os.PathLike[str] | os.PathLike[bytes] | int

#: libav's demuxers that may open a file: those that carry audio in one file, and no playlist (hls, concat, dash).
FORMAT_WHITELIST = (
    "aac,ac3,aiff,amr,ape,asf,asf_o,au,avi,caf,dsf,dts,eac3,flac,flv,iff,loas,matroska,webm,mov,mp3,mpc,mpc8,mpeg,mpegts,"
    "ogg,oma,tak,tta,voc,w64,wav,wv,xwma"
)
#: libav's name of the layout that a number of channels is taken to have: the order of WAVE_FORMAT_EXTENSIBLE.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SNDFILE_CONTAINERS = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "AIFF": "aiff", "FLAC": "flac", "OGG": "ogg"}
LOSSLESS = {"alac", "ape", "flac", "mlp", "tak", "truehd", "tta", "wavpack", "wmalossless"}
_SNDFILE_CODECS: dict[str, tuple[str, int | None]] = {
    "PCM_U8": ("pcm_u8", 8),
    "PCM_S8": ("pcm_s8", 8),
    "PCM_16": ("pcm_s16", 16),
    "PCM_24": ("pcm_s24", 24),
    "PCM_32": ("pcm_s32", 32),
    "FLOAT": ("pcm_f32", 32),
    "DOUBLE": ("pcm_f64", 64),
    "VORBIS": ("vorbis", None),
}
_MAGIC = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11")
_STREAMED = {0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFFFFFFFFFF}  #: sizes that mean: unknown when the header was written


class AudioError(Exception):
    """A file that gives no audio.

    Args:
        reason: a short stable word: empty_file, not_audio, not_decodable, no_audio_stream, too_short, non_finite,
            too_long, unsupported.
        message: names the value at fault.
        advice: the likely mistake and the remedy.
    """

    def __init__(self, reason: str, message: str, advice: str = "") -> None:
        super().__init__(reason, message, advice)
        self.reason = reason
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}" if self.advice else self.message


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file's header says."""

    container: str  #: wav, flac, mp3, ogg, mov, webm, matroska, asf, aiff, ...
    codec: str  #: pcm_s16le, flac, mp3, vorbis, opus, aac, alac, wmav2, ...
    lossless: bool
    sample_rate_hz: int
    channels: int
    bits_per_sample: int | None  #: resolution of a lossless codec
    claimed_duration_s: float | None  #: None where the format claims nothing (Ogg, ADTS, MP3 without a Xing header)
    title: str | None = None
    artist: str | None = None
    lyrics: str | None = None


# Opening --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(file: PathOrFd) -> Iterator[str]:
    """The name under which the libraries open `file`; valid inside the block.

    Raises:
        AudioError: `not_audio` if it is not a regular file, `empty_file` if it holds nothing.
        OSError: if it cannot be opened.
    """
    # O_NONBLOCK: opening a FIFO must not wait for somebody to write to it.
    fd = os.dup(file) if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise AudioError("not_audio", f"{file!r} is not a regular file", "Leave folders, pipes and devices out.")
        if status.st_size == 0:
            raise AudioError("empty_file", "the file is empty (0 bytes)", "A copy that broke off? Copy it again.")
        yield f"/dev/fd/{fd}"
    finally:
        os.close(fd)


def open_container(name: str) -> Any:
    """`name` opened by libav.

    Raises:
        AudioError: `not_audio` if no demuxer knows it.
    """
    _listen()
    limits = {"format_whitelist": FORMAT_WHITELIST, "protocol_whitelist": "file"}
    try:
        view = mended(name) if _head(name).startswith(b"OggS") else None
        return av.open(view or name, container_options=limits, metadata_errors="replace")
    except av.error.MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        head = _head(name)
        if head.startswith(_MAGIC) or head[4:8] == b"ftyp":
            what = f"the file begins like audio ({head[:8]!r} ...), but its headers cannot be read"
            raise AudioError("not_decodable", what, "A copy that broke off? Copy it again.") from error
        advice = "A document, a picture or scrambled bytes? Leave it out of the catalogue, or copy it again."
        raise AudioError("not_audio", f"no audio format is recognised ({head[:16]!r} ...)", advice) from error


def _listen() -> None:
    """Has libav's messages of errors reach whoever captures them (models.packets), and no one's terminal."""
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)


def open_sndfile(name: str) -> soundfile.SoundFile | None:
    """`name` opened by libsndfile if it reads it exactly and fast: FLAC, or PCM in WAV, RF64 or AIFF.

    And Vorbis if all of it lies on one Ogg page, where libav mistakes the length by up to a block.
    """
    head = _head(name)
    if head[:4] not in (b"RIFF", b"RF64", b"FORM", b"fLaC") and not _is_one_page(name, head):
        return None
    try:
        file = soundfile.SoundFile(name)
    except soundfile.LibsndfileError:
        return None
    if file.subtype in _SNDFILE_CODECS and file.format in _SNDFILE_CONTAINERS and file.frames:
        return file  # no frames: a WAV written as a stream, which libav reads to its end
    file.close()
    return None


def audio_stream(container: Any) -> Any:
    """The first audio stream; pictures of the cover and video are none.

    Raises:
        AudioError: `no_audio_stream`, or `unsupported` if there is no decoder for it.
    """
    if not container.streams.audio:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
        advice = "A video or a picture? Leave it out of the catalogue."
        raise AudioError("no_audio_stream", f"the file holds no audio stream (streams: {kinds})", advice)
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        advice = "Convert it with the program that made it, or leave it out of the catalogue."
        raise AudioError("unsupported", f"there is no decoder for the audio in this {container.format.name}", advice)
    return stream


def _head(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read(64)


def _is_one_page(name: str, head: bytes) -> bool:
    """Whether this is mono or stereo Vorbis whose first page with audio is its last."""
    if head[:4] != b"OggS" or head[28:35] != b"\x01vorbis" or head[39] > 2:
        return False
    with open(name, "rb") as file:
        content = file.read(3 * 65307)
        if file.read(1):
            return False
    pages = [page for page in content.split(b"OggS\0")[1:] if any(page[1:9])]  # flags, then the position of its end
    return len(pages) == 1 and bool(pages[0][0] & 4)


# What the header says -------------------------------------------------------------------------------------------


def sndfile_info(file: soundfile.SoundFile, name: str) -> AudioInfo:
    """What libsndfile and the header of `name` say."""
    codec, bits = _SNDFILE_CODECS[file.subtype]
    container = _SNDFILE_CONTAINERS[file.format]
    claimed: int | None = None
    if container == "flac":
        codec, claimed = "flac", file.frames if file.frames < 2**62 else None
    elif bits is not None:
        big = container == "aiff" and file.endian != "LITTLE"
        codec += "" if bits == 8 else "be" if big else "le"
        claimed = (_iff_claim_bytes(name) or 0) // (file.channels * bits // 8)
    tags = read_tags(name, {"title": file.title, "artist": file.artist})
    return AudioInfo(
        container=container,
        codec=codec,
        lossless=bits is not None,
        sample_rate_hz=file.samplerate,
        channels=file.channels,
        bits_per_sample=bits,
        claimed_duration_s=None if not claimed else claimed / file.samplerate,
        title=tags.title,
        artist=tags.artist,
        lyrics=tags.lyrics,
    )


def libav_info(container: Any, stream: Any, name: str) -> AudioInfo:
    """What libav says of an opened file."""
    context = stream.codec_context
    codec = context.codec.canonical_name
    lossless = codec in LOSSLESS or (codec.startswith("pcm_") and codec not in ("pcm_mulaw", "pcm_alaw"))
    tags: Tags = read_tags(name, {**container.metadata, **stream.metadata})
    if not (context.sample_rate and context.channels):
        what = f"the header of this {codec} names neither sample rate nor channels"
        raise AudioError("not_decodable", what, "The file is damaged at its beginning: copy it again.")
    return AudioInfo(
        container=_container_name(container.format.name, name),
        codec=codec,
        lossless=lossless,
        sample_rate_hz=context.sample_rate,
        channels=context.channels,
        bits_per_sample=(tags.bits_per_sample or context.format.bits) if lossless else None,
        claimed_duration_s=_libav_claim_s(container, stream, name, tags),
        title=tags.title,
        artist=tags.artist,
        lyrics=tags.lyrics,
    )


def _container_name(libav_name: str, name: str) -> str:
    if libav_name == "matroska,webm":
        return "webm" if b"webm" in _head(name) else "matroska"
    return libav_name.split(",")[0]


def _libav_claim_s(container: Any, stream: Any, name: str, tags: Tags) -> float | None:
    """Only what a header really holds: for other formats libav guesses the length from the file's size or its end."""
    kind = container.format.name.split(",")[0]
    if kind == "wav":
        return (_iff_claim_bytes(name) or 0) * 8 / (stream.codec_context.bit_rate or 1) or None
    if kind in ("aiff", "flac", "mov", "caf", "ape", "tta", "wv") or (kind == "mp3" and _has_xing(name)):
        return float(stream.duration * stream.time_base) if stream.duration else None
    if kind == "asf":
        return tags.length_s or None  # libav shortens what the header says to what the file's size allows
    if kind in ("matroska", "flv", "avi"):
        return container.duration / av.time_base if container.duration else None
    return None


def _has_xing(name: str) -> bool:
    """Whether the first MP3 frame is a Xing, Info or VBRI header, which counts the frames that follow."""
    with open(name, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            file.seek(10 + size)
        frame = file.read(4096)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _iff_claim_bytes(name: str) -> int | None:
    """Bytes of samples that a WAV, RF64 or AIFF claims to hold; None where it was written as a stream."""
    with open(name, "rb") as file:
        magic = file.read(12)[:4]
        order = ">" if magic == b"FORM" else "<"
        claim_bytes: int | None = None
        for kind, size in _chunks(file, order):
            if kind == b"ds64":
                claim_bytes = struct.unpack("<8xQ", file.read(16))[0]
            elif kind in (b"data", b"SSND"):
                size = claim_bytes if size == 0xFFFFFFFF and claim_bytes else size - 8 * (kind == b"SSND")
                return None if size in _STREAMED else size
    return None


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk, the file standing at its content."""
    while len(header := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        yield kind, size
        file.seek(start + size + size % 2)
