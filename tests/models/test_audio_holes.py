"""Damage of FLAC and holes in Ogg: what was hit is silent, in its place; all else is as in the clean decode."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models import audio
from models.packets import Outlet
from tests import signals

DAMAGE = {
    "a bit": lambda content, at, dice: content[:at] + bytes([content[at] ^ 1 << dice.integers(8)]) + content[at + 1 :],
    "random": lambda content, at, dice: content[:at] + dice.bytes(512) + content[at + 512 :],
    "zeros": lambda content, at, dice: content[:at] + bytes(512) + content[at + 512 :],
    "cut out": lambda content, at, dice: content[:at] + content[at + 100 :],
    "a byte cut": lambda content, at, dice: content[:at] + content[at + 1 :],
    "inserted": lambda content, at, dice: content[:at] + dice.bytes(100) + content[at:],
}


class TestFlac:
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_a_damaged_frame_is_silent_and_nothing_else_is_touched(self, damage: str, tmp_path: Path) -> None:
        original = signals.music(6.0)
        path = signals.write(tmp_path, "flac", original)
        content, (clean, _) = path.read_bytes(), audio.read(path)
        first = content.index(b"\xff\xf8")
        for seed in range(20):
            dice = np.random.default_rng(seed)
            path.write_bytes(DAMAGE[damage](content, int(dice.integers(first, len(content) - 600)), dice))
            samples, decoded = audio.read(path)
            wrong = np.flatnonzero((samples != clean).any(axis=1))
            assert len(samples) == len(clean)
            assert decoded.damaged_packets == 1
            assert decoded.damaged_at_s[0] == pytest.approx(wrong[0] / 48000, abs=0.001)  # silence may begin silent
            assert decoded.decoded_frames == pytest.approx(len(clean) - len(wrong), abs=48)
            assert len(wrong) <= 2 * 4096
            assert not samples[wrong].any()
            assert decoded.decoded_fraction < 1.0

    def test_all_that_follows_is_garbage(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "flac", signals.music(6.0))
        clean, _ = audio.read(path)
        signals.scribbled(path, 0.5, path.stat().st_size // 2)
        samples, decoded = audio.read(path)
        assert len(samples) == len(clean)
        np.testing.assert_array_equal(samples[:140000], clean[:140000])
        assert not samples[144000:].any()
        assert decoded.decoded_fraction == pytest.approx(0.5, abs=0.02)

    def test_tags_that_are_not_its_own_are_no_damage(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "flac", signals.music(2.0))
        clean, _ = audio.read(path)
        path.write_bytes(b"ID3\4\0\0\0\0\x10\0" + bytes(2048) + path.read_bytes() + b"TAG".ljust(128))
        samples, decoded = audio.read(path)
        np.testing.assert_array_equal(samples, clean)
        assert decoded.damaged_packets == 0

    def test_what_stopped_libsndfile_is_damage_even_if_nothing_else_finds_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = signals.write(tmp_path, "flac", signals.music(6.0))

        def gives_up(sound: soundfile.SoundFile, outlet: Outlet) -> bool:
            outlet.put(sound.read(49152, "float32", always_2d=True))
            return False

        monkeypatch.setattr(audio, "_read_all", gives_up)
        assert audio.read(path)[1].damaged_at_s == (49152 / 48000,)

    def test_a_flipped_bit_in_mp4(self, tmp_path: Path) -> None:
        path, copy = signals.write(tmp_path, "flac", signals.music(6.0)), tmp_path / "copy.mp4"
        clean, _ = audio.read(path)
        with av.open(str(path)) as source, av.open(str(copy), "w") as target:
            stream = target.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                packet.stream = stream
                target.mux([packet] if packet.size else [])
        assert audio.read(copy)[1].damaged_packets == 0
        content = bytearray(copy.read_bytes())
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
        samples, decoded = audio.read(copy)
        assert decoded.damaged_packets == 1
        heard = samples.any(axis=1)
        np.testing.assert_array_equal(samples[heard], clean[heard])


class TestOgg:
    @pytest.mark.parametrize("fill", ["zeros", "random"])
    @pytest.mark.parametrize(("name", "hole_bytes"), [("vorbis", 70_000), ("opus", 40_000), ("opus", 70_000)])
    def test_goes_on_behind_a_hole(self, name: str, hole_bytes: int, fill: str, tmp_path: Path) -> None:
        """libav itself gives up after 65307 bytes."""
        path = signals.write(tmp_path, name, noisy(24.0))
        clean, _ = audio.read(path)
        content = bytearray(path.read_bytes())
        start = len(content) // 3
        garbage = bytes(hole_bytes) if fill == "zeros" else np.random.default_rng(7).bytes(hole_bytes)
        content[start : start + hole_bytes] = garbage
        path.write_bytes(content)
        samples, decoded = audio.read(path)
        assert len(samples) == len(clean)
        lost = hole_bytes / len(content)
        assert decoded.decoded_fraction == pytest.approx(1 - lost, abs=0.1)  # whole pages are lost, of up to a second
        assert decoded.damaged_packets == 1
        assert decoded.damaged_at_s[0] == pytest.approx(8.0, abs=1.1)
        wrong = np.flatnonzero(np.abs(samples - clean).max(axis=1) > 1e-3)
        assert wrong[0] / 48000 > 6.9
        assert wrong[-1] / 48000 < 8.0 + 24.0 * lost + 2.3
        ((start_s, end_s),) = decoded.damaged
        assert start_s == pytest.approx(wrong[0] / 48000, abs=0.05)
        assert end_s == pytest.approx(wrong[-1] / 48000, abs=0.25 if name == "opus" else 0.05)

    @pytest.mark.parametrize("name", ["vorbis", "opus"])
    def test_the_end_is_garbage(self, name: str, tmp_path: Path) -> None:
        path = signals.write(tmp_path, name, noisy(12.0))
        clean, _ = audio.read(path)
        signals.scribbled(path, 0.6, path.stat().st_size * 2 // 5)
        samples, decoded = audio.read(path)
        assert decoded.damaged_packets >= 1
        assert decoded.decoded_fraction == pytest.approx(0.6, abs=0.1)
        assert len(samples) == pytest.approx(len(clean), rel=0.15)

    def test_a_damaged_last_page(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "vorbis", noisy(4.0))
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        assert audio.read(path)[1].damaged_packets >= 1

    @pytest.mark.parametrize("rate_hz", [48000, 22050])
    def test_one_stream_after_another(self, rate_hz: int, tmp_path: Path) -> None:
        first = signals.write(tmp_path, "vorbis", noisy(8.0)).read_bytes()
        path = signals.write(tmp_path, "vorbis", noisy(8.0, rate_hz), rate_hz)
        whole = first + path.read_bytes()
        for start in range(10_000, len(whole), len(whole) // 6):
            garbage = np.random.default_rng(start).bytes(70_000)
            path.write_bytes((whole[:start] + garbage + whole[start + 70_000 :])[: len(whole)])
            if start > len(first) // 4:  # else less than a second may be left
                assert audio.read(path)[1].damaged_packets >= 1


def noisy(duration_s: float, sample_rate_hz: int = 48000) -> np.ndarray:
    """Music with so much noise that a second of it takes 12 kB or more."""
    noise = signals.noise(2 * duration_s, sample_rate_hz, 0.05).reshape(-1, 2)
    return signals.music(duration_s, sample_rate_hz) + noise
