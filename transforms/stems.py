"""Stems as files: where they lie, how they are encoded, and what the rows tell of them.

Conventions. OUTPUT/stems/MODEL/VERSION/TRACK/TOKEN/STEM.FORMAT, written whole or not at all. Track ids are hostile
input, tokens hold slashes, and cards may be anybody's: all become names that stay within their folder, cannot clash,
and can still be read.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from models.audio import converted
from models.encode import Encoder
from models.formats import AudioError
from models.stems import Levels, split
from models.windows import FloatArray
from transforms import gcs
from transforms.errors import RunError, TrackError
from transforms.records import Task
from transforms.stem_files import FOLDER, unfinished_folder
from transforms.stem_options import StemOptions
from transforms.stored import crc32c_of
from transforms.whole import UploadError, written_whole

Pairs = Callable[[], Iterator[tuple[FloatArray, FloatArray]]]  # blocks of mixture and vocals, from the start
MOST_NAME_BYTES = 100
WAV_BYTES = 1 << 32  # beyond, RF64
#: Tokens (hexadecimal, base64) have none of these themselves, and nobody decodes them in a URL, as some do %2F.
TOKEN_NAMES = str.maketrans({":": "_", "/": ".", "+": "~"})
MP3_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC_HZ = (*MP3_HZ, 64_000, 88_200, 96_000)
LOSSY: dict[str, tuple[str, tuple[int, ...], int]] = {  # codec, rates in Hz, bit/s for stereo
    "mp3": ("mp3", MP3_HZ, 256_000),
    "opus": ("opus", (48_000,), 160_000),
    "m4a": ("aac", AAC_HZ, 256_000),
}


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How stems are encoded: a codec of models/encode.py, its rate, and its resolution."""

    encoder: str
    codec: str
    sample_rate_hz: int
    bits: int | None = None
    bit_rate: int | None = None

    @property
    def grid_bits(self) -> int:
        """Of the grid to which samples are brought."""
        return self.bits or 24


def coding_of(format_: str, sample_rate_hz: int, channels: int, frames: int, source_bits: int | None) -> Coding:
    """How stems of a recording are encoded.

    Args:
        source_bits: resolution of a lossless source; None for a lossy one, whose samples have no grid.
    """
    if format_ in LOSSY:
        codec, rates, bit_rate = LOSSY[format_]
        rate_hz = min((rate for rate in rates if rate >= sample_rate_hz), default=rates[-1])
        # Encoders refuse such bit rates at low rates: they choose for themselves there.
        asked = bit_rate * channels // 2 if rate_hz >= 32_000 else None
        return Coding(encoder=codec, codec=codec, sample_rate_hz=rate_hz, bit_rate=asked)
    bits = 16 if source_bits is not None and source_bits <= 16 else 24
    if format_ == "flac":
        return Coding(
            encoder="flac" if bits == 16 else "flac24", codec="flac", sample_rate_hz=sample_rate_hz, bits=bits
        )
    long = frames * channels * bits // 8 >= WAV_BYTES - 4096
    encoder = ("rf64" if bits == 16 else "rf64_s24le") if long else f"pcm_s{bits}le"
    return Coding(encoder=encoder, codec=f"pcm_s{bits}le", sample_rate_hz=sample_rate_hz, bits=bits)


def folder_of(output: str, task: Task, track_id: str, content_token: str) -> str:
    """Where the stems of a track lie."""
    token = _encoded(content_token.translate(TOKEN_NAMES))
    parts = (_encoded(task.model_name), _encoded(task.model_version), _safe(track_id), token)
    return "/".join([output.rstrip("/"), FOLDER, *parts])


def _encoded(name: str) -> str:
    """A name that is one part of a path, and no other's.

    >>> _encoded("band-1.0"), _encoded("a/b"), _encoded("..")
    ('band-1.0', 'a%2Fb', '%2E%2E')
    """
    coded = quote(name, safe="=", errors="surrogateescape")
    return coded if coded.strip(".") else coded.replace(".", "%2E")


