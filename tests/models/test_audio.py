"""Decoding, format by format: what comes out is what went in, at the same place, of the same length."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from models import audio
from models.formats import LOSSLESS
from tests import signals
from tests.signals import FORMATS

LOSSLESS_FORMATS = [name for name, form in FORMATS.items() if form.lossless]
LOSSY_FORMATS = [name for name, form in FORMATS.items() if not form.lossless]


def lag(decoded: np.ndarray, original: np.ndarray) -> int:
    """By how many frames `decoded` is late, by the peak of the cross-correlation."""
    correlation = scipy.signal.correlate(decoded, original, method="fft")
    return int(np.argmax(correlation)) - len(original) + 1


def snr_db(decoded: np.ndarray, original: np.ndarray) -> float:
    error = decoded[: len(original)] - original[: len(decoded)]
    return float(10 * np.log10(np.mean(original**2) / max(np.mean(error**2), 1e-30)))


def refusal(path: Path) -> audio.AudioError:
    with pytest.raises(audio.AudioError) as caught:
        audio.read(path)
    assert caught.value.advice
    return caught.value


class TestEveryFormat:
    @pytest.mark.parametrize("name", FORMATS)
    def test_decodes_to_the_original_in_place(self, name: str, tmp_path: Path) -> None:
        original = signals.music(2.0017)
        samples, decoded = audio.read(signals.write(tmp_path, name, original))
        assert samples.dtype == np.float32
        assert samples.shape[1] == 2
        if FORMATS[name].exact_length:
            assert len(samples) == len(original)
        else:
            assert 0 <= len(samples) - len(original) < 2048
        assert lag(samples[:, 0], original[:, 0]) == 0
        assert snr_db(samples, original) > (30 if FORMATS[name].lossless else 20)
        assert (decoded.damaged_packets, decoded.decoded_fraction) == (0, 1.0)
        assert decoded.frames == decoded.decoded_frames == len(samples)

    @pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("opus", "webm")])
    def test_length_at_44100_hz(self, name: str, tmp_path: Path) -> None:
        """44.1 kHz meets the millisecond clocks of M4A's edit list and of ASF."""
        original = signals.music(1.2345, 44100)
        samples, decoded = audio.read(signals.write(tmp_path, name, original, 44100))
        assert decoded.info.sample_rate_hz == 44100
        assert 0 <= len(samples) - len(original) <= (0 if FORMATS[name].exact_length else 2047)
        assert lag(samples[:, 1], original[:, 1]) == 0

    @pytest.mark.parametrize("name", FORMATS)
    def test_probe_tells_format_and_tags(self, name: str, tmp_path: Path) -> None:
        form = FORMATS[name]
        path = signals.write(tmp_path, name, signals.music(1.0), title="月亮代表我的心", artist='"Ten\ng"')
        info = audio.probe(path)
        assert (info.container, info.codec, info.lossless) == (form.container, form.codec_name, form.lossless)
        assert (info.sample_rate_hz, info.channels, info.bits_per_sample) == (48000, 2, form.bits_per_sample)
        assert (info.title, info.artist) == ("月亮代表我的心", '"Ten\ng"')
        if info.container != "ogg":
            assert info.claimed_duration_s == pytest.approx(1.0, abs=1e-6 if form.lossless else 0.1)

    @pytest.mark.parametrize("name", LOSSLESS_FORMATS)
    def test_lossless_is_exact_to_half_a_step(self, name: str, tmp_path: Path) -> None:
        original = np.concatenate([signals.music(1.0), [[1.0, -1.0], [1.5, -1.5]]]).astype(np.float32)
        samples, _ = audio.read(signals.write(tmp_path, name, original))
        bits = 24 if FORMATS[name].codec.startswith("pcm_f") else min(FORMATS[name].bits_per_sample or 0, 24)
        assert np.abs(samples - original)[:-2].max() <= 0.5001 / 2 ** (bits - 1)
        clipped = [1.5, -1.5] if FORMATS[name].codec.startswith("pcm_f") else [1 - 2.0 ** (1 - bits), -1.0]
        np.testing.assert_allclose(samples[-1], clipped, atol=1e-7)

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_millisecond_and_ten_samples(self, name: str, tmp_path: Path) -> None:
        """Undamaged is fine, whatever the length; M4A itself cannot tell less than a millisecond."""
        for frames in (1000,) if name == "aac" else (1000, 10, 1):
            samples, decoded = audio.read(signals.write(tmp_path, name, signals.music(1.0)[:frames]))
            assert len(samples) > 0
            assert decoded.damaged_packets == 0
            if FORMATS[name].lossless or name in ("vorbis", "opus") or (frames == 1000 and name != "wma"):
                assert len(samples) == frames


