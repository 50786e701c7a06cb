"""The demonstration catalogue: a dozen and a half short tracks, each with what a scan must find out about it.

Conventions. Samples are float [frames, channels], full scale +-1.0. Loudness is set by construction and measured with
FFmpeg's ebur128, not with songscan's own measure. The samples are the same on every machine; the bytes of Ogg files are
not (their streams get random serial numbers). Faults are planted one to a track.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from scipy.optimize import brentq

from models import audio
from pipelines.demo_music import Piece, Signal, loudness_lufs, perform

ARTIST = "The Seeded Band"
GAP_S = (5.0, 11.0)
HUM_HZ = 50.0
NEGLIGIBLE_DB = 0.02
CUT_SHARE = 0.5  # of the bytes of the truncated file
LYRICS = "[00:00.00]Eight beats along the line\n[00:04.80]One beat to breathe\n[00:09.60]And round again\n"
NOTES = "This is the demonstration catalogue of songscan: every sound in it is synthesised.\n"
NOT_SOUND = "This is no MP3: somebody saved a web page under the name of a song.\n" * 20


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a scan must find out about one file; what does not apply is None."""

    name: str  #: relative to the folder
    outcome: str  #: written, dead_lettered (reason `not_audio`), not_audio (counted and left)
    title: str | None = None
    artist: str | None = None
    lyrics: str | None = None
    container: str | None = None
    codec: str | None = None
    lossless: bool | None = None
    bits_per_sample: int | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    duration_s: float | None = None  #: to the sample if lossless, else within 0.1 s
    claimed_duration_s: float | None = None  #: of the truncated file only; likewise
    integrated_lufs: float | None = None  #: within 0.1
    findings: frozenset[str] = frozenset()  #: parts of the score that must be there, and no others
    hum_hz: float | None = None
    false_stereo: bool = False
    missing_channels: tuple[int, ...] = ()
    silence_s: tuple[float, float] | None = None  #: from, to; within 0.3 s, for music may pause beside it


@dataclass(frozen=True)
class _Format:
    """A file format: its encoder in models.encode, and what a scan calls it."""

    encoder: str
    extension: str
    container: str
    codec: str
    bits_per_sample: int | None = None  #: of lossless formats
    bit_rate: int | None = None


_WAV = _Format("wav", "wav", "wav", "pcm_s16le", 16)
_WAV_FLOAT = _Format("pcm_f32le", "wav", "wav", "pcm_f32le", 32)
_FLAC = _Format("flac", "flac", "flac", "flac", 16)
_FLAC_24 = _Format("flac24", "flac", "flac", "flac", 24)
_AIFF = _Format("aiff", "aiff", "aiff", "pcm_s16be", 16)
_ALAC = _Format("alac", "m4a", "mov", "alac", 24)
_MP3 = _Format("mp3", "mp3", "mp3", "mp3", None, 192_000)
_VORBIS = _Format("vorbis", "ogg", "ogg", "vorbis")
_OPUS = _Format("opus", "opus", "ogg", "opus", None, 256_000)
_AAC = _Format("aac", "m4a", "mov", "aac", None, 160_000)

Fault = Callable[[Signal, int], Signal]


@dataclass(frozen=True)
class _Track:
    """How a track is made."""

    title: str
    format: _Format
    sample_rate_hz: int
    piece: Piece
    lufs: float
    channels: int = 2
    fault: str = ""
    findings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{'with faults/' if self.fault else ''}{self.title}.{self.format.extension}"


