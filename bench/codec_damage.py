"""How well songscan tells where coded files are damaged: music is encoded, its bytes damaged, and both decoded.

Conventions. Damage is done to the bytes of files at places drawn by chance, and knows nothing of how songscan looks for
it; only `swap` and `drop` ask libav where packets lie. Truth is where the decode of the damaged file differs from that
of the sound one by more than FLOOR of its RMS, joined over JOIN_S; where packets were lost or came in, the rest is
compared at the place to which it moved, and the seam is damage too. What songscan tells are its events of the class
`codec_damage`, without a network. Counts are of segments of SEGMENT_S. Files of which
nothing decodes count for nothing.

    python -m bench.codec_damage FOLDER --seconds=12 --rounds=1
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from bench.table import table
from models import audio
from models.defects import Facts, damage
from models.event_metrics import Counts, segment_counts
from models.events import Event, merged, runs_of
from models.formats import AudioError

FloatArray = npt.NDArray[np.float32]
Rng = np.random.Generator

FLOOR = 0.02
JOIN_S = 0.06
SEGMENT_S = 0.1
HIT_EVERY_S = 3.0  #: so far apart are the places of one file, on average
BLOCK = 32  #: samples that are compared together
MOST_LAGS = 40  #: packets by which the rest of a file may move
SETTLED = 40  #: blocks that must agree before a piece counts as moved

#: Codec: container, encoder (none: models.encode has one), its options, rate of the file, packet in samples.
CODECS: dict[str, tuple[str, str, dict[str, str], int, int]] = {
    "mp3_128": ("mp3", "libmp3lame", {"b": "128000"}, 44100, 1152),
    "mp3_192": ("mp3", "libmp3lame", {"b": "192000", "joint_stereo": "0"}, 44100, 1152),
    "mp3_320": ("mp3", "libmp3lame", {"b": "320000"}, 44100, 1152),
    "mp3_v2": ("mp3", "libmp3lame", {"global_quality": "236", "flags": "+qscale"}, 44100, 1152),
    "mp3_64_22k": ("mp3", "libmp3lame", {"b": "64000"}, 22050, 576),
    "adts": ("adts", "aac", {"b": "128000", "aac_pns": "0"}, 44100, 1024),
    "m4a": ("ipod", "aac", {"b": "128000", "aac_pns": "0"}, 44100, 1024),
    "vorbis": ("vorbis", "", {}, 44100, 64),
    "opus": ("ogg", "libopus", {"b": "128000"}, 48000, 960),
    "flac": ("flac", "", {}, 44100, 4096),
}


def encoded(samples: FloatArray, path: Path, codec: str) -> None:
    """`samples` [frames, channels], at the codec's rate, into the file `path`."""
    container, encoder, options, rate_hz, _ = CODECS[codec]
    if not encoder:
        audio.encode(path, samples, rate_hz, codec=container)
        return
    with av.open(str(path), "w", format=container) as target:
        stream: Any = target.add_stream(encoder, rate=rate_hz, layout="stereo", options=options)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", "stereo")
        frame.sample_rate = rate_hz
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


# Damage ---------------------------------------------------------------------------------------------------------


def flipped(content: bytearray, at: int, rng: Rng) -> None:
    """One bit."""
    content[at] ^= 1 << int(rng.integers(8))


def burst(content: bytearray, at: int, rng: Rng) -> None:
    """Several bits in up to 300 bytes."""
    for place in rng.integers(at, min(at + 300, len(content)), int(rng.integers(3, 30))):
        content[place] ^= 1 << int(rng.integers(8))


def overwritten(content: bytearray, at: int, rng: Rng) -> None:
    """Garbage over 4 to 2000 bytes."""
    stop = min(at + _size(rng), len(content))
    content[at:stop] = rng.bytes(stop - at)


def zeroed(content: bytearray, at: int, rng: Rng) -> None:
    """Zeros over 4 to 2000 bytes."""
    stop = min(at + _size(rng), len(content))
    content[at:stop] = bytes(stop - at)


def deleted(content: bytearray, at: int, rng: Rng) -> None:
    """1 to 2000 bytes go."""
    del content[at : at + _size(rng)]


