"""Damage that MP3 decoders pass over: bits, frames in the wrong place, frames that are missing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from models import audio
from models.degrade.coded import packet_spans
from models.mp3_bits import damaged_granules
from models.mp3_side import form_of, read_side
from tests import signals

RATE = 44100
PACKET = 1152
SETTINGS: list[tuple[int, str, dict[str, str]]] = [
    (44100, "stereo", {"b": "128000"}),
    (44100, "stereo", {"b": "320000", "joint_stereo": "0"}),
    (48000, "stereo", {"global_quality": "236", "flags": "+qscale"}),
    (44100, "mono", {"b": "64000"}),
    (22050, "stereo", {"b": "64000"}),
    (8000, "mono", {"b": "16000"}),
    (32000, "stereo", {"b": "160000", "reservoir": "0"}),
    (24000, "stereo", {"b": "48000", "abr": "1"}),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Six seconds of noisy music, 192 kbit/s, stereo."""
    return encoded(tmp_path_factory.mktemp("mp3") / "whole.mp3", RATE, "stereo", {"b": "192000"})


class TestSound:
    @pytest.mark.parametrize(("rate_hz", "layout", "options"), SETTINGS)
    def test_files_have_no_damage(self, rate_hz: int, layout: str, options: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "sound.mp3"
        content = encoded(path, rate_hz, layout, options)
        assert facts_of(path).damaged == ()
        assert not granules_of(path).any()
        path.write_bytes(content + b"TAG" + bytes(125) + content)  # joined, each with its tags
        joined = facts_of(path)
        assert (joined.damaged, joined.damaged_packets) == ((), 0)

    @pytest.mark.parametrize("seed", range(4))
    def test_a_file_that_begins_in_the_middle_of_another(self, whole: bytes, seed: int, tmp_path: Path) -> None:
        """Its first frames draw on bytes that are not there."""
        path = tmp_path / "cut.mp3"
        path.write_bytes(whole)
        spans = packet_spans(path, len(whole))
        path.write_bytes(whole[spans[40 + seed][0] :])
        assert facts_of(path).damaged == ()
        assert not granules_of(path).any()

    def test_bits_left_over_in_all_granules_are_the_encoders_way(self, tmp_path: Path) -> None:
        path = tmp_path / "stuffed.mp3"
        content = bytearray(encoded(path, RATE, "mono", {"b": "320000", "reservoir": "0"}, noise=0.0))
        for start, _ in packet_spans(path, len(content))[1:]:
            at = start * 8 + 32 + 18 + 59  # part2_3_length of the second granule
            length = field(content, at, 12) + 3
            put(content, at, 12, length)
        path.write_bytes(content)
        assert granules_of(path).sum() == 0
        assert facts_of(path).damaged == ()


class TestDamage:
    @pytest.mark.parametrize("seed", range(3))
    def test_what_is_heard_stays_what_libav_makes_of_it(self, whole: bytes, seed: int, tmp_path: Path) -> None:
        path = tmp_path / "bits.mp3"
        path.write_bytes(bits_turned(whole, 20, np.random.default_rng(seed)))
        samples, facts = audio.read(path)
        with av.open(str(path)) as container:
            plain = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).T
        assert facts.damaged
        np.testing.assert_array_equal(samples[: len(plain)], plain[: len(samples)])

    def test_bits_turned_over_are_told_where_they_are_heard(self, whole: bytes, tmp_path: Path) -> None:
        path = tmp_path / "bits.mp3"
        path.write_bytes(whole)
        reference, _ = audio.read(path)
        path.write_bytes(bits_turned(whole, 8, np.random.default_rng(5)))
        samples, facts = audio.read(path)
        differs = np.abs(samples - reference).max(axis=1) > 0.02 * reference.std()
        told = marked(facts, len(samples))
        assert differs[told].any()
        assert (differs & told).sum() > 0.7 * differs.sum()  # signs turned over are heard, but told by nothing
        assert told.sum() < differs.sum() + 16 * 2 * PACKET

    @pytest.mark.parametrize("swapped", [True, False])
    def test_frames_in_the_wrong_place_or_missing(self, whole: bytes, swapped: bool, tmp_path: Path) -> None:
        path = tmp_path / "frames.mp3"
        path.write_bytes(whole)
        frames = [whole[a:b] for a, b in packet_spans(path, len(whole))]
        if swapped:
            frames[100], frames[130] = frames[130], frames[100]
        else:
            del frames[100]
        path.write_bytes(b"".join(frames))
        places = [(100, 130), (100,)][not swapped]
        facts = facts_of(path)
        assert facts.damaged_packets == 0  # libav decodes all of it
        for place in places:
            at_s = (place * PACKET - 1105) / RATE  # the encoder's delay is left out
            assert any(start_s - 0.03 <= at_s <= end_s + 0.03 for start_s, end_s in facts.damaged)
        assert sum(end_s - start_s for start_s, end_s in facts.damaged) < 0.2 * len(places)

    @pytest.mark.parametrize("seed", range(6))
    def test_any_bytes_end(self, seed: int, tmp_path: Path) -> None:
        """Side information that claims what it likes leads nowhere beyond the bytes that are there."""
        rng = np.random.default_rng(seed)
        head = b"\xff\xfb\xb0\x44" if seed % 2 else b"\xff\xf3\x88\xc4"
        frames = [head + rng.bytes(int(rng.integers(0, 622))) for _ in range(40)] + [b"", b"\xff"]
        form = form_of(head)
        assert form is not None
        found = damaged_granules(iter(frames), form)
        assert found.shape == (42, form.granules)