_TRACKS = (
    _Track("Morning Train", _WAV, 44100, Piece(1, 14, 100), -16.0),
    _Track("Paper Lanterns", _WAV_FLOAT, 48000, Piece(2, 13, 108, 60), -17.0),
    _Track("Glass Mountain", _FLAC_24, 96000, Piece(3, 10, 112, 55), -18.0),
    _Track("Night Bus", _MP3, 44100, Piece(4, 12, 96, 58), -16.5),
    _Track("Slow River", _VORBIS, 32000, Piece(5, 12, 92, 53), -19.0),
    _Track("Blue Kitchen", _OPUS, 48000, Piece(6, 11, 116, 62), -17.5),
    _Track("First Snow", _AAC, 44100, Piece(7, 11, 104, 59), -18.5),
    _Track("Orchard", _ALAC, 44100, Piece(8, 12, 110, 56), -20.0, 1),
    _Track("Long Distance", _WAV, 8000, Piece(9, 12, 98, 64), -19.5, 1, findings=("bandwidth",)),
    _Track("Red Bicycle", _AIFF, 22050, Piece(10, 12, 118, 61), -18.0, 1, findings=("bandwidth",)),
    _Track("Too Hot", _WAV, 44100, Piece(11, 12, 106), -9.0, 2, "clipped", ("clipping",)),
    _Track("Old Amplifier", _FLAC, 44100, Piece(12, 13, 102, 60), -18.0, 2, "hum", ("hum",)),
    _Track("Narrow Street", _FLAC, 44100, Piece(13, 12, 114, 58), -17.0, 2, "false_stereo", ("channels",)),
    _Track("Lost Beat", _WAV, 48000, Piece(14, 16, 100, 55), -18.0, 2, "gap", ("silence",)),
    _Track("Whisper", _FLAC_24, 48000, Piece(15, 12, 94, 62), -46.0, 2, "quiet"),
    _Track("One Ear", _WAV, 44100, Piece(16, 12, 108, 57), -20.0, 2, "missing_channel", ("channels",)),
    _Track("Second Hand", _FLAC, 44100, Piece(17, 14, 110, 59), -16.0, 2, "from_mp3", ("lossy_source",)),
    _Track("Cut Short", _MP3, 44100, Piece(18, 16, 104, 60), -17.0, 2, "truncated", ("damage",)),
)
_LEFT = ("Morning Train.lrc", "cover.jpg", "read me.txt")
_NO_SOUND = "with faults/broken.mp3"


def make_demo(folder: str | os.PathLike[str]) -> list[Expected]:
    """Makes what is missing of the demonstration catalogue; nothing if it is complete.

    Returns:
        What a scan of `folder` must find.
    """
    makers: dict[str, Callable[[Path], None]] = {track.name: _maker(track) for track in _TRACKS}
    makers |= {
        "Morning Train.lrc": lambda path: _write_text(path, LYRICS),
        "cover.jpg": _write_cover,
        "read me.txt": lambda path: _write_text(path, NOTES),
        _NO_SOUND: lambda path: _write_text(path, NOT_SOUND),
    }
    target = Path(folder)
    missing = [name for name in makers if not (target / name).exists()]
    if missing:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".songscan-demo-", dir=target.parent) as made:
            for name in missing:
                path = Path(made, name)
                path.parent.mkdir(exist_ok=True)
                makers[name](path)
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target / name)
    return expectations()


def expectations() -> list[Expected]:
    """What a scan of the catalogue must find."""
    left = [Expected(name=name, outcome="not_audio") for name in _LEFT]
    return [*map(_expected, _TRACKS), Expected(name=_NO_SOUND, outcome="dead_lettered"), *left]


def _expected(track: _Track) -> Expected:
    whole_s, fault = track.piece.duration_s, track.fault
    return Expected(
        name=track.name,
        outcome="written",
        title=track.title,
        artist=ARTIST,
        lyrics=LYRICS if track is _TRACKS[0] else None,
        container=track.format.container,
        codec=track.format.codec,
        lossless=track.format.bits_per_sample is not None,
        bits_per_sample=track.format.bits_per_sample,
        sample_rate_hz=track.sample_rate_hz,
        channels=track.channels,
        duration_s=CUT_SHARE * whole_s if fault == "truncated" else whole_s,
        claimed_duration_s=whole_s if fault == "truncated" else None,
        integrated_lufs=track.lufs,
        findings=frozenset(track.findings),
        hum_hz=HUM_HZ if fault == "hum" else None,
        false_stereo=fault == "false_stereo",
        missing_channels=(1,) if fault == "missing_channel" else (),
        silence_s=GAP_S if fault == "gap" else None,
    )


# Making ---------------------------------------------------------------------------------------------------------