def inserted(content: bytearray, at: int, rng: Rng) -> None:
    """4 to 2000 bytes of garbage come in."""
    content[at:at] = rng.bytes(_size(rng))


def _size(rng: Rng) -> int:
    return round(float(np.exp(rng.uniform(np.log(4), np.log(2000)))))


Kind = Callable[[bytearray, int, Rng], None]
KINDS: dict[str, Kind] = {
    "flip": flipped,
    "burst": burst,
    "garbage": overwritten,
    "zeros": zeroed,
    "delete": deleted,
    "insert": inserted,
}
IN_PLACE = ("flip", "burst", "garbage", "zeros")  #: kinds that leave an M4A's index right
PACKETS = ("swap", "drop", "cut")  #: kinds that are done to whole packets, of codecs whose packets lie bare


def damaged(path: Path, codec: str, kind: str, places: int, rng: Rng) -> bytes:
    """The file `path` with damage in `places` places."""
    whole = path.read_bytes()
    with av.open(str(path)) as container:
        spans = [(p.pos, p.pos + p.size) for p in container.demux(audio=0) if p.size and p.pos is not None]
    if kind in PACKETS:
        return _packets_damaged(whole, spans, kind, places, rng)
    content, begins = bytearray(whole), sorted({start for start, _ in spans})  # of pages, where there are some
    # From behind, so that places in front stay what they are.
    for at in sorted(rng.integers(begins[2], begins[-1], places), reverse=True):
        KINDS[kind](content, int(at), rng)
    return bytes(content)


def _packets_damaged(whole: bytes, spans: list[tuple[int, int]], kind: str, places: int, rng: Rng) -> bytes:
    packets = [whole[a:b] for a, b in spans]
    for at in rng.integers(3, len(packets) - 3, places):
        if kind == "swap":
            other = int(np.clip(at + rng.choice([-9, -3, -1, 1, 2, 5]), 3, len(packets) - 3))
            packets[at], packets[other] = packets[other], packets[at]
        else:
            packets[at] = packets[at][: int(rng.integers(len(packets[at]) or 1))] if kind == "cut" else b""
    return b"".join([whole[: spans[0][0]], *packets, whole[spans[-1][1] :]])


# Truth ----------------------------------------------------------------------------------------------------------


class _Pieces:
    """Which samples of a decode are samples of the sound file's, moved by `lag`."""

    def __init__(self, reference: FloatArray, decoded: FloatArray, packet: int) -> None:
        self.floor = FLOOR * float(np.sqrt((reference**2).mean()))
        self.blocks = (len(decoded) - packet) // BLOCK  # of the encoder's padding, more or less is left at the end
        self.decoded = decoded[: self.blocks * BLOCK]
        self.margin = MOST_LAGS * packet + len(decoded)
        self.reference = np.pad(reference, ((MOST_LAGS * packet, self.margin), (0, 0)), constant_values=np.inf)
        self.offset = MOST_LAGS * packet
        self.lags = np.array([0] + [sign * k * packet for k in range(1, MOST_LAGS + 1) for sign in (1, -1)])
        self.known: dict[int, npt.NDArray[np.int64]] = {}

    def ahead(self, lag: int) -> npt.NDArray[np.int64]:
        """[blocks], how many blocks in a row agree from each on."""
        if lag not in self.known:
            moved = self.reference[self.offset + lag : self.offset + lag + len(self.decoded)]
            near = (np.abs(self.decoded - moved) <= self.floor).all(axis=1)
            good = near.reshape(self.blocks, BLOCK).all(axis=1)
            ends = np.append(np.flatnonzero(~good), len(good))
            self.known[lag] = ends[np.searchsorted(ends, np.arange(len(good)))] - np.arange(len(good))
        return self.known[lag]

    def better(self, lag: int, block: int) -> int:
        """Where the pieces go on from `block` on: the lag at which SETTLED blocks agree, `lag` itself if none does."""
        at = block * BLOCK
        here = self.decoded[at : at + BLOCK]
        there = self.reference[(self.offset + at + self.lags)[:, None] + np.arange(BLOCK)]
        for other in self.lags[(np.abs(there - here) <= self.floor).all(axis=(1, 2))].tolist():
            if other != lag and self.ahead(other)[block] >= min(SETTLED, self.blocks - block):
                return int(other)
        return lag