class TestShapes:
    @pytest.mark.parametrize("channels", range(1, 9))
    @pytest.mark.parametrize("name", ["wav24", "flac", "aac", "opus"])
    def test_channels_keep_their_order(self, name: str, channels: int, tmp_path: Path) -> None:
        if name == "opus" and channels in (5, 7):
            pytest.skip("libav's encoder shuffles them")
        tones_hz = [60.0, 440.0, 880.0, 70.0, 1320.0, 1760.0, 2200.0, 2640.0][:channels]
        tones_hz[3:4] = [70.0 if channels in (6, 8) else 700.0] if channels > 3 else []  # an LFE carries bass alone
        original = np.stack([signals.tone(f, 1.0) for f in tones_hz], axis=1)
        samples, _ = audio.read(signals.write(tmp_path, name, original))
        spectrum = np.abs(np.fft.rfft(samples[:48000], axis=0))
        assert np.argmax(spectrum, axis=0) == pytest.approx(tones_hz, abs=2)

    @pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 88200, 96000, 192000])
    @pytest.mark.parametrize("name", ["wav16", "flac", "alac", "mp3", "vorbis"])
    def test_rates(self, name: str, rate_hz: int, tmp_path: Path) -> None:
        if name == "mp3" and rate_hz > 48000:
            pytest.skip("MP3 ends at 48 kHz")
        original = signals.tone(700.0, 0.5, rate_hz)
        samples, decoded = audio.read(signals.write(tmp_path, name, original, rate_hz))
        assert decoded.info.sample_rate_hz == rate_hz
        assert len(samples) == len(original)
        assert snr_db(samples[:, 0], original) > 15

    def test_blocks_are_about_a_second(self, tmp_path: Path) -> None:
        for name in ("wav16", "mp3"):
            blocks: list[np.ndarray] = []
            audio.decode(signals.write(tmp_path, name, signals.music(5.5)), blocks.append)
            assert sum(map(len, blocks)) == 264000
            assert max(map(len, blocks)) <= 2 * 48000

    def test_decoding_holds_a_block_not_the_file(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", np.zeros((48000 * 60, 2), np.float32))
        tracemalloc.start()
        audio.decode(path, len)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 3e6  # a minute is 23 MB

    def test_a_wav_written_as_a_stream_claims_nothing(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(1.5))
        content = bytearray(path.read_bytes())
        at = content.index(b"data") + 4
        for size in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
            content[at : at + 4] = size
            path.write_bytes(content)
            samples, decoded = audio.read(path)
            assert len(samples) == 72000
            assert (decoded.info.claimed_duration_s, decoded.decoded_fraction) == (None, 1.0)

    def test_content_decides_not_the_extension(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "mp3", signals.music(1.0)).rename(tmp_path / "lie.wav")
        assert audio.probe(path).codec == "mp3"
        path = signals.write(tmp_path, "wav16", signals.music(1.0)).rename(tmp_path / "lie.mp3")
        assert audio.probe(path).codec == "pcm_s16le"

    def test_a_change_of_rate_and_channels_is_converted(self, tmp_path: Path) -> None:
        """Two MP3s in one file: 44.1 kHz stereo, then the same tone in 48 kHz mono."""
        stereo = np.stack([signals.tone(1000, 2, 44100)] * 2, axis=1)
        first = signals.write(tmp_path, "mp3", stereo, 44100).read_bytes()
        second = signals.write(tmp_path, "mp3", signals.tone(1000, 2, 48000), 48000, stem="second").read_bytes()
        path = tmp_path / "both.mp3"
        path.write_bytes(first + second)
        samples, decoded = audio.read(path)
        assert decoded.info.channels == 2
        assert len(samples) / 44100 == pytest.approx(4.0, abs=0.1)
        spectrum = np.abs(np.fft.rfft(samples[-66150:-22050], axis=0))
        assert np.argmax(spectrum, axis=0) == pytest.approx([1000, 1000], abs=1)

    def test_an_unknown_encoder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(audio.AudioError, match="no encoder 'mp4'"):
            audio.encode(tmp_path / "x", signals.music(0.1), 48000, codec="mp4")
        with pytest.raises(audio.AudioError, match="6 channels"):
            audio.encode(tmp_path / "x", signals.music(0.1, channels=6), 48000, codec="mp3")

    def test_lossless_codecs_are_those_of_the_formats(self) -> None:
        assert {f.codec_name for f in FORMATS.values() if f.lossless and not f.codec_name.startswith("pcm")} <= LOSSLESS


class TestRateAndChannels:
    def test_resampling_keeps_a_tone_and_its_place(self) -> None:
        resampled = audio.resample(signals.tone(1000, 1.0, 44100), 44100, 16000)
        assert len(resampled) == 16000
        assert snr_db(resampled[500:-500], signals.tone(1000, 1.0, 16000)[500:-500]) > 90

    @pytest.mark.parametrize("channels", range(1, 9))
    def test_downmix_follows_the_table(self, channels: int) -> None:
        half = 0.5**0.5
        left = {1: [1], 3: [1, 0, half], 4: [1, 0, half, 0], 5: [1, 0, half, half, 0], 6: [1, 0, half, 0, half, 0]}
        left |= {2: [1, 0], 7: [1, 0, half, 0, 0.5, half, 0], 8: [1, 0, half, 0, half, 0, half, 0]}
        stereo = audio.downmix(np.eye(channels, dtype=np.float32), 2)
        np.testing.assert_allclose(stereo[:, 0], left[channels], atol=1e-6)
        mono = audio.downmix(np.eye(channels, dtype=np.float32), 1)
        np.testing.assert_allclose(mono[:, 0], [1.0] if channels == 1 else stereo.mean(axis=1), atol=1e-6)

    def test_downmix_refuses_what_has_no_table(self) -> None:
        with pytest.raises(ValueError, match="9 channels to 2"):
            audio.downmix(np.zeros((1, 9), np.float32), 2)