def _maker(track: _Track) -> Callable[[Path], None]:
    return lambda path: _make(track, path)


def _make(track: _Track, path: Path) -> None:
    samples = perform(track.piece, track.sample_rate_hz)  # [frames, 2]
    if track.channels == 1:
        samples = samples.mean(axis=1, keepdims=True)
    if track.fault in _FAULTS:
        samples = _FAULTS[track.fault](samples, track.sample_rate_hz)
    levelled = _levelled(track, samples)
    _encode(track, path, levelled)
    if track.format.bits_per_sample is None:  # a lossy encoder may turn the level down, LAME by half a decibel
        heard, _ = audio.read(path)
        gain_db = track.lufs - loudness_lufs(heard, track.sample_rate_hz)
        if abs(gain_db) > NEGLIGIBLE_DB:
            _encode(track, path, levelled * 10 ** (gain_db / 20))


def _encode(track: _Track, path: Path, samples: Signal) -> None:
    audio.encode(
        path,
        samples,
        track.sample_rate_hz,
        codec=track.format.encoder,
        bit_rate=track.format.bit_rate,
        title=track.title,
        artist=ARTIST,
    )
    if track.fault == "truncated":
        data = path.read_bytes()
        path.write_bytes(data[: round(CUT_SHARE * len(data))])


def _levelled(track: _Track, samples: Signal) -> Signal:
    """The samples at the track's loudness; clipped, if that is its fault, as hard as its loudness asks for."""
    if track.fault != "clipped":
        gain_db = track.lufs - loudness_lufs(samples, track.sample_rate_hz)
        return np.asarray(samples * 10 ** (gain_db / 20))

    def excess_lu(drive_db: float) -> float:
        return loudness_lufs(np.clip(samples * 10 ** (drive_db / 20), -1, 1), track.sample_rate_hz) - track.lufs

    drive_db = brentq(excess_lu, 0.0, 30.0, xtol=0.01)
    return np.asarray(np.clip(samples * 10 ** (drive_db / 20), -1, 1))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write_cover(path: Path) -> None:
    """A picture: two colours running into each other."""
    ramp = np.linspace(40, 220, 96).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], np.uint8(90), ramp[None, ::-1]), axis=-1)  # [96, 96, 3]
    with av.open(str(path), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode(None))


# Faults ---------------------------------------------------------------------------------------------------------


def _add_hum(samples: Signal, rate_hz: int) -> Signal:
    time_s = np.arange(len(samples)) / rate_hz
    levels = {1: -34, 2: -42, 3: -38, 5: -44, 7: -50}  # dB below the loudest sample
    hum = sum(10 ** (db / 20) * np.sin(2 * np.pi * HUM_HZ * k * time_s + k) for k, db in levels.items())
    return np.asarray(samples + np.asarray(hum)[:, None])


def _one_signal_twice(samples: Signal, rate_hz: int) -> Signal:
    return np.asarray(samples.mean(axis=1, keepdims=True).repeat(2, axis=1))


def _silence_right(samples: Signal, rate_hz: int) -> Signal:
    return samples * [1, 0]


def _cut_a_gap(samples: Signal, rate_hz: int) -> Signal:
    time_s = np.arange(len(samples)) / rate_hz
    outside_s = np.maximum(GAP_S[0] - time_s, time_s - GAP_S[1])
    return np.asarray(samples * np.clip(outside_s / 0.01, 0, 1)[:, None])


def _through_mp3(samples: Signal, rate_hz: int) -> Signal:
    with tempfile.TemporaryDirectory(prefix="songscan-demo-") as folder:
        path = os.path.join(folder, "once.mp3")
        audio.encode(path, 0.7 * samples, rate_hz, codec="mp3", bit_rate=128_000)
        decoded, _ = audio.read(path)
    return np.asarray(decoded[: len(samples)], np.float64)


_FAULTS: dict[str, Fault] = {
    "hum": _add_hum,
    "false_stereo": _one_signal_twice,
    "missing_channel": _silence_right,
    "gap": _cut_a_gap,
    "from_mp3": _through_mp3,
}