def differences(reference: FloatArray, decoded: FloatArray, packet: int, rate_hz: int) -> list[Event]:
    """Where `decoded` is no piece of `reference`, both [frames, channels]; pieces may have moved by whole packets."""
    pieces = _Pieces(reference, decoded, packet)
    bad = np.zeros(pieces.blocks, bool)
    lag = at = 0
    while at < pieces.blocks:
        if run := int(pieces.ahead(lag)[at]):
            at += run
            continue
        bad[at] = True  # the seam between two pieces is a block of damage too
        lag = pieces.better(lag, at)
        at += 1
    spans = [(start * BLOCK / rate_hz, stop * BLOCK / rate_hz) for start, stop in runs_of(bad)]
    return merged([Event("codec_damage", *span) for span in spans], JOIN_S)


# Measuring ------------------------------------------------------------------------------------------------------


def told(path: Path) -> tuple[FloatArray, list[Event]]:
    """The samples of `path`, and what songscan tells without a network. Raises as audio.read."""
    samples, decoded = audio.read(path)
    return samples, damage(Facts(damaged=decoded.damaged), len(samples) / decoded.info.sample_rate_hz)


def excerpts(folder: Path, seconds: float, rng: Rng) -> Iterator[tuple[str, FloatArray, int]]:
    """A piece of each file in `folder`, from a place drawn by chance: name, [frames, 2], rate."""
    for path in sorted(folder.iterdir()):
        samples, decoded = audio.read(path)
        rate_hz = decoded.info.sample_rate_hz
        length = round(seconds * rate_hz)
        start = int(rng.integers(max(len(samples) - length, 0) + 1))
        yield path.name, np.ascontiguousarray(audio.downmix(samples, 2)[start : start + length]), rate_hz


def measure(folder: Path, seconds: float, rounds: int, codecs: Iterable[str]) -> list[dict[str, Any]]:
    """A row for each codec and kind, and one for what is told of sound files."""
    rng = np.random.default_rng(0)
    counts: dict[tuple[str, str], Counts] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for _, samples, from_hz in excerpts(folder, seconds, rng):
            for codec in codecs:
                rate_hz = CODECS[codec][3]
                path = Path(scratch, codec)
                encoded(np.clip(audio.resample(samples, from_hz, rate_hz), -1, 1), path, codec)
                for kind, found in _trials(path, codec, rounds, rng):
                    counts[codec, kind] = counts.get((codec, kind), Counts()).plus(found)
    return [_row(*key, each) for key, each in counts.items()]


def _trials(path: Path, codec: str, rounds: int, rng: Rng) -> Iterator[tuple[str, Counts]]:
    """Kinds of damage with what was told of it; of the sound file, `sound`."""
    reference, alarms = told(path)
    rate_hz, packet = CODECS[codec][3:]
    duration_s = len(reference) / rate_hz
    yield "sound", segment_counts([], alarms, duration_s, SEGMENT_S)
    bare = codec.startswith("mp3") or codec == "adts"
    kinds = [*(IN_PLACE if codec == "m4a" else KINDS), *(PACKETS if bare else ())]
    for kind in kinds * rounds:
        target = path.with_suffix(".damaged")
        target.write_bytes(damaged(path, codec, kind, max(1, round(duration_s / HIT_EVERY_S)), rng))
        try:
            samples, events = told(target)
        except AudioError:
            continue
        truth = differences(reference, samples, packet, rate_hz)
        yield kind, segment_counts(truth, events, max(duration_s, len(samples) / rate_hz), SEGMENT_S)


def _row(codec: str, kind: str, counts: Counts) -> dict[str, Any]:
    scores = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    return {
        "codec": codec,
        "kind": kind,
        "segments": counts.hits + counts.misses,
        **scores,
        "alarms": counts.false_alarms,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--codecs", default=",".join(CODECS))
    arguments = parser.parse_args()
    rows = measure(arguments.folder, arguments.seconds, arguments.rounds, arguments.codecs.split(","))
    print(table(rows))


if __name__ == "__main__":
    main()