def test_stream_of_no_frames() -> None:
    form = form_of(b"\xff\xfb\xb0\x44")
    assert form is not None
    assert damaged_granules(iter([]), form).shape == (0, 2)
    assert not read_side([b"junk"], form).valid.any()


def encoded(path: Path, rate_hz: int, layout: str, options: dict[str, str], noise: float = 0.05) -> bytes:
    """Music under noise, six seconds, as MP3 by LAME."""
    channels = 2 if layout == "stereo" else 1
    wave = signals.music(6.0, rate_hz)[:, :channels]
    wave = wave + noise * np.random.default_rng(1).standard_normal(wave.shape).astype(np.float32)
    with av.open(str(path), "w", format="mp3") as target:
        stream = target.add_stream("libmp3lame", rate=rate_hz, layout=layout, options=options)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), "fltp", layout)
        frame.sample_rate = rate_hz
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path.read_bytes()


def facts_of(path: Path) -> audio.Decoded:
    return audio.read(path)[1]


def granules_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    form = form_of(frames[1])
    assert form is not None
    return damaged_granules(iter(frames), form)


def bits_turned(whole: bytes, places: int, rng: np.random.Generator) -> bytes:
    """Ten bits within 100 bytes at each of `places`; headers are spared."""
    content = bytearray(whole)
    for at in rng.integers(8000, len(whole) - 4000, places):
        for place in rng.integers(at, at + 100, 10):
            if 0xFF not in whole[place - 36 : place + 1]:
                content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def marked(facts: audio.Decoded, frames: int) -> np.ndarray:
    told = np.zeros(frames, bool)
    for start_s, end_s in facts.damaged:
        told[round(start_s * RATE) : round(end_s * RATE)] = True
    return told


def field(content: bytearray, at: int, bits: int) -> int:
    return sum((content[(at + i) // 8] >> (7 - (at + i) % 8) & 1) << (bits - 1 - i) for i in range(bits))


def put(content: bytearray, at: int, bits: int, value: int) -> None:
    for i in range(bits):
        byte, shift = (at + i) // 8, 7 - (at + i) % 8
        content[byte] = content[byte] & ~(1 << shift) | (value >> (bits - 1 - i) & 1) << shift
