"""Codec damage: the clean audio is encoded, its bit stream damaged, and decoded as a scan decodes it.

Conventions. Codecs: MP3 (128 to 320 kbit/s), AAC in ADTS and in M4A, Vorbis and Opus in Ogg, of those that hold the
rate and the channels. 1, 1 to 3 or 2 to 8 packets in a row are hit at a place (faint, middle, strong), at one place or
more. Damage is one of: bits turned over, a span of zeros or of garbage, packets that change places, packets lost. In
MP3, ADTS and M4A it is done to the file; in Ogg to packets, then put into pages that are sound (a broken sender), or to
the file, whose pages have checksums. A lost packet of MP3 or ADTS pulls the rest forward (`moved_from_s`). `reference`
is what the undamaged file decodes to. Events are where both differ by more than FLOOR of its RMS, joined over JOINS_S;
outside of them the samples are those of `reference`. What songscan's decoding tells of the file stands in `told`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from models import audio
from models.degrade.event import Degraded, Event, FloatArray, Rng, apart, between, events_of, rms, runs
from models.formats import AudioError

FLOOR = 0.02
HEARD = 0.2  #: the greatest difference, of the RMS: what is below is no defect yet, and other packets are hit
JOINS_S = 0.06
PLACES_PER_S = (0.0, 0.1, 0.3)  #: on average, beyond the first
MOST_PLACES = 8
PACKETS = (1, 2, 5)
KINDS = ("bits", "bits", "zeros", "garbage", "swap", "drop")
MP3_RATES_HZ = (16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES_HZ = (16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
OPUS_CHANNELS = (1, 2, 3, 4, 6, 8)
HEADER_BYTES = 9  #: of a packet of MP3 or ADTS; spared as a rule, for without it the packet is lost
LONGEST_MOVED_S = 1.0  #: what moves at two places is right between them, but elsewhere: other packets are hit
#: Decoders draw PNS noise from a generator that goes on: after an error all of it would differ, and be no defect.
ENCODERS = {"adts": "aac_without_pns", "aac": "aac_without_pns"}
ATTEMPTS = 16


@dataclass(frozen=True)
class Coded:
    """The undamaged file."""

    path: Path
    codec: str
    rate_hz: int  #: in the file


def codec_damage(samples: FloatArray, rate_hz: int, strength: float, rng: Rng) -> Degraded:
    """Damaged packets of a codec drawn by chance.

    Raises:
        RuntimeError: if ATTEMPTS damages one after the other could not be heard, or nothing was left by them.
    """
    with tempfile.TemporaryDirectory() as folder:
        coded = encoded(samples, rate_hz, Path(folder, "whole"), rng)
        reference, _ = decoded(coded.path, coded.rate_hz, rate_hz)
        for _ in range(ATTEMPTS):
            target = Path(folder, "damaged")
            _damage(coded, target, len(samples) / rate_hz, strength, rng)
            try:
                damaged, told_s = decoded(target, coded.rate_hz, rate_hz)
            except (AudioError, OSError):
                continue  # nothing decodes: no recording with a defect, but none
            found = compared(reference, damaged, rate_hz)
            if found is not None:
                told = tuple(Event("codec_damage", *stretch) for stretch in told_s)
                return replace(found, told=told)
    raise RuntimeError(f"{ATTEMPTS} damages of {coded.codec} were not heard: is the excerpt all but silent?")


def encoded(samples: FloatArray, rate_hz: int, path: Path, rng: Rng) -> Coded:
    """`samples` in the file `path`, by a codec drawn from those that can hold them, at another rate if none can."""
    channels = samples.shape[1]
    codecs = ["mp3"] * 3 if channels <= 2 and rate_hz in MP3_RATES_HZ else []
    codecs += ["aac", "adts"] if channels in OPUS_CHANNELS and rate_hz in AAC_RATES_HZ else []
    codecs += ["vorbis"] if channels <= 2 and rate_hz <= 96000 else []
    codecs += ["opus"] if channels in OPUS_CHANNELS else []
    codec = str(rng.choice(codecs or ["aac"]))
    coded_hz = 48000 if codec == "opus" or not codecs else rate_hz
    kilobits = rng.choice([128, 160, 192, 256, 320] if coded_hz >= 32000 else [64, 96, 128])
    bit_rate = {"mp3": int(kilobits) * 1000, "vorbis": None}.get(codec, channels * int(rng.choice([48_000, 64_000])))
    fitting = np.clip(audio.resample(samples, rate_hz, coded_hz), -1, 1)
    audio.encode(path, fitting, coded_hz, codec=ENCODERS.get(codec, codec), bit_rate=bit_rate)
    if codec == "adts":
        rewrapped(path, path.with_suffix(".adts"), "adts", list)
        path = path.with_suffix(".adts")
    return Coded(path, codec, coded_hz)


def decoded(path: Path, coded_hz: int, rate_hz: int) -> tuple[FloatArray, tuple[tuple[float, float], ...]]:
    """The samples at `rate_hz`, within full scale, and the damaged stretches, seconds. Raises as audio.read."""
    samples, facts = audio.read(path)
    return np.clip(audio.resample(samples, coded_hz, rate_hz), -1, 1), facts.damaged


def rewrapped(source: Path, target: Path, container: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Copies the packets of `source`, changed, into a new file; an empty packet is left out, and its time stays."""
    with av.open(str(source)) as read, av.open(str(target), "w", format=container) as write:
        stream = write.add_stream_from_template(read.streams.audio[0])
        packets = [packet for packet in read.demux(read.streams.audio[0]) if packet.size]
        for packet, content in zip(packets, change([bytes(packet) for packet in packets]), strict=True):
            if content:
                made = av.Packet(content)
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.stream = packet.time_base, stream
                write.mux(made)