def _safe(track_id: str) -> str:
    """A name for a track id that is one part of a path, short, and no other id's: what can be read, and a digest.

    >>> _safe("../Björk/Jóga.flac")
    'Bjork_Joga.flac-1ffb61009b340d1a'
    """
    digest = hashlib.sha256(track_id.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    plain = unicodedata.normalize("NFKD", track_id)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    words = re.sub(r"[^\w.-]+", "_", plain).strip("._-")
    short = words.encode("utf-8", "ignore")[:MOST_NAME_BYTES].decode("utf-8", "ignore").strip("._-")
    return f"{short}-{digest}" if short else digest


def write_stems(
    pairs: Pairs,
    levels: Levels,
    coding: Coding,
    options: StemOptions,
    place: Callable[[str], str],
    own: Any,
    scratch_dir: str | None = None,
) -> list[dict[str, Any]]:
    """Writes the stems that are asked for; what their rows tell, without the stamp.

    Args:
        place: the path for a file name, local or gs://.
        own: the recording's samples: their rate, channels and number.
        scratch_dir: where a stem lies until it is uploaded; the system's temporary folder if None.

    Raises:
        TrackError: if the codec cannot hold the recording, or (transient) an upload fails.
        RunError: if there is no room, no permission, or no such bucket.
    """
    gain = levels.gain(coding.grid_bits)
    common = {
        "codec": coding.codec,
        "sample_rate_hz": coding.sample_rate_hz,
        "channels": own.channels,
        "bits_per_sample": coding.bits,
        "frames": own.frames,
        "gain_db": _decibels(gain) or 0.0,
        "voice_share": levels.voice_share,
    }
    written = []
    for name, file_name in zip(options.stems, options.file_names, strict=True):
        path = place(file_name)
        facts = _write(path, _stem(pairs, name, gain, coding), coding, own, scratch_dir)
        levels_db = {"peak_dbfs": _decibels(levels.peaks[name] * gain), "rms_dbfs": _decibels(levels.rms[name] * gain)}
        written.append({"stem": name, "uri": path, **common, **facts, **levels_db})
    return written


def _stem(pairs: Pairs, name: str, gain: float, coding: Coding) -> Iterator[FloatArray]:
    for mixture, vocals in pairs():
        yield split(mixture, vocals, gain, coding.grid_bits)[name]


def _write(
    path: str, blocks: Iterator[FloatArray], coding: Coding, own: Any, scratch_dir: str | None
) -> dict[str, Any]:
    try:
        with written_whole(path, scratch_dir if gcs.is_gcs(path) else unfinished_folder(path)) as scratch:
            with Encoder(
                scratch, coding.sample_rate_hz, own.channels, codec=coding.encoder, bit_rate=coding.bit_rate
            ) as encoder:
                for block in converted(blocks, own.sample_rate_hz, coding.sample_rate_hz, own.channels):
                    encoder.write(block)
            return _settled(scratch)
    except AudioError as error:
        advice = "flac holds up to 8 channels, wav any rate: --stem_format=wav"
        raise TrackError("stems", error.reason, error.message, advice) from error
    except UploadError as error:
        raise TrackError("stems", "network", error.message, error.advice, transient=True) from error
    except OSError as error:
        advice = "what was finished is kept; make room, or see who may write there, and run the same command again"
        raise RunError(f"cannot write {path}: {error.strerror or error}", advice) from error


def _settled(path: str) -> dict[str, Any]:
    """Size and checksum of a file that is brought to the disk: a row that tells of it must not outlast it."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return {"size_bytes": os.path.getsize(path), "crc32c": crc32c_of(file)}


def _decibels(amplitude: float) -> float | None:
    return float(20 * np.log10(amplitude)) if amplitude > 0 else None
