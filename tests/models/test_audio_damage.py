"""Decoding of what is damaged, false or not audio: what can be heard is kept, in its place; the rest is named."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import mutagen.id3
import mutagen.mp4
import numpy as np
import pytest

from models import audio
from tests import signals
from tests.models.test_audio import lag, refusal
from tests.signals import FORMATS

INDEX_AT_THE_END = ("alac", "aac")  # half of such an M4A lacks the index and cannot be read by anybody


class TestDamage:
    @pytest.mark.parametrize("name", FORMATS)
    def test_half_a_file(self, name: str, tmp_path: Path) -> None:
        original = signals.music(6.0)
        path = signals.truncated(signals.write(tmp_path, name, original), 0.5)
        if name in INDEX_AT_THE_END:
            assert refusal(path).reason == "not_decodable"
            return
        samples, decoded = audio.read(path)
        assert len(samples) == pytest.approx(
            144000, rel=0.35 if FORMATS[name].container == "ogg" else 0.1
        )  # pages of a second
        assert lag(samples[:, 0], original[:, 0]) == 0
        if FORMATS[name].container == "ogg":  # nothing claims a length, but the end-of-stream mark is missing
            assert decoded.damaged_packets == 1
        else:
            assert decoded.decoded_fraction == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize("name", FORMATS)
    def test_less_than_a_second_of_a_damaged_file(self, name: str, tmp_path: Path) -> None:
        path = signals.truncated(signals.write(tmp_path, name, signals.music(4.0)), 0.1)
        assert refusal(path).reason in ("too_short", "not_decodable")

    @pytest.mark.parametrize("name", ["mp3", "vorbis", "opus", "aac", "webm", "wma", "flac"])
    def test_garbage_costs_what_it_hit_and_the_time_line_stays(self, name: str, tmp_path: Path) -> None:
        original = signals.music(6.0)
        path = signals.scribbled(signals.write(tmp_path, name, original), 0.5, 1500)
        samples, decoded = audio.read(path)
        assert decoded.damaged_packets >= 1
        assert decoded.damaged_at_s[0] == pytest.approx(3.0, abs=0.6)
        assert len(samples) == pytest.approx(len(original), abs=2048)
        assert abs(lag(samples[216000:264000, 0], original[216000:264000, 0])) <= 48  # the last quarter, within 1 ms
        assert (0.6 if name == "webm" else 0.8) < decoded.decoded_fraction < 1.0  # a cluster of WebM is seconds long
        assert decoded.decoded_frames < decoded.frames

    def test_an_mp3_keeps_95_percent(self, tmp_path: Path) -> None:
        original = signals.music(10.0, 44100)
        path = signals.scribbled(signals.write(tmp_path, "mp3", original, 44100), 0.5, 1500)
        samples, decoded = audio.read(path)
        assert decoded.decoded_fraction >= 0.95
        hole = slice(round(decoded.damaged_at_s[0] * 44100) + 1152, round(decoded.damaged_at_s[0] * 44100) + 3000)
        assert not samples[hole].any()

    def test_a_header_that_claims_hours(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(1.5))
        content = bytearray(path.read_bytes())
        at = content.index(b"data") + 4
        content[at : at + 4] = struct.pack("<I", 48000 * 4 * 3600 * 5)
        path.write_bytes(content)
        samples, decoded = audio.read(path)
        assert decoded.info.claimed_duration_s == pytest.approx(5 * 3600)
        assert (len(samples), round(decoded.decoded_fraction * 18000, 3)) == (72000, 1.5)

    def test_a_clock_that_jumps_by_hours_makes_no_hours_of_silence(self, tmp_path: Path) -> None:
        """The last page of an Opus file that says it ends next week."""
        path = signals.write(tmp_path, "opus", signals.music(4.0))
        content = bytearray(path.read_bytes())
        at = content.rindex(b"OggS")
        content[at + 6 : at + 14] = struct.pack("<q", 48000 * 3600 * 24 * 7)
        content[at + 22 : at + 26] = bytes(4)
        content[at + 22 : at + 26] = struct.pack("<I", ogg_crc(bytes(content[at:])))
        path.write_bytes(content)
        samples, _ = audio.read(path)
        assert len(samples) == pytest.approx(192000, abs=2000)

    def test_nan_and_infinity_are_counted_and_placed(self, tmp_path: Path) -> None:
        original = signals.music(2.0)
        original[50000, 1] = np.nan
        original[60000:60010] = -np.inf
        for name in ("wavfloat", "wavdouble"):
            error = refusal(signals.write(tmp_path, name, original))
            assert error.reason == "non_finite"
            assert "21 samples" in error.message
            assert "frame 50000" in error.message

    def test_loud_float_is_not_infinite(self, tmp_path: Path) -> None:
        """The quick check overflows at such levels, the samples do not."""
        original = np.full((1000, 1), 3e37, np.float32)
        samples, _ = audio.read(signals.write(tmp_path, "wavfloat", original))
        np.testing.assert_array_equal(samples, original)

    def test_a_limit_on_samples(self, tmp_path: Path) -> None:
        for name in ("wav16", "mp3"):
            path = signals.write(tmp_path, name, signals.music(4.0))
            assert audio.decode(path, len, max_samples=192000 * 2).frames == 192000
            with pytest.raises(audio.AudioError, match="longer than the limit of 4 s") as caught:
                audio.decode(path, len, max_samples=192000 * 2 - 1)
            assert caught.value.reason == "too_long"


class TestNotAudio:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "empty_file"),
            (b"just some words\n" * 300, "not_audio"),
            (np.random.default_rng(7).bytes(100_000), "not_audio"),
            (b"\x89PNG\r\n\x1a\n" + bytes(500), "not_audio"),
            (b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n", "not_audio"),
            (b"ffconcat version 1.0\nfile 'track.wav'\n", "not_audio"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "not_decodable"),
        ],
    )
    def test_says_so(self, content: bytes, reason: str, tmp_path: Path) -> None:
        path = tmp_path / "track.mp3"
        path.write_bytes(content)
        assert refusal(path).reason == reason
        with pytest.raises(audio.AudioError):
            audio.probe(path)

    def test_no_samples(self, tmp_path: Path) -> None:
        for name in ("wav16", "aiff", "vorbis"):
            assert refusal(signals.write(tmp_path, name, np.zeros((0, 2)))).reason == "too_short"

    def test_a_fifo_does_not_wait(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert refusal(tmp_path / "fifo").reason == "not_audio"

    def test_a_film_with_and_without_sound(self, tmp_path: Path) -> None:
        for sound in (True, False):
            path = tmp_path / f"film{sound}.mp4"
            write_film(path, sound)
            if sound:
                assert audio.read(path)[1].info.codec == "aac"
            else:
                assert refusal(path).reason == "no_audio_stream"

    @pytest.mark.parametrize(
        "name",
        [
            "東京 – 夜.mp3",
            "🎵🎶.mp3",
            'it\'s "so".mp3',
            "line\nbreak.mp3",
            "http:",
            "-i.mp3",
            "x" * 246 + ".mp3",
            b"\xff\xfe.mp3",
        ],
    )
    def test_hostile_names(self, name: str | bytes, tmp_path: Path) -> None:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        os.rename(signals.write(tmp_path, "mp3", signals.music(0.5)), path)
        assert len(audio.read(path)[0]) == 24000


class TestTags:
    def test_pictures_and_lyrics(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "mp3", signals.music(1.0), title="t")
        tags = mutagen.id3.ID3(path)
        tags.add(mutagen.id3.APIC(mime="image/png", type=3, data=b"\x89PNG\r\n\x1a\n" + bytes(200_000)))
        tags.add(mutagen.id3.USLT(lang="chi", desc="d", text="你问我爱你有多深\n我爱你有几分"))
        tags.save()
        samples, decoded = audio.read(path)
        assert len(samples) == 48000
        assert decoded.info.lyrics == "你问我爱你有多深\n我爱你有几分"
        assert decoded.info.title == "t"

    def test_lyrics_of_m4a(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "aac", signals.music(1.0))
        tags = mutagen.mp4.MP4(path)
        tags["\xa9lyr"] = ["la la"]
        tags.save()
        assert audio.probe(path).lyrics == "la la"

    @pytest.mark.parametrize("seed", range(8))
    def test_a_broken_tag_is_no_failure(self, seed: int, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "mp3", signals.music(1.0), title="t" * 300, artist="a")
        signals.scribbled(path, 12 / path.stat().st_size, 250, seed)
        assert audio.read(path)[1].damaged_packets == 0


def ogg_crc(page: bytes) -> int:
    """The checksum of Ogg (RFC 3533): polynomial 0x04c11db7, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def write_film(path: Path, sound: bool) -> None:
    """A second of black, with a tone or without."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        voice = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for _ in range(25):
            container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(picture.encode(None))
        if voice is not None:
            frame = av.AudioFrame.from_ndarray(signals.tone()[None], "flt", "mono")
            frame.sample_rate = 48000
            container.mux([*voice.encode(frame), *voice.encode(None)])