def _damage(coded: Coded, target: Path, length_s: float, strength: float, rng: Rng) -> None:
    kind = str(rng.choice(KINDS))
    places = min(1 + int(rng.poisson(between(strength, *PLACES_PER_S) * length_s)), MOST_PLACES)
    count = max(round(between(strength, *PACKETS)) + int(rng.integers(-1, 2)), 1)

    def change(contents: list[bytes]) -> list[bytes]:
        for _ in range(places):
            first = int(rng.integers(2, max(len(contents) - count - 2, 3)))
            _hit(contents, first, min(first + count, len(contents)), kind, rng)
        return contents

    if coded.codec in ("vorbis", "opus") and rng.random() < 0.5:
        rewrapped(coded.path, target, "ogg", change)
        return
    whole = coded.path.read_bytes()
    spans = packet_spans(coded.path, len(whole))
    if kind == "drop" and coded.codec not in ("mp3", "adts"):
        kind = "garbage"
    contents = change([whole[start:stop] for start, stop in spans])
    pieces, at = [], 0
    for (start, stop), content in zip(spans, contents, strict=True):
        pieces += [whole[at:start], content]
        at = stop
    target.write_bytes(b"".join([*pieces, whole[at:]]))


def packet_spans(path: Path, size: int) -> list[tuple[int, int]]:
    """Where packets lie in the file, first bytes and those behind; of Ogg slices, for pages hide them."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        if "ogg" in container.format.name:
            return [(at, at + 400) for at in range(size // 8, size - 400, 400)]
        return [(p.pos, p.pos + p.size) for p in container.demux(stream) if p.size and p.pos is not None]


def _hit(contents: list[bytes], first: int, stop: int, kind: str, rng: Rng) -> None:
    """Damages the packets `first` to `stop` in place."""
    if kind == "swap":
        other = int(rng.integers(max(first - 12, 0), max(first - 3, 1)))
        contents[first], contents[other] = contents[other], contents[first]
        return
    for at in range(first, stop):
        content = bytearray(contents[at])
        spared = HEADER_BYTES if rng.random() < 0.85 else 0
        if kind == "drop" or len(content) <= spared + 2:
            contents[at] = b""
            continue
        start = int(rng.integers(spared, len(content) - 1))
        end = int(rng.integers(start + 1, len(content) + 1))
        if kind == "bits":
            for place in rng.integers(spared, len(content), rng.integers(2, 30)):
                content[place] ^= 1 << int(rng.integers(8))
        else:
            content[start:end] = bytes(end - start) if kind == "zeros" else rng.bytes(end - start)
        contents[at] = bytes(content)


def compared(reference: FloatArray, damaged: FloatArray, rate_hz: int) -> Degraded | None:
    """The defect, from both decodes; None if it cannot be heard, is all that there is, or cannot be placed.

    Decodes of different lengths have the same beginning, and the same end, or an end that was trimmed otherwise.
    """
    common = min(len(reference), len(damaged))
    differs = np.abs(damaged[:common] - reference[:common]).max(axis=1)
    floor = FLOOR * rms(reference)
    spans = apart(runs(differs > floor), round(JOINS_S * rate_hz))
    if not spans or float(differs.max()) < HEARD * rms(reference):
        return None
    out, moved_from_s = np.array(damaged), None
    first, last = spans[0][0], _same_from(reference, damaged, floor)
    if len(reference) != len(damaged) and last - first < sum(stop - start for start, stop in spans):
        last = max(last, first + 1)
        spans, moved_from_s = [(first, last)], first / rate_hz
        out[:first], out[last:] = reference[:first], reference[last + len(reference) - len(damaged) :]
        if last - first > LONGEST_MOVED_S * rate_hz:
            return None
    else:
        out, reference = out[:common], reference[:common]
        inside = np.zeros(common, bool)
        for start, stop in spans:
            inside[start:stop] = True
        out[~inside] = reference[~inside]
    if sum(stop - start for start, stop in spans) > 0.8 * len(out):
        return None
    events = events_of("codec_damage", spans, rate_hz)
    return Degraded(samples=out, events=events, reference=reference, moved_from_s=moved_from_s)


def _same_from(reference: FloatArray, damaged: FloatArray, floor: float) -> int:
    """The frame of `damaged` from which on both are the same, if their ends lie upon each other."""
    common = min(len(reference), len(damaged))
    differs = np.abs(damaged[len(damaged) - common :] - reference[len(reference) - common :]).max(axis=1) > floor
    return len(damaged) - common + int(np.flatnonzero(differs)[-1]) + 1 if differs.any() else 0
