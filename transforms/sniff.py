"""Is it audio? By the extension of the name, else by the first bytes of the file.

Conventions. An audio extension is believed (a wrong one ends as a dead letter, which is louder than silence). First
bytes are read only where the extension says nothing, at most `HEAD_BYTES` of them, and the verdict is remembered by URI
and revision, so that an unchanged catalogue is listed without opening a file. Formats: RIFF/RF64/BW64 (EBU Tech 3306),
AIFF, FLAC (RFC 9639), Ogg (RFC 3533), ISO base media (ISO 14496-12), MPEG audio (ISO 11172-3, 13818-3), ADTS (13818-7),
ASF, Matroska, and a few rarer ones.
"""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import gcs
from transforms.whole import written_whole

HEAD_BYTES = 8192  #: enough for two frames of any bit rate of MPEG audio or ADTS

_EXTENSIONS = (
    "aac ac3 adts aif aifc aiff alac amr ape asf au bwf caf dff dsf dts eac3 f4a flac m4a m4b m4p mka mkv mov mp1 mp2 "
    "mp3 mp4 mpc mpga oga ogg ogx opus rf64 snd spx tak tta w64 wav wave weba webm wma wv 3gp"
)
AUDIO_EXTENSIONS = frozenset(_EXTENSIONS.split())

_STILL_PICTURES = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_MAGIC = (
    b"fLaC",
    b"OggS",
    b"caff",
    b"wvpk",
    b"MAC ",
    b"MPCK",
    b"MP+",
    b"TTA1",
    b"tBaK",
    b"DSD ",
    b".snd",
    b"#!AMR",
    _ASF,
    _W64,
)

# kbit/s by (version, layer) and index: ISO 11172-3 section 2.4.2.3, ISO 13818-3 section 2.4.2.3
_KBPS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATE_HZ = (44100, 48000, 32000)


def has_audio_extension(name: str) -> bool:
    """Whether the name ends as audio does.

    >>> has_audio_extension("01 Intro.FLAC"), has_audio_extension("cover.jpg"), has_audio_extension(".mp3")
    (True, False, False)
    """
    stem, dot, extension = name.rpartition(".")
    return bool(dot and stem) and extension.lower() in AUDIO_EXTENSIONS


def is_audio(head: bytes, size_bytes: int | None = None) -> bool:
    """Whether a file that begins with `head` is in a format that can hold audio.

    MPEG audio and ADTS have a mark of 11 or 12 bits only, which chance and UTF-16 text produce too: two frames in a row
    are asked for, or one that fills the file.

    Args:
        head: the file's first `HEAD_BYTES`, or all of it if it is shorter.
        size_bytes: size of the file; None if `head` is all of it.

    >>> is_audio(b"RIFF....WAVEfmt "), is_audio(b"RIFF....WEBPVP8 "), is_audio("text".encode("utf-16"))
    (True, False, False)
    """
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return head[8:12] == b"WAVE"
    if head[:4] in (b"FORM", b"FRM8"):
        return head[8:12] in (b"AIFF", b"AIFC") or head[12:16] == b"DSD "
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL_PICTURES
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return b"webm" in head[:64] or b"matroska" in head[:64]
    if head[:3] == b"ID3":
        return len(head) >= 10 and head[3] in (2, 3, 4) and all(byte < 0x80 for byte in head[6:10])
    return head.startswith(_MAGIC) or _is_framed(head, len(head) if size_bytes is None else size_bytes)


def _is_framed(head: bytes, size_bytes: int) -> bool:
    length = _frame_bytes(head)
    if not length:
        return False
    return size_bytes == length or _follows(head, length)


def _follows(head: bytes, length: int) -> bool:
    """Whether a frame of the same kind begins at `length`."""
    return head[1:2] == head[length + 1 : length + 2] and _frame_bytes(head[length:]) > 0


def _frame_bytes(head: bytes) -> int:
    """Length of the MPEG audio or ADTS frame that begins here, 0 if none does."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    return _adts_bytes(head) if head[1] & 0xF6 == 0xF0 else _mpeg_bytes(head)


def _adts_bytes(head: bytes) -> int:
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if (head[2] >> 2) & 15 <= 12 and length > 7 else 0


def _mpeg_bytes(head: bytes) -> int:
    version = {0: 2.5, 2: 2, 3: 1}.get((head[1] >> 3) & 3)
    layer = 4 - ((head[1] >> 1) & 3)
    kbps_index, rate_index, padding = head[2] >> 4, (head[2] >> 2) & 3, (head[2] >> 1) & 1
    if version is None or layer == 4 or kbps_index in (0, 15) or rate_index == 3:
        return 0
    rate_hz = _MPEG_RATE_HZ[rate_index] / {1: 1, 2: 2, 2.5: 4}[version]
    bit_hz = 1000 * _KBPS[min(2, int(version)), layer][kbps_index]
    if layer == 1:
        return 4 * (int(12 * bit_hz / rate_hz) + padding)
    samples = 576 if layer == 3 and version > 1 else 1152
    return int(samples / 8 * bit_hz / rate_hz) + padding


def read_head(path: str) -> bytes:
    """The first bytes of a local file; what is no file any more (a FIFO put in its place) does not block.

    Raises:
        OSError: if it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, HEAD_BYTES)
    finally:
        os.close(descriptor)


class Verdicts:
    """What first bytes said in earlier runs: URI -> (revision, whether it is audio)."""

    def __init__(self, known: dict[str, tuple[str, bool]] | None = None) -> None:
        self._known = known or {}
        self.changed = False  #: whether anything was learned since loading

    def get(self, uri: str, revision: str) -> bool | None:
        """The verdict on this revision, None if there is none."""
        known = self._known.get(uri)
        return known[1] if known and known[0] == revision else None

    def put(self, uri: str, revision: str, audio: bool) -> None:
        """Remembers a verdict."""
        self._known[uri] = (revision, audio)
        self.changed = True

    @classmethod
    def load(cls, path: str) -> Verdicts:
        """From a Parquet file, local or gs://; empty if it does not exist."""
        if not gcs.exists(path):
            return cls()
        with gcs.open_binary(path) as file:
            table = pq.read_table(file)
        columns = (table.column(name).to_pylist() for name in ("uri", "revision", "audio"))
        return cls({uri: (revision, audio) for uri, revision, audio in zip(*columns, strict=True)})

    def save(self, path: str) -> None:
        """To a Parquet file, local or gs://, whole or not at all."""
        columns = {
            "uri": pa.array(self._known, pa.string()),
            "revision": pa.array((revision for revision, _ in self._known.values()), pa.string()),
            "audio": pa.array((audio for _, audio in self._known.values()), pa.bool_()),
        }
        with written_whole(path) as scratch:
            pq.write_table(pa.table(columns), scratch)
        self.changed = False
